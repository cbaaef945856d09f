"""Where a process puts its events: numbered, on disk where one can be written, else in memory."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from ._backlog import Backlog
from ._folder import SENT, Owner, lock, made, service_folder, usable
from ._parcel import LOST, Author
from ._queue import MemoryQueue
from ._version import __version__
from ._writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ._ledger import Ledger
    from ._settings import Settings

_DISK_AGAIN = 5.0
_SEGMENT_BYTES = 4 * 2**20
_SEGMENT_AGE = 60.0


class Spool:
    """Takes lines from all threads of the host; gives the sender what is on disk and what is in memory."""

    def __init__(self, client_id: str, settings: Settings, ledger: Ledger, on_segment: Callable[[], None]) -> None:
        # Re-entrant: a signal handler may log while its own thread is inside ``put``.
        self.lock = threading.RLock()
        self.memory = MemoryQueue(settings.max_queue_events, settings.max_queue_bytes)
        self.disk: Backlog | None = None
        """What is on disk, where this process sends it."""
        self.closed = False
        self.unwritten = 0
        """Events that were dropped and stand in no file."""
        self.home: Path | None = None
        """The folder of the service, once it is known."""
        self._client_id = client_id
        self._settings = settings
        self._ledger = ledger
        self._on_segment = on_segment
        self._numbers = itertools.count(1)
        self._writer: Writer | None = None
        self._on_disk = False
        self._disk_at = 0.0

    def put(self, mark: str, text: bytes) -> int:
        """Number and keep one event, and give its number."""
        with self.lock:
            number = next(self._numbers)
            if number > self._ledger.logged:  # noqa: PLR1730  # a signal handler may log within a call of max
                self._ledger.logged = number
            if self.closed:
                if mark != LOST:
                    self._ledger.drop("closed", 1)
                return number
            line = f"{mark}{number} ".encode() + text + b"\n"
            if not (self._on_disk and self._writer is not None and self._writer.append(number, line)):
                self._put_elsewhere(mark, number, line)
            return number

    @property
    def kind(self) -> str:
        """Where events wait now: ``disk``, ``memory``, or ``none`` before the first."""
        if self._on_disk and not len(self.memory):
            return "disk"
        return "memory" if self._disk_at else "none"

    @property
    def author(self) -> Author:
        """In whose name the events go."""
        settings = self._settings
        return Author(self._client_id, settings.service, settings.site, spool=self.kind)

    def written(self) -> int:
        """Up to which number is each event in its place? The newest may have its number and be on the way still."""
        with self.lock:
            return self._ledger.logged

    def all_passed(self) -> int:
        """Up to which number is each event dealt with, as far as its place says?"""
        with self.lock:
            low = self._ledger.logged
            if self.disk is not None and self._writer is not None and self._writer.last > self.disk.passed:
                low = self.disk.passed
            first = self.memory.first()
            return min(low, first - 1) if first else low

    def reconcile(self, count: int) -> bool:
        """Is nothing left anywhere? Then what has no fate yet was in files that somebody took away."""
        with self.lock:
            if len(self.memory) or (self.disk is not None and self.disk.next(count) is not None):
                return False
            logged, _, pending = self._ledger.told()
            if pending > 0:
                self._ledger.drop("spool_gone", pending)
                self._ledger.complain("spool_gone", f"{pending} events are lost: their files were removed")
            self._ledger.finish(logged)
            return True

    def seal_old(self) -> None:
        """End a segment that has grown for long, so that it can go once it is sent."""
        with self.lock:
            if self._writer is not None:
                self._writer.seal_older_than(_SEGMENT_AGE)

    def close(self) -> None:
        """Take no more, and let the folder go; it is taken away where it is empty."""
        with self.lock:
            self.closed = True
            if self._writer is not None:
                self._writer.close()
            if self.disk is not None:
                self.disk.close()

    def forget(self) -> None:
        """In a forked child: close what belongs to the parent."""
        if self._writer is not None:
            self._writer.close()
        if self.disk is not None:
            self.disk.forget()

    def _put_elsewhere(self, mark: str, number: int, line: bytes) -> None:
        """The disk does not take it, or was not tried yet."""
        now = time.monotonic()
        if self._on_disk:
            self._on_disk = False
            self._disk_at = now + _DISK_AGAIN
            self._ledger.complain("disk", f"{self.home} takes no more events: they wait in memory")
        elif now >= self._disk_at:
            self._disk_at = now + _DISK_AGAIN  # a signal handler that logs meanwhile leaves the folder alone
            if self._opened() and self._writer is not None and self._writer.append(number, line):
                self._on_disk = True
                return
            if self._settings.spool_dir != "":  # who asked for memory knows
                words = f"no disk takes events ({self.home or 'no folder'}): they wait in memory"
                self._ledger.complain("memory", words)
        reason = None if mark == LOST else self.memory.put(number, line)
        if reason:
            self._ledger.drop(reason, 1)
        self.unwritten += mark == LOST or reason is not None

    def _opened(self) -> bool:
        """Have a folder to write to: the one of before, or a new one."""
        if self._writer is not None and self._writer.folder.exists():
            return True
        if self._writer is not None:
            self.forget()
            self._writer = self.disk = None
        settings = self._settings
        root = usable(settings.spool_dir)
        if root is None:
            return False
        self.home = service_folder(root, settings.service)
        owner = Owner(self._client_id, settings.service, settings.site, settings.url, __version__)
        found = made(self.home, owner)
        if found is None:
            return False
        folder, owned = found
        size = min(_SEGMENT_BYTES, settings.max_spool_bytes // 8)
        self._writer = writer = Writer(folder, owned, size, self._on_segment)
        if settings.url:
            held = lock(folder / SENT)
            self.disk = Backlog(folder, held, lambda _: writer.growing)
        return True
