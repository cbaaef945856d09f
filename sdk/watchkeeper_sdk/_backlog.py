"""What one client's folder still holds, for the one process that sends from it.

The file ``sent`` is written before a parcel is posted (so that whoever comes next posts the very same lines under the
very same key) and after its answer (so that the book of a process that died closes).
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, cast

from ._folder import SENT, STATE_BYTES, lives, lock, owner_of, removed, segment, segments
from ._parcel import MAX_PARCEL, Author, Parcel, packed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPOOL_FULL = "spool_full"


@dataclass
class Progress:
    """How far a folder was sent; numbers are bytes and events."""

    segment: int = 0
    offset: int = 0
    until: int = 0
    """The end of the parcel that is under way; ``offset`` where none is."""
    logged: int = 0
    answered: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    unwritten: int = 0
    """Events that were dropped and stand in no segment: the disk was full then."""


class Backlog:
    """Cuts parcels from the segments of one folder, in order, and takes away what is done.

    ``growing`` tells which segment may still be written to: 0 for none.
    """

    def __init__(self, folder: Path, held: int, growing: Callable[[list[int]], int]) -> None:
        self.folder = folder
        self.owner = owner_of(folder)
        self.passed = 0
        """The number of the newest event that was dealt with here."""
        self._held = held
        self._growing = growing
        self.progress = _read(held)
        self._parcel: Parcel | None = None

    @property
    def author(self) -> Author:
        """In whose name the events go."""
        owner = self.owner
        return Author(owner.client, owner.service, owner.site, owner.version)

    def next(self, count: int) -> Parcel | None:
        """The oldest ``count`` lines that were not dealt with; the same again until :meth:`finish`."""
        if self._parcel is not None:
            return self._parcel
        while True:
            numbers = segments(self.folder)
            growing = self._growing(numbers)  # asked before the file is read: what does not grow is then read whole
            numbers = [number for number in numbers if number >= self.progress.segment]
            if not numbers:
                return None
            if numbers[0] != self.progress.segment:
                self._begin(numbers[0])
            lines, end = self._lines(count)
            if lines:
                self._parcel = self._planned(lines, end)
                return self._parcel
            if numbers[0] == growing:
                return None
            segment(self.folder, numbers[0]).unlink(missing_ok=True)
            self._begin(numbers[0] + 1)

    def finish(self, parcel: Parcel) -> None:
        """Go past a parcel whose events have all been answered for or given up."""
        if parcel.void:
            return
        self._count(parcel)
        self._parcel = None
        self.progress.offset = self.progress.until = parcel.end
        self._write()

    def drop(self, number: int) -> int:
        """Give up what is left of one segment; tells how many events that were."""
        current = number == self.progress.segment
        path = segment(self.folder, number)
        try:
            with path.open("rb") as file:
                file.seek(self.progress.offset if current else 0)
                rest = packed("", file.read().split(b"\n")[:-1])
            path.unlink()
        except OSError:
            return 0
        lost = rest.waiting
        if current:
            under_way, self._parcel = self._parcel, None
            if under_way is not None:
                under_way.void = True
                under_way.lost.clear()  # they are in the rest
                lost -= under_way.answered + sum(under_way.dropped.values())
                self._count(under_way)
            self._begin(number + 1)
        self._add(rest.lost)
        self._add({SPOOL_FULL: lost})
        self.passed = max(self.passed, rest.last)
        self._write()
        return lost

    def close(self) -> None:
        """Let another process send from here; the folder goes where nothing is left and its owner is dead."""
        held, self._held = self._held, -1
        if held < 0:
            return
        path = segment(self.folder, self.progress.segment)
        with contextlib.suppress(OSError):
            if path.stat().st_size == self.progress.offset and self._growing(segments(self.folder)) == 0:
                path.unlink()
        if not segments(self.folder) and not lives(self.folder):
            removed(self.folder)
        os.close(held)

    def forget(self) -> None:
        """In a forked child: the parent goes on sending from here."""
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)

    def note(self, logged: int, unwritten: int) -> None:
        """Keep what the living owner says of itself, for whoever sends the rest; with the next write."""
        self.progress.logged = max(self.progress.logged, logged)
        self.progress.unwritten = unwritten

    def _begin(self, number: int) -> None:
        self.progress.segment, self.progress.offset, self.progress.until = number, 0, 0

    def _lines(self, count: int) -> tuple[list[bytes], int]:
        """Whole lines from where the reading stands, and where they end."""
        at, until = self.progress.offset, self.progress.until
        try:
            with segment(self.folder, self.progress.segment).open("rb") as file:
                file.seek(at)
                block = file.read(until - at if until > at else MAX_PARCEL)
        except FileNotFoundError:
            return [], at
        lines = block.split(b"\n") if until > at else block.split(b"\n", count)
        tail = lines.pop()  # what has no end yet, or never will
        return lines, at + len(block) - len(tail)

    def _planned(self, lines: list[bytes], end: int) -> Parcel:
        progress = self.progress
        key = f"{self.owner.client}-{progress.segment}-{progress.offset}-{end}"
        parcel = packed(key, lines, progress.segment, end)
        if parcel.lost and not parcel.lines:
            parcel.lines["predictions"] = []  # nothing to send, but something to tell
        progress.until = end
        progress.logged = max(progress.logged, parcel.last)
        self._write()
        return parcel

    def _count(self, parcel: Parcel) -> None:
        self.progress.answered += parcel.answered
        self._add(parcel.lost)
        self._add(parcel.dropped)
        self.passed = max(self.passed, parcel.last)

    def _add(self, dropped: dict[str, int]) -> None:
        for reason, count in dropped.items():
            self.progress.dropped[reason] = self.progress.dropped.get(reason, 0) + count

    def _write(self) -> None:
        text = json.dumps(asdict(self.progress)).encode()
        # Always the same bytes of the file: no new block is needed on a full disk, and it is whole or not there.
        with contextlib.suppress(OSError):
            os.pwrite(self._held, text.ljust(STATE_BYTES - 1) + b"\n", 0)


class Left(Backlog):
    """The folder of another process, dead as a rule, with its book kept from the files alone."""

    def __init__(self, folder: Path, held: int) -> None:
        super().__init__(folder, held, self._newest_of_the_living)
        self._counted: dict[int, int] = {}
        self._ahead = 0
        self._lost_ahead = 0
        self._last = 0

    def told(self) -> tuple[int, int, int]:
        """How many events were logged, were dropped, and wait for an answer, by what is on disk now?"""
        self._count_ahead()
        dropped = sum(self.progress.dropped.values()) + self.progress.unwritten + self._lost_ahead
        under_way = self._parcel
        ahead = self._ahead
        if under_way is not None:
            dropped += sum(under_way.dropped.values())
            ahead -= under_way.answered + sum(under_way.dropped.values())
        return max(self.progress.logged, self._last), dropped, ahead

    def answered(self, parcel: Parcel, count: int, rejected: int, duplicates: int) -> None:
        """Note that the server answered for some events of the parcel under way."""
        del rejected, duplicates
        parcel.answered += count

    def gave_up(self, parcel: Parcel, reason: str, count: int) -> None:
        """Note that some events of the parcel under way will not be posted again."""
        parcel.dropped[reason] = parcel.dropped.get(reason, 0) + count

    def finish(self, parcel: Parcel) -> None:
        """Go past a parcel whose events have all been answered for or given up."""
        if not parcel.void:
            self._ahead -= parcel.answered + sum(parcel.dropped.values())
            self._lost_ahead -= sum(parcel.lost.values())
        super().finish(parcel)

    def drop(self, number: int) -> int:
        """Give up what is left of one segment; tells how many events that were."""
        lost = super().drop(number)
        self._counted.clear()  # rare: counted again from the files
        return lost

    def _count_ahead(self) -> None:
        """Count the lines that were not counted yet; those of a living owner grow."""
        if not self._counted:
            self._ahead = self._lost_ahead = 0
        for number in segments(self.folder):
            if number < self.progress.segment:
                continue
            at = self._counted.get(number)
            if at is None:
                at = self.progress.offset if number == self.progress.segment else 0
            with contextlib.suppress(OSError), segment(self.folder, number).open("rb") as file:
                file.seek(at)
                whole = file.read()
                whole = whole[: whole.rfind(b"\n") + 1]
                lost = whole.count(b"\nx") + whole.startswith(b"x")
                self._ahead += whole.count(b"\n") - lost
                self._lost_ahead += lost
                self._last = max(self._last, packed("", whole[:-1].split(b"\n")[-1:]).last)
                self._counted[number] = at + len(whole)

    def _newest_of_the_living(self, numbers: list[int]) -> int:
        return numbers[-1] if numbers and lives(self.folder) else 0


def left(folder: Path) -> Left | None:
    """Take over the sending from a folder; None where another process has it."""
    held = lock(folder / SENT, create=True)
    return None if held < 0 else Left(folder, held)


def _read(held: int) -> Progress:
    """What the file says; what cannot be read is a beginning."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        found: object = json.loads(os.pread(held, STATE_BYTES, 0))
        if isinstance(found, dict):
            return Progress(**cast("dict[str, int]", found))  # pyright: ignore[reportArgumentType]  # as written
    return Progress()
