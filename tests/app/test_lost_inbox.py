"""inbox.db may be lost or restored from an older copy: what is acknowledged afterwards must still be loaded."""

from __future__ import annotations

import contextlib
from pathlib import Path

from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.collector.inbox import Incoming
from watchkeeper.schemas.settings import load


def take(folder: Path, name: str) -> int:
    """Start on this folder, keep one event, load it, stop; give how many predictions are stored."""
    settings, _ = load(None, {}, {"server.data_dir": str(folder)})
    stores = open_stores(settings)
    rooms = Rooms(settings, stores)
    try:
        body = f'{{"id":"{name}","service":"s","ts":1767225600}}'.encode()
        stores.inbox.append(Incoming("predictions", "ndjson", 1767225600_000_000, body, 1, (), b"")).result()
        rooms.loader.load_pending()
        return int(stores.facts.read("SELECT count(*) AS n FROM predictions")["n"].item())
    finally:
        stores.inbox.close()
        stores.control.close()
        stores.facts.close()


def test_events_after_a_lost_inbox_are_loaded(tmp_path: Path) -> None:
    assert take(tmp_path, "a") == 1
    assert take(tmp_path, "b") == 2
    for name in ("inbox.db", "inbox.db-wal", "inbox.db-shm"):
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / name).unlink()
    assert take(tmp_path, "c") == 3
