"""The folder of one client in the spool: who owns it, who sends from it, and where it may stand.

``SPOOL/SERVICE/PID-CLIENT/`` holds ``owner`` (who logged, locked while that process lives), ``sent`` (how far it was
sent, locked by who sends) and segments named by their first event: ``0000000000000001.log``. The locks are flock: the
kernel lets them go with the process, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows: there the memory queue is used
    fcntl = None

OWNER = "owner"
SENT = "sent"
SEGMENT = ".log"
STATE_BYTES = 1024
_UNFINISHED = ".new-"


@dataclass(frozen=True)
class Owner:
    """Who logged into a folder."""

    client: str
    service: str | None = None
    site: str | None = None
    url: str = ""
    version: str = ""


def lock(path: Path, *, create: bool = False) -> int:
    """Lock a file for this process and give its descriptor; -1 where another process has it, or it is not there."""
    if fcntl is None:
        return -1
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    except OSError:
        return -1
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return -1
    return handle


def lives(folder: Path) -> bool:
    """Does the process that owns this folder still run (or keep its client open)?"""
    handle = lock(folder / OWNER)
    if handle < 0:
        return (folder / OWNER).exists()
    os.close(handle)
    return False


def made(service_folder: Path, owner: Owner) -> tuple[Path, int] | None:
    """Make and lock the folder of a new client; None where the disk does not take it."""
    name = f"{os.getpid()}-{owner.client}"
    unfinished = service_folder / (_UNFINISHED + name)
    handle = -1
    try:
        service_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        handle = lock(unfinished / OWNER, create=True)
        if handle < 0:
            return None
        os.write(handle, json.dumps({**asdict(owner), "began": time.time()}).encode())
        sent = lock(unfinished / SENT, create=True)
        os.write(sent, b"{}".ljust(STATE_BYTES - 1) + b"\n")  # its block is taken now: the disk may be full later
        os.close(sent)
        # It has its name only once it is locked: nobody takes it for a dead one.
        return unfinished.rename(service_folder / name), handle
    except OSError:
        if handle >= 0:
            os.close(handle)
        return None


def removed(folder: Path) -> None:
    """Take an empty folder away; one that is in use meanwhile stays."""
    with contextlib.suppress(OSError):
        for name in (SENT, OWNER):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def owner_of(folder: Path) -> Owner:
    """Who logged here, by the file ``owner``; what it does not say comes from the folder's name."""
    found: object = None
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / OWNER).read_bytes())
    said = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    texts = {name: text for name, text in said.items() if name in Owner.__annotations__ and isinstance(text, str)}
    return Owner(**{"client": folder.name.rpartition("-")[2], **texts})


def segments(folder: Path) -> list[int]:
    """The numbers of the segments here, oldest first; none where the folder is gone."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  # names are enough, and asked for with each parcel
    except OSError:
        return []
    return sorted(int(name[: -len(SEGMENT)]) for name in names if name.endswith(SEGMENT) and name[:1].isdigit())


def segment(folder: Path, number: int) -> Path:
    """Where the segment that begins with this event is."""
    return folder / f"{number:016d}{SEGMENT}"


def clients(service_folder: Path) -> list[Path]:
    """The folders of all clients of one service."""
    try:
        return sorted(path for path in service_folder.iterdir() if path.name[:1] != "." and path.is_dir())
    except OSError:
        return []


def service_folder(root: Path, service: str) -> Path:
    """Where the clients of one service write.

    >>> service_folder(Path("spool"), "../a b").name
    '%2E.%2Fa%20b'
    """
    name = quote(service, safe="")[:150]
    return root / (f"%2E{name[1:]}" if name.startswith(".") else name)


def usable(spool_dir: str | None) -> Path | None:
    """Which folder holds the spool: the one asked for, else the first of the usual ones that can be written."""
    if fcntl is None or spool_dir == "":
        return None
    for root in [Path(spool_dir).absolute()] if spool_dir else _usual():
        with contextlib.suppress(OSError, RuntimeError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.access(root, os.W_OK | os.X_OK) and (spool_dir or _is_ours(root)):
                return root
    return None


def _usual() -> Iterator[Path]:
    with contextlib.suppress(RuntimeError, OSError):  # no home is known
        state = os.environ.get("XDG_STATE_HOME")
        yield (Path(state) if state else Path.home() / ".local" / "state") / "watchkeeper" / "spool"
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir()) / f"watchkeeper-spool-{os.getuid()}"


def _is_ours(root: Path) -> bool:
    """In a folder that all may write, another user could have made this one."""
    about = root.lstat()
    return about.st_uid == os.getuid() and not root.is_symlink() and not about.st_mode & 0o022
