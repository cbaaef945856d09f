"""Posted alerts at the server's own door: what is answered where no more can be kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx

from watchkeeper.alerts.alertmanager.inlet import MOST_ALERTS
from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.app.serving import create_app
from watchkeeper.schemas.settings import Settings, load
from watchkeeper.store.control import alert_journal

EMPTY = b"\x90"
"""No alert at all, as the journal writes it."""
ALERT = {"labels": {"alertname": "DiskFull"}}


def settings(folder: Path) -> Settings:
    return load(None, {}, {"server.data_dir": str(folder)})[0]


def test_a_full_journal_and_a_stopping_server_say_when_to_come_again(tmp_path: Path) -> None:
    rooms = Rooms(settings(tmp_path), open_stores(settings(tmp_path)))  # not started: nothing is applied
    app = create_app(rooms, None)

    async def post(body: object) -> tuple[int, str | None]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post("/api/v2/alerts", json=body)
        return answer.status_code, answer.headers.get("retry-after")

    async def ask(path: str) -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return (await client.get(path)).text

    try:
        with rooms.stores.control.transaction() as tx:
            alert_journal.append(tx, [alert_journal.Post(datetime.now(UTC), MOST_ALERTS - 1, EMPTY)])
        assert asyncio.run(post([ALERT])) == (200, None)
        assert asyncio.run(post([ALERT])) == (429, "2")
        assert asyncio.run(post([])) == (200, None)
        counted = asyncio.run(ask("/metrics"))
        assert f'watchkeeper_posted_alerts_waiting{{stage="journal"}} {MOST_ALERTS:.1f}' in counted
        assert 'watchkeeper_posted_alerts_waiting{stage="applied"} 0.0' in counted
        rooms.alert_inlet.close()
        assert asyncio.run(post([ALERT])) == (503, "2")
    finally:
        rooms.stores.inbox.close()
        rooms.stores.control.close()
        rooms.stores.facts.close()
