"""A finding as JSON can hold it, and back: its statement, and beside it the snapshot that its number rests on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast, get_type_hints

import msgspec

from watchkeeper.schemas.findings import Evidence, Finding, Json


def of(finding: Finding) -> Any:
    """Give the statement: all but the snapshot."""
    return msgspec.to_builtins(replace(finding, evidence=replace(finding.evidence, snapshot={})))


def read(statement: Json, snapshot: Json) -> Finding:
    """Give the finding again."""
    stored = cast("dict[str, Any]", statement)
    evidence = cast("dict[str, Any]", {**stored["evidence"], "snapshot": snapshot})
    rest: dict[str, Any] = {
        name: msgspec.convert(stored[name], kind) for name, kind in _TYPES.items() if name in stored
    }
    return Finding(evidence=Evidence(**evidence), **rest)


_TYPES = {name: kind for name, kind in get_type_hints(Finding).items() if name != "evidence"}
