"""Renders one template in a process of its own, within limits: ``python -m`` of this module.

Reads ``{"templates": {name: source}, "values": {...}}`` from its input and writes ``{"rendered": {...}}`` or
``{"error": "..."}``. Jinja2's sandbox keeps a template from attributes and calls that it has no business with; the
limits of the process keep it from running or growing for ever. It imports nothing of ours.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_SECONDS = 2
MEMORY_BYTES = 512 * 2**20
MOST_CHARACTERS = 20_000


def main() -> None:
    """Render what stands on the input."""
    asked: dict[str, Any] = json.load(sys.stdin)
    _limit()
    json.dump(_answer(asked["templates"], asked["values"]), sys.stdout)


def _limit() -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _answer(templates: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)
    rendered: dict[str, str] = {}
    for name, source in templates.items():
        try:
            rendered[name] = _bounded(environment, source, values)
        except TemplateSyntaxError as error:
            return {"error": f"{name}, line {error.lineno}: {error.message}"}
        except MemoryError:
            return {"error": f"{name}: it needs too much memory"}
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            return {"error": f"{name}: {type(error).__name__}: {error}"[:300]}
        except RecursionError:
            return {"error": f"{name}: it goes too deep"}
    return {"rendered": rendered}


def _bounded(environment: ImmutableSandboxedEnvironment, source: str, values: dict[str, Any]) -> str:
    parts: list[str] = []
    length = 0
    for part in environment.from_string(source).generate(values):
        length += len(part)
        if length > MOST_CHARACTERS:
            raise ValueError(f"longer than {MOST_CHARACTERS} characters")
        parts.append(part)
    text = "".join(parts)
    text.encode()  # half of a surrogate pair is a character that no receiver can be sent
    return text


if __name__ == "__main__":
    main()
