"""Sends the demo's events through the real SDK, in the order in which they happened, day after day."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from watchkeeper.schemas.errors import Unavailable
from watchkeeper_sdk import Client

TimedEvent = tuple[str, float, dict[str, Any]]
DAY = timedelta(days=1).total_seconds()
FLUSH_SECONDS = 60.0


class Replay:
    """Where a replay stands, and the clients that it sends through."""

    def __init__(self, url: str, services: Iterable[str], start: datetime) -> None:
        self._clients = {
            service: Client(url=url, service=service, flush_interval=0.2, max_queue_events=100_000, spool_dir="")
            for service in services
        }
        self.now = start

    def run(self, sources: Iterable[Iterator[TimedEvent]], on_day: Callable[[datetime, int], None]) -> None:
        """Send everything; a day is on the server's disk before the next one begins."""
        sent = 0
        for day, events in groupby(heapq.merge(*sources, key=itemgetter(1)), key=lambda event: event[1] // DAY):
            for kind, at, fields in events:
                self._log(kind, fields)
                self.now = datetime.fromtimestamp(at, UTC)
                sent += 1
            for service, client in self._clients.items():
                if not client.flush(FLUSH_SECONDS):
                    raise Unavailable(f"the demo's server took no events of {service} for {FLUSH_SECONDS:.0f} s")
            on_day(datetime.fromtimestamp(day * DAY, UTC), sent)

    def close(self) -> None:
        """End the clients."""
        for client in self._clients.values():
            client.shutdown()

    def _log(self, kind: str, fields: dict[str, Any]) -> None:
        client = self._clients[fields["service"]]
        own = {name: value for name, value in fields.items() if name != "service"}
        if kind == "predictions":
            client.log_prediction(**own)
        elif kind == "outcomes":
            client.log_outcome(own.pop("prediction_id"), own.pop("value"), **own)
        elif kind == "reviews":
            client.log_review(own.pop("prediction_id"), own.pop("decision"), **own)
        else:
            client.mark_change(own.pop("kind"), own.pop("title"), **own)
