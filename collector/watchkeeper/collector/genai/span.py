"""A span or record, however it came: the plain values that the mapping reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Moment:
    """Something that happened at one time: an event of a span, or a log record."""

    name: str
    at_ns: int
    attributes: dict[str, object]
    body: object = None
    trace_id: str = ""
    span_id: str = ""


@dataclass(slots=True)
class Span:
    """One span. Ids are lower-case hex; ``parent_id`` is empty for a root; times are ns since 1970, 0 where unknown."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    message: str
    attributes: dict[str, object]
    moments: Sequence[Moment]
    resource: Mapping[str, object]
    trace_state: str = ""

    @property
    def id(self) -> str:
        """Name the span in the whole world: the prediction's id."""
        return f"{self.trace_id}-{self.span_id}"
