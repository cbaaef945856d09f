"""What is done to a data folder that no server uses: restore a backup into it, compact it. Both are audited."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from watchkeeper.app.options import operator
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Json
from watchkeeper.schemas.settings import Settings
from watchkeeper.store import backup
from watchkeeper.store.clock import wall
from watchkeeper.store.control import audit, copying, outbox
from watchkeeper.store.control.connection import Control, Transaction, open_control
from watchkeeper.store.control.records import AuditEntry
from watchkeeper.store.facts import compaction


def restore(settings: Settings, source: Path, to: Path) -> dict[str, int]:
    """Restore a backup into a new folder, and its control data into ``control.url`` where that is a server's.

    The control data say so. Raises SettingsError where the server's database holds any already.
    """
    server = settings.control.url if not settings.control.url.startswith("sqlite") else ""
    if server:
        with _opened(server) as control, control.snapshot() as tx:
            copying.refuse_unless_empty(tx)
    made = backup.restore(source, to)
    if server:
        with _opened(server) as control:
            copying.fill(control, to / backup.CONTROL)
        (to / backup.CONTROL).unlink()
    detail: dict[str, Json] = {"from": str(source), "began": made.began.isoformat(), "watermark": made.watermark}
    with _opened(server or f"sqlite:///{to / backup.CONTROL}") as control, control.transaction() as tx:
        outbox.doubt(tx)  # so that it goes again under its own key, by which a receiver knows it
        _audit(tx, "restore", str(to), detail)
    return {"files": len(made.files), "bytes": made.bytes, "watermark": made.watermark}


def compact(settings: Settings) -> dict[str, int]:
    """Compact the facts of a stopped server."""
    facts = settings.data_dir / backup.FACTS
    if not facts.is_file():
        raise SettingsError(f"{settings.data_dir} holds no facts: set --data-dir")
    before, after = compaction.compact(facts)
    report = {"before": before, "after": after}
    with _opened(settings.control_url) as control, control.transaction() as tx:
        _audit(tx, "compact", str(settings.data_dir), dict(report))
    return report


def _audit(tx: Transaction, action: str, subject: str, detail: dict[str, Json]) -> None:
    audit.add(tx, AuditEntry(wall(), operator(), action, subject, detail))


@contextmanager
def _opened(url: str) -> Generator[Control]:
    control = open_control(url)
    try:
        yield control
    finally:
        control.close()
