"""What keeps the data folder in order: letting go of what is old. One such act at a time."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from watchkeeper.app import __version__
from watchkeeper.schemas.declared import Declarations, Retention
from watchkeeper.schemas.errors import SettingsError, Unavailable
from watchkeeper.schemas.findings import Json
from watchkeeper.schemas.settings import Settings
from watchkeeper.store import backup
from watchkeeper.store import subjects as subjects_named
from watchkeeper.store.clock import Clock, stored, wall
from watchkeeper.store.control import audit, copying, watermarks
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.facts import erasure, retention
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.kept import Keep, Policy
from watchkeeper.store.sealed import SealedDays

log = logging.getLogger("watchkeeper.upkeep")
RETENTION = "retention"
"""The name of the watermark that says when it last ran; its subject keeps it apart from those of analyzers."""


@dataclass(frozen=True, slots=True)
class By:
    """Who asks for it, and the API key by which, for the audit log."""

    actor: str
    key: str | None = None


SERVER = By("watchkeeper")


class Upkeep:
    """The acts that need the stores as a whole. Each waits for the one that runs and is audited."""

    def __init__(
        self,
        settings: Settings,
        facts: FactStore,
        control: Control,
        clock: Clock,
        declarations: Callable[[], Declarations],
        inbox: Callable[[Path], None],
        drain: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.sealed = SealedDays(settings.data_dir / "sealed")
        self._facts = facts
        self._control = control
        self._clock = clock
        self._declarations = declarations
        self._inbox = inbox
        self._drain = drain
        self._one = threading.Lock()
        self.policy = Policy()
        """What is kept how long, as far as ``renew`` has looked; for ever before that."""

    def renew(self) -> Policy:
        """Read anew what is kept how long."""
        self.policy = policy_of(self.settings, self._declarations())
        return self.policy

    def daily(self) -> None:
        """Let go of what is old, once a day; look every hour or so."""
        try:
            self.renew()
        except SettingsError as error:
            log.error("nothing is let go: %s", error)  # noqa: TRY400 - the sentence says it all
            return
        today = self._clock()
        with self._control.snapshot() as tx:
            last = watermarks.get(tx, RETENTION, "run")
        if last is not None and last.date() >= today.date():
            return
        try:
            self.retention(SERVER)
        except Unavailable as error:
            log.warning("retention will be tried again: %s", error)

    def retention(self, by: By, *, dry_run: bool = False) -> dict[str, Any]:
        """Let go of what is older than it is kept; only say what that is on a dry run."""
        now, policy = self._clock(), self.renew()
        if dry_run:
            return asdict(retention.due(self._facts, policy, stored(now)))
        with self.alone():
            report = asdict(retention.run(self._facts, self.sealed, policy, stored(now)))
        with self._control.transaction() as tx:
            watermarks.put(tx, RETENTION, now, "run")
            if any(report.values()):
                log.info("retention: %s", report)
                self.audited(tx, by, "retention", str(self.settings.data_dir), report)
        return report

    def backup(self, by: By, to: Path) -> dict[str, Any]:
        """Copy everything into a new folder (an absolute path); events are taken in meanwhile."""
        folder, began = self.settings.data_dir.absolute(), wall()
        if to == folder or folder in to.parents:
            raise SettingsError(f"{to} is in the data folder: a backup belongs elsewhere, best on another disk")
        with self.alone():
            sources = backup.Sources(self._facts, self._inbox, self._copy_control, self.sealed)
            made = backup.take(sources, to, __version__, began)
        report: dict[str, Any] = {"files": len(made.files), "bytes": made.bytes}
        with self._control.transaction() as tx:
            self.audited(tx, by, "backup", str(to), report | {"seconds": round((wall() - began).total_seconds(), 1)})
        return report

    def _copy_control(self, to: Path) -> None:
        if self._control.file is None:
            copying.dump(self._control, to)
        else:
            backup.copy_sqlite(self._control.file, to)

    def erase(self, by: By, named: Sequence[str], *, dry_run: bool = False) -> dict[str, Any]:
        """Remove everything about these subjects; only count it on a dry run. The audit log keeps their hashes."""
        subjects = [subjects_named.parse(text) for text in named]
        with self.alone():
            self._drain()
            erased = erasure.erase(self._facts, self.sealed, subjects, dry_run=dry_run)
        report: dict[str, Any] = asdict(erased)
        if not dry_run:
            hashes: list[Json] = [subject.digest for subject in subjects]
            with self._control.transaction() as tx:
                self.audited(tx, by, "erase", "sha256", report | {"subjects": hashes})
        return report

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        """Hold off every other act of upkeep."""
        if not self._one.acquire(timeout=timedelta(minutes=10).total_seconds()):
            raise Unavailable("another backup, retention or erasure is still running: try again later")
        try:
            yield
        finally:
            self._one.release()

    def audited(self, tx: Transaction, by: By, action: str, subject: str, detail: dict[str, Json]) -> None:
        """Write down who did what."""
        audit.add(tx, AuditEntry(wall(), by.actor, action, subject, detail, by.key))


def policy_of(settings: Settings, declared: Declarations) -> Policy:
    """Join the limits of the settings and of the declared systems.

    Raises SettingsError where facts would go before a reference is made of them.
    """
    given = settings.retention
    default = Keep(given.facts_days, given.rollups_days, given.rejects_days, given.text_days)
    services = {
        service: _keep(system.retention, default)
        for system in declared.systems
        if system.retention is not None
        for service in system.services
    }
    for name, keep in [("retention.facts_days", default), *services.items()]:
        if 0 < keep.facts < settings.reference.days:
            raise SettingsError(
                f"{name}: facts are kept for {keep.facts} days, a reference is made of {settings.reference.days} "
                "(reference.days): keep them as long, or take a shorter reference"
            )
    return Policy(default, services)


def _keep(given: Retention | None, default: Keep) -> Keep:
    def either(own: int | None, general: int) -> int:
        return general if own is None else own

    if given is None:
        return default
    return Keep(
        either(given.facts_days, default.facts),
        either(given.rollups_days, default.rollups),
        either(given.rejects_days, default.rejects),
        either(given.text_days, default.text),
    )
