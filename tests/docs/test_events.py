"""docs/events.md has a table per event, with just its fields, their defaults and the words they take."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from watchkeeper.collector.decoders.events import EventDecoder
from watchkeeper.schemas import events

TEXT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
SECTIONS = {part.splitlines()[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
STRUCTS = [
    events.Prediction,
    events.Tokens,
    events.Fallback,
    events.Check,
    events.Outcome,
    events.Review,
    events.Change,
    events.GpuSample,
    events.Feedback,
]


def default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT:
        return "none"  # raw JSON that was not sent
    return "null" if field.default is None else f"`{json.dumps(field.default)}`"


def words(annotation: Any) -> set[str]:
    """Every word that a field takes, wherever it stands in its type."""
    found = {annotation} if isinstance(annotation, str) else set()
    for part in get_args(annotation):
        found |= words(part)
    return found


def test_every_event_has_a_section():
    assert list(SECTIONS) == [struct.__name__ for struct in STRUCTS]
    assert {*events.KINDS.values(), events.GpuSample, events.Feedback} <= set(STRUCTS)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_a_table_holds_the_fields_and_their_defaults(struct):
    listed = [(name, shown) for name, _, shown, _ in ROW.findall(SECTIONS[struct.__name__])]
    assert listed == [(field.encode_name, default(field)) for field in msgspec.structs.fields(struct)]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_a_table_names_the_words_that_a_field_takes(struct):
    types = {name: set(re.findall(r"`(\w+)`", kind)) for name, kind, _, _ in ROW.findall(SECTIONS[struct.__name__])}
    for field in msgspec.structs.fields(struct):
        assert types[field.encode_name] == words(field.type), field.name


def test_the_error_classes_are_named():
    (meaning,) = [meaning for name, _, _, meaning in ROW.findall(SECTIONS["Prediction"]) if name == "error_class"]
    assert tuple(re.findall(r"`(\w+)`", meaning)) == events.ERROR_CLASSES


def test_the_example_is_taken():
    (example,) = re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    decoded = EventDecoder("predictions").decode(b"[" + example.encode() + b"]", "json", 10)
    assert (len(decoded.events), decoded.rejected) == (1, ())
