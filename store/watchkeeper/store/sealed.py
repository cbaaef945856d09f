"""The folder of sealed days: Parquet files that any engine reads, and a manifest that vouches for each.

``sealed/day=2026-01-31/predictions-shop-ranker-1a2b3c4d-v1-0001.parquet``, zstd, sorted by time, ids as text, times in
UTC. ``_manifest.json`` beside them names every file with its rows and SHA-256; a file that it does not name is left
from a crash and belongs to nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from watchkeeper.schemas.errors import StoreUnavailable

MANIFEST = "_manifest.json"
"""Begins with an underscore: engines that read the folder leave such files out."""


class SealedColumn(msgspec.Struct, frozen=True):
    """What a column of features holds: the name that the sender used, and what it is."""

    name: str
    role: str
    kind: str


class SealedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of one day: which rows, how many, and what its bytes must hash to."""

    name: str
    table: str
    service: str | None
    model: str | None
    schema_version: int | None
    rows: int
    bytes: int
    sha256: str
    columns: dict[str, SealedColumn] = {}


class Manifest(msgspec.Struct, frozen=True):
    """Every file of one day."""

    day: str
    files: tuple[SealedFile, ...] = ()


class SealedDays:
    """Reads and extends the sealed days of one data folder. One writer at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def days(self) -> Iterator[str]:
        """Name the days, oldest first, as 2026-01-31."""
        for path in sorted(self.folder.glob("day=*")):
            if (path / MANIFEST).is_file():
                yield path.name.removeprefix("day=")

    def manifest(self, day: str) -> Manifest:
        """Give what a day holds; nothing where it was never sealed."""
        path = self.of(day) / MANIFEST
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError:
            return Manifest(day)
        except (OSError, msgspec.DecodeError) as error:
            raise StoreUnavailable(f"{path} cannot be read: {error}. Restore the folder of that day") from None

    def of(self, day: str) -> Path:
        """Give the folder of a day."""
        return self.folder / f"day={day}"

    def path(self, day: str, file: SealedFile) -> Path:
        """Give the path of one file."""
        return self.of(day) / file.name

    def fresh_path(self, day: str) -> Path:
        """Give a path to write a new file to; it counts only once it is added."""
        folder = self.of(day)
        folder.mkdir(parents=True, exist_ok=True)
        for parent in (self.folder, self.folder.parent):
            flushed(parent)
        return folder / ".writing.parquet"

    def replace(self, day: str, old: Sequence[SealedFile], new: Sequence[tuple[Path, SealedFile]]) -> None:
        """Take new files in and let old ones go, in one step: the manifest is what counts."""
        manifest = self.manifest(day)
        for written, file in new:
            flushed(written)
            written.replace(self.path(day, file))
        flushed(self.of(day))
        gone = {file.name for file in old}
        files = (*(file for file in manifest.files if file.name not in gone), *(file for _, file in new))
        write_flushed(self.of(day) / MANIFEST, msgspec.json.format(msgspec.json.encode(Manifest(day, files)), indent=1))
        for file in old:
            self.path(day, file).unlink(missing_ok=True)

    def name(self, day: str, table: str, service: str | None, model: str | None, version: int | None) -> str:
        """Give a file name that was never used on that day."""
        shown = re.sub(r"[^A-Za-z0-9.]+", "-", f"{service or 'none'}-{model or ''}").strip("-")[:60]
        mark = hashlib.sha256(f"{service}\0{model}".encode()).hexdigest()[:8]
        stem = f"{table}-{shown}-{mark}" + (f"-v{version}" if version else "")
        number = 1
        with contextlib.suppress(ValueError):
            number += max(int(p.stem.rpartition("-")[2]) for p in self.of(day).glob(f"{stem}-*.parquet"))
        return f"{stem}-{number:04d}.parquet"


def digest(path: Path) -> str:
    """Give the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_flushed(path: Path, data: bytes) -> None:
    """Write a small file so that after a crash the old or the new one is there, whole."""
    written = path.with_name(f".{path.name}.writing")
    written.write_bytes(data)
    flushed(written)
    written.replace(path)
    flushed(path.parent)


def flushed(path: Path) -> None:
    """Have a file or folder on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
