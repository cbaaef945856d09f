"""Where in a file it stands: the line of what an error names by its path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

import yaml

_PATH = re.compile(r" - at `\$([^`]*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def with_line(problem: str, text: str, number: int) -> str:
    """Add the line to a problem of the document of that number, where the problem names a path.

    >>> with_line("x - at `$.a[0]`", "spec:\\n  a:\\n    - 1\\n", 1)
    'x - at `$.a[0]` (line 3)'
    """
    found = _PATH.search(problem)
    if found is None:
        return problem
    nodes = list(cast("Iterable[yaml.Node | None]", yaml.compose_all(text, Loader=yaml.SafeLoader)))  # pyright: ignore[reportUnknownMemberType]
    node = nodes[number - 1] if number <= len(nodes) else None
    if node is None:
        return problem
    node = _child(node, "spec") or node
    for name, place in _STEP.findall(found[1]):
        node = (_child(node, name) if name else _item(node, int(place))) or node
    return f"{problem} (line {node.start_mark.line + 1})"


def _child(node: yaml.Node, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    pairs = cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
    return next((value for key, value in pairs if key.value == name), None)


def _item(node: yaml.Node, place: int) -> yaml.Node | None:
    items = cast("list[yaml.Node]", node.value) if isinstance(node, yaml.SequenceNode) else []
    return items[place] if place < len(items) else None
