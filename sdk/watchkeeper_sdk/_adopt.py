"""Looks after the folders of one service: takes over those of dead processes, and keeps the whole within its bounds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ._backlog import Left, left
from ._folder import clients, lives, segment, segments

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from ._backlog import Backlog


_MOST_HELD = 32
"""Folders at once: each costs the host a descriptor."""


def adopted(home: Path, url: str, own: Path | None, held: Collection[Backlog]) -> list[Left]:
    """Take over what dead processes left for the same server. What they left for another one stays for its own."""
    taken: list[Left] = []
    known = {own, *(backlog.folder for backlog in held)}
    for folder in clients(home):
        if len(held) + len(taken) >= _MOST_HELD:
            break
        if folder in known or lives(folder):
            continue
        found = left(folder)
        if found is None:
            continue
        if found.owner.url == url and segments(folder):
            taken.append(found)
        else:
            found.close()
    return taken


def bound(home: Path, max_bytes: int, oldest: float, held: Iterable[Backlog]) -> int:
    """Give up the oldest segments while all together have over ``max_bytes``, or were last written before ``oldest``.

    Only what this process sends, or could, is given up: a living process looks after its own folder, and what a
    folder lost is noted in it. A segment that grows stays. Tells how many events were lost.
    """
    mine = {backlog.folder: backlog for backlog in held}
    total = lost = 0
    found: list[tuple[float, int, int, Path]] = []
    for folder in clients(home):
        numbers = segments(folder)
        may_grow = numbers[-1:] if lives(folder) else []
        for number in numbers:
            with contextlib.suppress(OSError):
                about = segment(folder, number).stat()
                total += about.st_size
                if number not in may_grow:
                    found.append((about.st_mtime, number, about.st_size, folder))
    for written, number, size, folder in sorted(found):
        if total <= max_bytes and written >= oldest:
            break
        backlog = mine.get(folder) or left(folder)
        if backlog is not None:
            lost += backlog.drop(number)
            total -= size
            if folder not in mine:
                backlog.close()
    return lost
