"""Appends lines to the segment files of one client, with one ``write`` each and no sync.

What is written survives the end of the process, however it comes; not the loss of power.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ._folder import segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Writer:
    """One growing segment at a time. The caller sees to it that one thread writes at once."""

    def __init__(self, folder: Path, owned: int, segment_bytes: int, on_segment: Callable[[], None]) -> None:
        self.folder = folder
        self.growing = 0
        """The segment that is written to; 0 where none is."""
        self.last = 0
        """The number of the newest event that is on disk."""
        self._owned = owned
        self._limit = segment_bytes
        self._on_segment = on_segment
        self._handle = -1
        self._size = 0
        self._begun = 0.0

    def append(self, number: int, line: bytes) -> bool:
        """Write one line; False where the disk does not take all of it."""
        try:
            if self._handle < 0 or self._size >= self._limit:
                self._begin(number)
            if os.write(self._handle, line) == len(line):
                self._size += len(line)
                self.last = number
                return True
        except OSError:
            pass
        self.seal()  # what is there of the line has no end and is passed over
        return False

    def seal(self) -> None:
        """End the segment; the next line begins another."""
        handle, self._handle, self.growing = self._handle, -1, 0
        if handle >= 0:
            os.close(handle)

    def seal_older_than(self, seconds: float) -> None:
        """End a segment that was begun long ago, or whose file somebody took away."""
        if self._handle >= 0 and (time.monotonic() - self._begun > seconds or not os.fstat(self._handle).st_nlink):
            self.seal()

    def close(self) -> None:
        """End the segment and let the folder go. In a forked child this leaves the parent's lock alone."""
        self.seal()
        owned, self._owned = self._owned, -1
        if owned >= 0:
            os.close(owned)

    def _begin(self, number: int) -> None:
        self.seal()
        # Said before the file is there: a reader that finds it empty must not take it away.
        self.growing = number
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = os.open(segment(self.folder, number), flags, 0o600)
        before, self._handle = self._handle, handle
        if before >= 0:  # a signal handler began one meanwhile
            os.close(before)
        self._size = 0
        self._begun = time.monotonic()
        self._on_segment()
