"""Large bodies, beside the inbox: in files that are only appended to, and removed as a whole.

SQLite would write such a body twice, and touch all of its pages once more to let it go: six times the work. A body
counts only once a row of the inbox says where it lies, and it is on disk before that row is: so what a crash or a full
disk left half written is never read, and goes with its file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.store.sealed import flushed

LARGE = 32 * 2**10
"""From so many bytes on a body lies here. One sync more costs less by then than what SQLite would do."""
FILE_BYTES = 16 * 2**20
"""A file that is so large gets nothing more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a body lies; files are numbered in the order in which they were begun."""

    file: int
    start: int
    size: int


class Bodies:
    """The files of one inbox. One thread keeps, any reads."""

    def __init__(self, folder: Path, last: int) -> None:
        """Open them; ``last`` is the newest file of which a row speaks, whether it is still there or not."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._current = max([last, *map(_number, folder.iterdir())]) + 1
        self._file: int | None = None
        self._written = 0

    @property
    def current(self) -> int:
        """The number of the file that is written to: in those before it lies nothing that has no row yet, or ever."""
        return self._current

    def keep(self, bodies: Sequence[bytes]) -> list[Place]:
        """Append bodies that get their rows together; all are on disk when they have their places.

        Raises:
            OSError: they could not be written, for want of space as a rule. None of them is kept.

        """
        if not bodies:
            return []
        if self._written >= FILE_BYTES:
            self.turn()
        try:
            if self._file is None:
                self._file = self._begun()
            places: list[Place] = []
            for body in bodies:
                places.append(Place(self._current, self._written, len(body)))
                rest = memoryview(body)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                self._written += len(body)
            os.fdatasync(self._file)
        except OSError:
            self.turn()  # whatever of it was written is behind what counts, and a failed sync is not to be asked again
            raise
        return places

    def turn(self) -> None:
        """Begin a new file with the next body."""
        if self._file is not None:
            os.close(self._file)
            self._file, self._written = None, 0
        self._current += 1

    def read(self, place: Place) -> bytes:
        """Read a body.

        Raises:
            FileNotFoundError: its file is not there.
            EOFError: its file ends too early.

        """
        with self._path(place.file).open("rb", buffering=0) as file:
            file.seek(place.start)
            body = file.read(place.size)
        if len(body) < place.size:
            raise EOFError(f"{file.name} ends before byte {place.start + place.size}")
        return body

    def remove_before(self, number: int) -> None:
        """Remove the files before this one."""
        for path in self._folder.iterdir():
            if _number(path) < number:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _begun(self) -> int:
        file = os.open(self._path(self._current), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            flushed(self._folder)  # else the file could be gone after a loss of power, though what is in it was synced
        except OSError:
            os.close(file)
            raise
        return file

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:09}"


def _number(path: Path) -> int:
    return int(path.name) if path.name.isdecimal() else 0
