"""An inbox, a store and a loader whose clock is set by hand; may be opened again on the same folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from collector.sent import TS, opened

from watchkeeper.collector.loader import InboxLoader
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader


class Reopening:
    def __init__(self, folder: Path, start: float = TS) -> None:
        self.folder = folder
        self.now_us = int(start) * 10**6
        self.open()

    def open(self) -> None:
        self.inbox = opened(self.folder)
        self.facts = FactStore(self.folder / "facts.duckdb")
        self.loader = Loader(self.facts, lambda: datetime.fromtimestamp(self.now_us / 1e6, UTC))
        self.pump = InboxLoader(
            self.inbox, self.loader, max_rows=1000, max_age=0.0, loaded=lambda _: None, now_us=lambda: self.now_us
        )

    def close(self) -> None:
        self.inbox.close()
        self.facts.close()

    def again(self) -> None:
        self.close()
        self.open()

    def load(self) -> int:
        return self.pump.load_pending()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.facts.read(sql).rows()
