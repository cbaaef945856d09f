"""From the three lines in a service to the message in someone's hands, and what that person answers."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from alerts.sink import Sink, sink
from e2e.running import Server, run, until

from watchkeeper_sdk import Client

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 40
RENAMED_ON = 33
A_DAY = 80
EVENT_TIME = {
    "WATCHKEEPER_SERVER_CLOCK": "events",
    "WATCHKEEPER_SERVER_DASHBOARD_URL": "https://watch.example",
    "WATCHKEEPER_SCHEDULE_MIN_EVERY_SECONDS": "86400",
}
COUNTRIES = ("DE", "FR", "PL", "AT")


def declared(folder: Path, receiver: str) -> Path:
    folder.mkdir()
    documents = [
        {
            "apiVersion": "watchkeeper/v1",
            "kind": "System",
            "metadata": {"name": "checkout"},
            "spec": {"services": ["checkout"], "owner": "payments", "runbook": "https://runbooks.example/checkout"},
        },
        {
            "apiVersion": "watchkeeper/v1",
            "kind": "Route",
            "metadata": {"name": "on-call"},
            "spec": {"receiver": {"type": "webhook", "url": receiver}},
        },
    ]
    (folder / "all.yaml").write_text(yaml.safe_dump_all(documents))
    return folder


def live(client: Client, days: range) -> None:
    """Let the service live through some days; its upstream renames FR to FRA on one of them."""
    chance = random.Random(days.start)
    for day in days:
        made: list[tuple[str, bool, float]] = []
        for place in range(A_DAY):
            at = (START + timedelta(days=day, seconds=place * 86400 / A_DAY)).timestamp()
            country = chance.choice(COUNTRIES)
            fraud = chance.random() < 0.2
            shown = "FRA" if country == "FR" and day >= RENAMED_ON else country
            features = {"amount": round(chance.lognormvariate(3, 1), 2), "country": shown}
            right = fraud if chance.random() < 0.9 else not fraud
            event_id = client.log_prediction(ts=at, model="fraud", prediction=right, features=features)
            made.append((event_id, fraud, at))
        for event_id, fraud, at in made:
            client.log_outcome(event_id, fraud, known_at=at + 3600, source="chargebacks")
        assert client.flush(60)


@pytest.fixture
def receiver() -> Iterator[Sink]:
    with sink() as receiving:
        yield receiving


def caught_up(server: Server, day: int) -> dict[str, Any]:
    """Wait until every analyzer has looked at the midnight after a day."""
    midnight = START + timedelta(days=day)
    server.settled()
    return until(
        server.status,
        lambda s: s["evaluated_to"] and datetime.fromisoformat(s["evaluated_to"]) >= midnight,
        seconds=180,
    )


def firing(receiver: Sink) -> list[dict[str, Any]]:
    return [one.body for one in receiver.received if one.body["status"] == "firing"]


@pytest.mark.timeout(300)
def test_a_renamed_category_reaches_a_person_once_and_the_answer_is_kept(tmp_path, receiver):
    server = Server(tmp_path, EVENT_TIME)
    applied = run("apply", declared(tmp_path / "watchkeeper.d", receiver.url), "--data-dir", server.data)
    assert applied.returncode == 0, applied.stderr
    assert "added" in applied.stdout
    client = Client(server.url, "checkout", flush_interval=0.05)
    try:
        server.start()
        live(client, range(RENAMED_ON))
        caught_up(server, RENAMED_ON - 1)
        assert receiver.received == [], "nothing had changed yet"

        live(client, range(RENAMED_ON, DAYS))
        status = caught_up(server, DAYS - 1)
        assert status["accepted"] == status["loaded"] == 2 * A_DAY * DAYS
        assert (status["rejected"], status["duplicates"], status["pending_outcomes"]) == (0, 0, 0)

        (message,) = until(lambda: firing(receiver), bool)
        first = message["alerts"][0]
        assert first["labels"]["subject"] == "country"
        assert first["annotations"]["subjects"].split(", ")[0] == "country"
        words = re.findall(r"\w+", first["annotations"]["summary"])
        assert words.index("FRA") < words.index("FR") < words.index("vanished")
        assert first["annotations"]["owner"] == "payments"
        (incident,) = server.get("/v1/incidents")["incidents"]
        assert incident["subjects"][0] == "country"
        assert first["generatorURL"] == incident["evidence_url"]
        assert incident["evidence_url"].startswith("https://watch.example/")
        assert incident["id"] in incident["evidence_url"]

        path = f"/v1/incidents/{incident['id']}"
        told = re.findall(r"^For example predictions (.+): the", first["annotations"]["message"], re.MULTILINE)
        for one in [*told[0].split(", "), *server.get(path)["examples"]]:
            assert server.get(f"/v1/predictions/{one}")["features"]["country"] == "FRA"
        server.client.post(f"{path}/acknowledge", json={"by": "ada"}).raise_for_status()
        verdict = {"word": "acted_on", "reason": "mapped FRA", "by": "ada"}
        server.client.post(f"{path}/feedback", json=verdict).raise_for_status()

        assert server.stop() == -15
        server.start()
        live(client, range(DAYS, DAYS + 2))
        caught_up(server, DAYS + 1)
        assert len(firing(receiver)) == 1, "a restart must not tell the same thing again"
        told = server.get(path)
        assert (told["state"], told["acknowledged_by"]) == ("firing", "ada")
        assert [word["word"] for word in told["feedback"]] == ["acted_on"]
        assert {"delivered"} == {delivery["state"] for delivery in told["deliveries"]}
        quality = {one["analyzer"]: one for one in server.get("/v1/alerts/quality")["analyzers"]}
        assert quality["data.unseen"]["acted_on"] == 1
        overrun = server.client.post(f"{path}/feedback", json={"word": "brilliant"})
        assert overrun.status_code == 422
        assert server.client.get("/v1/incidents/nobody").status_code == httpx.codes.NOT_FOUND
    finally:
        client.shutdown(10)
        server.end()
