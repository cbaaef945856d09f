"""Takes the folder of declared files into control data: all of it, or nothing and every reason why."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import msgspec
import yaml

from watchkeeper.schemas.declared import Declarations, Declared, parse
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Json
from watchkeeper.store.control import audit, declared
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.declared import Document, Key
from watchkeeper.store.control.declared_checks import contradictions, warnings
from watchkeeper.store.control.declared_lines import with_line
from watchkeeper.store.control.records import AuditEntry

Check = Callable[[Declarations], Sequence[str]]
"""Says why declarations cannot be used, for what another room knows (which receivers exist, say)."""


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What an apply did, each entry as ``Kind name``; warnings are things that work but will be regretted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    warnings: tuple[str, ...]


def apply(folder: Path, control: Control, now: datetime, actor: str, checks: Sequence[Check] = ()) -> ApplyReport:
    """Make the folder's documents the declarations in force; what is gone from the folder is removed.

    Raises:
        SettingsError: one or more documents cannot be used; the message lists all of them, and nothing is changed.

    """
    wanted, declarations = read(folder, checks)
    with control.transaction() as tx:
        tx.serialize("apply")
        return _store(tx, wanted, now, actor, warnings(declarations))


def read(folder: Path, checks: Sequence[Check] = ()) -> tuple[dict[Key, Document], Declarations]:
    """Read and check every ``*.yaml`` and ``*.yml`` of the folder, without storing anything."""
    if not folder.is_dir():
        raise SettingsError(f"{folder}: there is no such folder; declared files stand in one folder, as *.yaml")
    reading = _Reading()
    for path in sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"} and path.is_file()):
        reading.take_file(path)
    declarations, unresolved = declared.collect(reading.parsed)
    problems = sorted(reading.problems + unresolved, key=_file) + contradictions(declarations)
    problems += [problem for check in checks for problem in check(declarations)]
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise SettingsError(f"{folder}: {len(problems)} problem(s), nothing was applied:\n{listed}")
    return reading.documents, declarations


def _file(problem: str) -> str:
    return problem.replace(":", ",").partition(",")[0]


class _Reading:
    """Collects documents and problems over all files, so that one run shows everything that is to be corrected."""

    def __init__(self) -> None:
        self.documents: dict[Key, Document] = {}
        self.parsed: list[tuple[str, Declared]] = []
        self.problems: list[str] = []
        self._first: dict[Key, str] = {}

    def take_file(self, path: Path) -> None:
        number = 0
        try:
            text = path.read_text(encoding="utf-8")
            known = len(self.problems)
            for number, content in enumerate(yaml.safe_load_all(text), 1):
                if content is not None:
                    self._take(content, f"{path.name}, document {number}")
                    self.problems[known:] = [with_line(one, text, number) for one in self.problems[known:]]
                    known = len(self.problems)
        except yaml.YAMLError as error:
            self.problems.append(f"{path.name}, document {number + 1}: not YAML: {' '.join(str(error).split())}")
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{path.name}: cannot be read: {error}")

    def _take(self, content: object, where: str) -> None:
        try:
            kind, thing = parse(content, where)
            document = _plain(content, where)
        except SettingsError as error:
            self.problems.append(str(error))
            return
        key = (kind, thing.name)
        if key in self._first:
            self.problems.append(f"{where}: {kind} {thing.name} is already declared in {self._first[key]}")
            return
        self._first[key] = where
        self.documents[key] = document
        self.parsed.append((kind, thing))


def _plain(content: object, where: str) -> Document:
    """Give the document as JSON would hold it: YAML has dates and infinities that JSON has not."""
    try:
        document: object = msgspec.to_builtins(content, str_keys=True)
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{where}: {error}") from None
    return cast("Document", document)


def _store(
    tx: Transaction, wanted: dict[Key, Document], now: datetime, actor: str, warned: Sequence[str]
) -> ApplyReport:
    held = declared.documents(tx)
    changes = {
        "added": sorted(wanted.keys() - held.keys()),
        "changed": sorted(key for key in wanted.keys() & held.keys() if wanted[key] != held[key]),
        "removed": sorted(held.keys() - wanted.keys()),
    }
    for action, keys in changes.items():
        for key in keys:
            version = declared.put(tx, key, wanted.get(key), now, actor)
            detail: dict[str, Json] = {"version": version}
            audit.add(tx, AuditEntry(now, actor, f"declared.{action}", _label(key), detail))
    unchanged = sorted(key for key in wanted.keys() & held.keys() if wanted[key] == held[key])
    return ApplyReport(
        added=tuple(map(_label, changes["added"])),
        changed=tuple(map(_label, changes["changed"])),
        unchanged=tuple(map(_label, unchanged)),
        removed=tuple(map(_label, changes["removed"])),
        warnings=tuple(warned),
    )


def _label(key: Key) -> str:
    return " ".join(key)
