"""Copies of a running server's data folder: control data, then the inbox, then the facts, then the sealed days.

Why that order loses nothing and repeats nothing. Let W be the position up to which the facts hold the inbox; it only
grows, and the inbox lets go of a batch only after the facts have committed it (``trim`` after ``load``).

- The inbox is copied at one moment, the facts at one later moment (nothing writes to them while they are copied). A
  batch that was answered before the backup began is, at the first moment, either still in the inbox, so it is in the
  copy; or it was let go, so it was at or before W then, and the later copy of the facts holds it. So nothing is lost.
- A restored server loads the batches of its inbox after W of its facts, and only those. A batch that is in both copies
  is at or before W, and is not read again. So nothing is there twice.
- A batch that came between the two moments is in the facts (if it was loaded) or in neither. Its number may be behind
  the inbox's last one: the server moves the inbox's numbers to W before it takes anything (``Inbox.number_after``).
- Control data are copied first, in one snapshot, from PostgreSQL too. They are older than the facts: what was judged
  in between is judged again from the same facts, under the same keys. The other way round they would say that facts
  were judged which the copy does not hold.
- Rows leave the facts only after they are sealed, so sealed days are copied last; a day that is both in the copied
  facts and sealed is recognised by its ids at the next retention. Retention and erasure wait while a backup runs.

Copied the other way round (facts, then inbox), a batch that was loaded and let go in between would be in neither.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from watchkeeper.schemas.errors import InputError, NotFound, SettingsError, StoreUnavailable
from watchkeeper.store.facts import tables
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.sealed import SealedDays, digest, flushed, write_flushed

MANIFEST = "backup.json"
FACTS, INBOX, CONTROL, SEALED = "facts.duckdb", "inbox.db", "control.db", "sealed"


class CopiedFile(msgspec.Struct, frozen=True):
    """One file of a backup, by its path in it, and what its bytes must hash to."""

    path: str
    bytes: int
    sha256: str


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds. It is written last: without it a backup is not whole."""

    version: str
    facts_schema: int
    began: datetime
    watermark: int
    files: tuple[CopiedFile, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Sources:
    """What is copied; ``inbox`` and ``control`` write what they hold at one moment into a new SQLite file."""

    facts: FactStore
    inbox: Callable[[Path], None]
    control: Callable[[Path], None]
    sealed: SealedDays


def take(sources: Sources, to: Path, version: str, began: datetime) -> Backup:
    """Copy everything into a folder that is new or empty; events are taken in meanwhile.

    Loading waits while the facts are copied. Raises SettingsError for a folder that cannot be used and
    StoreUnavailable where the disk is full; what was copied until then is no backup, for it has no manifest.
    """
    _empty_folder(to)
    try:
        sources.control(to / CONTROL)
        flushed(to / CONTROL)
        sources.inbox(to / INBOX)
        sources.facts.copy_file(to / FACTS)
        for path in _sealed(sources.sealed):
            _link_or_copy(path, to / SEALED / path.relative_to(sources.sealed.folder))
        watermark = _opened(to / FACTS)
        files = tuple(_described(path, to) for path in sorted(to.rglob("*")) if path.is_file())
        made = Backup(version, len(tables.STEPS), began, watermark, files)
        for folder in (to, *(path for path in to.rglob("*") if path.is_dir())):
            flushed(folder)
        write_flushed(to / MANIFEST, msgspec.json.format(msgspec.json.encode(made), indent=1))
        flushed(to.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"the backup in {to} is not whole: {error}. Remove it and take another") from None
    return made


def restore(source: Path, to: Path) -> Backup:
    """Check every file of a backup and put them into a new folder; all of it or nothing.

    Raises NotFound without a backup, InputError for a damaged one, SettingsError for a folder that is not empty or a
    backup of a newer release.
    """
    made = _manifest(source)
    if made.facts_schema > len(tables.STEPS):
        raise SettingsError(f"{source} was made by watchkeeper {made.version}, which is newer: restore it with that")
    if to.exists() and any(to.iterdir()):
        raise SettingsError(f"{to} is not empty: restore into a new folder, and move the old one away yourself")
    for file in made.files:
        path = source / file.path
        if not path.is_file() or path.stat().st_size != file.bytes or digest(path) != file.sha256:
            raise InputError(f"{path} is missing or not what was backed up: take another backup")
    begun = to.with_name(f".{to.name}.restoring")
    shutil.rmtree(begun, ignore_errors=True)
    try:
        for file in made.files:
            target = begun / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file.path, target)
            flushed(target)
        for folder in (begun, *(path for path in begun.rglob("*") if path.is_dir())):
            flushed(folder)
        if to.exists():
            to.rmdir()
        begun.rename(to)
        flushed(to.parent)
    except OSError as error:
        shutil.rmtree(begun, ignore_errors=True)
        raise StoreUnavailable(f"{to} cannot be written: {error}. Nothing was restored") from None
    return made


def copy_sqlite(source: Path, to: Path) -> None:
    """Copy one moment of a SQLite database that is in use, without what was deleted from it."""
    with contextlib.closing(sqlite3.connect(source, timeout=30)) as connection:
        connection.execute("VACUUM INTO ?", (str(to),))
    to.chmod(0o600)
    flushed(to)


def _manifest(source: Path) -> Backup:
    try:
        return msgspec.json.decode((source / MANIFEST).read_bytes(), type=Backup)
    except OSError:
        raise NotFound(f"{source} holds no whole backup: {MANIFEST} is not there") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{source / MANIFEST} cannot be read: {error}") from None


def _empty_folder(to: Path) -> None:
    if not to.is_absolute():
        raise SettingsError(f"{to} is not an absolute path: the server has a working folder of its own")
    try:
        to.mkdir(exist_ok=True, mode=0o700)
        used = any(to.iterdir())
    except OSError as error:
        raise SettingsError(f"{to} cannot be a folder: {error.strerror}") from None
    if used:
        raise SettingsError(f"{to} is not empty: name a new folder")


def _opened(facts: Path) -> int:
    """Open the copy as a restored server would, which folds its log into it; give the position that it holds."""
    copy = FactStore(facts)
    try:
        return int(copy.read("SELECT seq FROM inbox_watermark").item())
    finally:
        copy.close()


def _sealed(sealed: SealedDays) -> Iterator[Path]:
    for day in sealed.days():
        yield from sorted(path for path in sealed.of(day).iterdir() if not path.name.startswith("."))


def _link_or_copy(source: Path, to: Path) -> None:
    """Sealed files are never written to again, so that a link is as good as a copy where it is possible."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, to)
    except OSError:
        shutil.copyfile(source, to)
        flushed(to)


def _described(path: Path, folder: Path) -> CopiedFile:
    return CopiedFile(str(path.relative_to(folder)), path.stat().st_size, digest(path))
