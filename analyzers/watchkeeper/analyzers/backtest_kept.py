"""How far a replay is, in a folder: the facts that it has loaded, and what the schedule remembers beside them.

The state is written after the facts: whoever was killed between the two loads the same rows again, which adds nothing.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.findings import Finding
from watchkeeper.store import statements
from watchkeeper.store.facts import references
from watchkeeper.store.facts.connection import FactStore

FORM = 3
"""Raised with every change of what is kept, so that nothing goes on from what another release has left."""
CHUNK = 2**20


class State(Struct, frozen=True):
    """Everything beside the facts that a replay goes on from."""

    until: datetime
    has_reference: bool
    watermarks: dict[str, datetime]
    open: list[dict[str, Any]]
    loudness: dict[str, int]
    lines: list[dict[str, object]]
    heard: Any = None
    recipe: str = ""

    @classmethod
    def of(
        cls,
        until: datetime,
        has_reference: bool,
        watermarks: Mapping[str, datetime],
        findings: Sequence[Finding],
        loudness: Mapping[str, int],
        lines: Sequence[dict[str, object]],
        heard: Any,
    ) -> State:
        """Gather it."""
        held = [statements.of(finding) for finding in findings]
        return cls(until, has_reference, dict(watermarks), held, dict(loudness), list(lines), heard)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that were open, without their snapshots."""
        return tuple(statements.read(statement, {}) for statement in self.open)


def recipe(file: Path, reference_days: int, *, notices: bool = False) -> str:
    """Identify what is replayed, the file's bytes, the reference and who is asked; a changed file is begun anew."""
    digest = hashlib.blake2b(f"{FORM} {reference_days} {notices} {file.stem} ".encode(), digest_size=16)
    with file.open("rb") as source:
        while part := source.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()


class Kept:
    """The folder of one replay."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self._folder = folder
        self._recipe = recipe
        self._state = folder / "state.json"
        self.facts = folder / "facts.duckdb"

    def begin(self) -> State | None:
        """Give where to go on; None, and an empty folder, where it begins."""
        made = self._reference_made() if self.facts.exists() else None
        state = self._read()
        if state is not None and made == state.has_reference:
            return state
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return None

    def put(self, state: State) -> None:
        """Keep a state, wholly or not at all."""
        new = self._state.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(msgspec.structs.replace(state, recipe=self._recipe)))
        new.replace(self._state)

    def _read(self) -> State | None:
        try:
            state = msgspec.json.decode(self._state.read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return None
        return state if state.recipe == self._recipe else None

    def _reference_made(self) -> bool:
        """Whether the facts hold a reference: one that was made after the state would be seen too early."""
        try:
            facts = FactStore(self.facts, threads=1)
        except StoreUnavailable:
            raise StoreUnavailable(
                f"{self.facts} cannot be opened: wait for the other backtest of it, or remove {self._folder}"
            ) from None
        try:
            return references.any_made(facts)
        finally:
            facts.close()
