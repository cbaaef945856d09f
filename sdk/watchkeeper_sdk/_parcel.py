"""Lines of the spool, and what is sent of them at one go.

A line is a letter, the number of the event in its process, a space, then what travels, as it travels::

    p17 {"service":"checkout","id":"9f86d081884c7d65.11","ts":1767323045.25,"model":"fraud"}
    x18 invalid_call

``p`` prediction, ``o`` outcome, ``r`` review, ``c`` change; ``x`` stands for an event that the call lost, and why, so
that whoever finds the file later can say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("predictions", "outcomes", "reviews", "changes")
"""In the order of sending: what a later kind refers to is there before it."""
MARKS = {kind: kind[0] for kind in KINDS}
LOST = "x"
MAX_PARCEL = 2**21
"""Bytes of one parcel at most."""
_KIND_OF = {ord(mark): kind for kind, mark in MARKS.items()}


@dataclass(frozen=True)
class Author:
    """In whose name a parcel goes: what the header says of the process that logged it."""

    client: str
    service: str | None = None
    site: str | None = None
    version: str = __version__
    spool: str = "disk"


@dataclass
class Parcel:
    """Some lines in a row: the same lines under the same key at every attempt, also by another process."""

    key: str
    segment: int = 0
    end: int = 0
    last: int = 0
    """The number of the newest event in it."""
    lines: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    """What is not answered for yet, by kind."""
    lost: dict[str, int] = field(default_factory=dict[str, int])
    """Events that the call had lost already, by reason."""
    answered: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    server_errors: int = 0
    tried: bool = False
    void: bool = False
    """Dropped while it waited for the next attempt."""

    @property
    def waiting(self) -> int:
        """Events that still have no answer."""
        return sum(map(len, self.lines.values()))


class Source(Protocol):
    """Who is told what became of the events of a parcel, and knows the book of the process that logged them."""

    @property
    def author(self) -> Author: ...

    def told(self) -> tuple[int, int, int]:
        """How many events were logged, were dropped, and wait for an answer, by now?"""
        ...

    def answered(self, parcel: Parcel, count: int, rejected: int, duplicates: int) -> None: ...

    def gave_up(self, parcel: Parcel, reason: str, count: int) -> None: ...


def packed(key: str, lines: Sequence[bytes], segment: int = 0, end: int = 0) -> Parcel:
    """Sort lines by kind. One that is no line of the spool is passed over: nobody was promised it.

    >>> parcel = packed("k", [b'p1 {"id":"a"}', b"x2 invalid_call", b'o3 {"prediction_id":"a"}'])
    >>> parcel.lines["outcomes"], parcel.lost, parcel.last, parcel.waiting
    ([b'{"prediction_id":"a"}'], {'invalid_call': 1}, 3, 2)
    """
    parcel = Parcel(key, segment, end)
    for line in lines:
        head, _, text = line.partition(b" ")
        if not head[1:].isdigit():
            continue
        parcel.last = max(parcel.last, int(head[1:]))
        kind = _KIND_OF.get(head[0])
        if kind is not None:
            parcel.lines.setdefault(kind, []).append(text)
        elif head[:1] == b"x":
            reason = text.decode("ascii", "replace")
            parcel.lost[reason] = parcel.lost.get(reason, 0) + 1
    return parcel
