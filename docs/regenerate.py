"""Writes the generated part of docs/analyzers.md anew: ``python docs/regenerate.py``."""

from __future__ import annotations

import re
from pathlib import Path

from watchkeeper.analyzers.registry import discover, table

PAGE = Path(__file__).with_name("analyzers.md")
GENERATED = re.compile(r"(?<=<!-- begin: registry -->\n).*?(?=<!-- end: registry -->)", re.DOTALL)


def regenerated(text: str) -> str:
    """Give the page with the table that the code has now."""
    ours = {name: found for name, found in discover().items() if type(found).__module__.startswith("watchkeeper.")}
    return GENERATED.sub(lambda _: "\n" + table(ours) + "\n", text)


if __name__ == "__main__":
    PAGE.write_text(regenerated(PAGE.read_text()))
