"""What the server's process holds: no library that is for the desk alone, and memory in bounds."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from e2e.running import Server, until

HEAVY = {"pandas", "sklearn", "scipy.stats", "evidently", "matplotlib", "streamlit", "plotly", "apprise"}
GENEROUS_MB = 450
"""The figure itself is the benchmark's; this is where something went in that does not belong there."""
TELLING = """
import json, signal, sys
from pathlib import Path
from watchkeeper.app.cli import main
target = Path(sys.argv.pop(1))
def tell(*_):
    part = target.with_suffix(".part")
    part.write_text(json.dumps(sorted(sys.modules)))
    part.replace(target)
signal.signal(signal.SIGUSR1, tell)
main()
"""
"""The server as it is, but it writes down its modules when it is asked to."""
START = datetime(2026, 3, 2, tzinfo=UTC)


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_after_ten_thousand_events_a_round_of_analyzers_and_a_query(tmp_path):
    told = tmp_path / "modules.json"
    settings = {"WATCHKEEPER_SERVER_CLOCK": "events", "WATCHKEEPER_SCHEDULE_MIN_EVERY_SECONDS": "86400"}
    with Server(tmp_path, settings, (sys.executable, "-c", TELLING, str(told))) as server:
        for day in range(40):
            at = (START + timedelta(days=day)).timestamp()
            server.send("predictions", *(event(250 * day + place, at + 300 * place) for place in range(250)))
        server.settled()
        midnight = START + timedelta(days=39)
        until(
            server.status,
            lambda s: s["evaluated_to"] and datetime.fromisoformat(s["evaluated_to"]) >= midnight,
            seconds=120,
        )
        assert server.rows("histogram", service="desk", model="default", feature="x1")
        assert server.rows("readings", service="desk", metric="psi"), "the analyzers did not look"
        assert server.client.get("/metrics").status_code == 200
        os.kill(server.pid, signal.SIGUSR1)
        modules = set(json.loads(until(lambda: told.exists() and told.read_text(), bool)))
        used = resident_mb(server.pid)
    assert {"duckdb", "polars", "scipy.special"} <= modules
    assert modules & HEAVY == set()
    assert used < GENEROUS_MB


def event(number: int, at: float) -> dict[str, object]:
    return {
        "id": f"desk-{number}",
        "service": "desk",
        "ts": at,
        "prediction": number % 3 == 0,
        "score": (number % 100) / 100,
        "latency_ms": 10 + number % 50,
        "features": {f"x{place}": (number * (place + 7)) % 1000 / 10 for place in range(12)} | {"c": "abc"[number % 3]},
    }
