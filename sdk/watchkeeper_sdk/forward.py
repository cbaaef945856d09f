"""Sends what processes left in a spool: ``python -m watchkeeper_sdk.forward --spool DIR --url URL``.

It answers "how do events leave a host that is offline for days, or whose services do not send themselves?". It only
reads spools: of processes that ended, however they did, and of living ones that write without sending. It misleads
where two hosts share a folder over a network that knows no locks. Exit codes: 0 done, 2 it cannot be used.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ._adopt import bound
from ._backlog import left
from ._folder import clients, lives, segments
from ._post import Post
from ._settings import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._backlog import Left
    from ._parcel import Parcel
    from ._settings import Settings


_LOOK_EVERY = 1.0
_MOST_HELD = 200
"""Folders at once: each costs a descriptor."""


class Forwarder:
    """Sends all that it may from one spool to one server."""

    def __init__(self, root: Path, settings: Settings, say: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        """Events: ``sent`` (answered for by the server), and what was lost, by reason."""
        self.stop = threading.Event()
        self._root = root
        self._settings = settings
        self._say = say
        self._said: set[str] = set()
        self._post = Post(settings.url, settings.api_key, self._complain)
        self._held: dict[Path, Left] = {}
        self._look_at = 0.0

    def run(self, *, once: bool) -> None:
        """Send until told to stop, or, for ``once``, until nothing is left that may be sent."""
        try:
            while not self.stop.is_set():
                self._look_if_due()
                if self._round() or (once and self._look()):
                    continue
                if once:
                    break
                self.stop.wait(_LOOK_EVERY)
        finally:
            for backlog in self._held.values():
                backlog.close()
            self._post.close()

    def _round(self) -> bool:
        """Send at most one parcel of each client; False where there was none."""
        moved = False
        for folder, backlog in list(self._held.items()):
            parcel = backlog.next(self._settings.max_batch)
            if parcel is not None:
                moved = True
                self._send(backlog, parcel)
            elif not lives(folder):
                backlog.close()
                del self._held[folder]
            if self.stop.is_set():
                break
        return moved

    def _look_if_due(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look()
            self._look_at = time.monotonic() + _LOOK_EVERY

    def _look(self) -> bool:
        """Take over what may be sent, and keep the spool within its bounds; False where nothing new is to be sent."""
        oldest = time.time() - self._settings.max_spool_age
        more = False
        for home in self._homes():
            for folder in clients(home):
                if len(self._held) >= _MOST_HELD:
                    break
                to_send = bool(segments(folder))
                if folder in self._held or (lives(folder) and not to_send):
                    continue
                found = left(folder)
                if found is not None:  # one that is empty and dead is taken away
                    self._held[folder] = found
                    more = more or to_send
            dropped = bound(home, self._settings.max_spool_bytes, oldest, self._held.values())
            if dropped:
                self.counts["spool_full"] += dropped
                self._say(f"{dropped} events of {home.name} were dropped: the spool is over its bounds")
        return more

    def _homes(self) -> list[Path]:
        return sorted(path for path in self._root.iterdir() if path.is_dir()) if self._root.is_dir() else []

    def _send(self, backlog: Left, parcel: Parcel) -> None:
        """Post until nothing is left of the parcel, it is dropped for want of room, or the end."""
        while not (self.stop.is_set() or parcel.void):
            wait = self._post.attempt(parcel, backlog)
            if wait is None:
                backlog.finish(parcel)
                self.counts["sent"] += parcel.answered
                self.counts.update(parcel.dropped)
                return
            until = time.monotonic() + wait
            while not (self.stop.is_set() or parcel.void) and (rest := until - time.monotonic()) > 0:
                self.stop.wait(min(rest, _LOOK_EVERY))
                self._look_if_due()

    def _complain(self, about: str, message: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._say(message)

    def left(self) -> int:
        """How many segments wait in the spool, those of living processes that send themselves included?"""
        return sum(len(segments(folder)) for home in self._homes() for folder in clients(home))


def forward(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, forward, and say what was sent."""
    parser = argparse.ArgumentParser("python -m watchkeeper_sdk.forward", description="Send what waits in a spool.")
    parser.add_argument("--spool", help="folder of the spool; default: WATCHKEEPER_SPOOL_DIR")
    parser.add_argument("--url", help="the server; default: WATCHKEEPER_URL")
    parser.add_argument("--once", action="store_true", help="end when nothing is left to send")
    parser.add_argument("--max-bytes", type=int, default=None, help="drop the oldest beyond this, per service (1 GiB)")
    parser.add_argument("--max-age", type=float, default=None, help="drop what is older, in seconds (7 days)")
    given = parser.parse_args(arguments)
    spool = given.spool or os.environ.get("WATCHKEEPER_SPOOL_DIR")
    settings, complaints = resolve(given.url, "forward", {"spool_dir": ""})
    if not settings.url or not spool:
        reasons = [*complaints, *([] if spool else ["no spool: give --spool DIR or set WATCHKEEPER_SPOOL_DIR"])]
        print("; ".join(reasons or ["no url: give --url URL or set WATCHKEEPER_URL"]), file=sys.stderr)
        return 2
    bounds = {"max_spool_bytes": given.max_bytes, "max_spool_age": given.max_age}
    settings = settings.but({name: value for name, value in bounds.items() if value is not None})
    forwarder = Forwarder(Path(spool), settings, lambda line: print(line, file=sys.stderr, flush=True))

    def end(_number: int, _frame: object) -> None:
        forwarder.stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        forwarder.run(once=given.once)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    sent = forwarder.counts.pop("sent", 0)
    lost = "".join(f", {count} lost ({reason})" for reason, count in sorted(forwarder.counts.items()) if count)
    print(f"{sent} events sent to {settings.url}{lost}; {forwarder.left()} segments left")
    return 0


if __name__ == "__main__":
    sys.exit(forward())
