"""What services send beside their predictions is read; what is protected is told in groups alone: a whole server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from e2e.running import Server, until

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS, A_DAY = 27, 60
SETTINGS = {
    "WATCHKEEPER_SERVER_CLOCK": "events",
    "WATCHKEEPER_REFERENCE_DAYS": "14",
    "WATCHKEEPER_REFERENCE_MIN_ROWS": "100",
    "WATCHKEEPER_SCHEDULE_MIN_EVERY_SECONDS": "86400",
}
DECLARED = """
apiVersion: watchkeeper/v1
kind: System
metadata: {name: loans}
spec: {services: [loans], owner: credit, protected: [gender]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    (folder / "declared").mkdir()
    (folder / "declared" / "loans.yaml").write_text(DECLARED)
    with Server(folder, SETTINGS | {"WATCHKEEPER_CONTROL_DECLARED_DIR": str(folder / "declared")}) as filled:
        fill(filled)
        yield filled


def fill(server: Server) -> None:
    loans, known, searches, clicks = [], [], [], []
    for number in range(DAYS * A_DAY):
        at = (START + timedelta(days=number // A_DAY, minutes=20 * (number % A_DAY))).timestamp()
        yes = number % 3 == 0
        loans.append(
            {
                "id": f"l{number}",
                "service": "loans",
                "ts": at,
                "prediction": yes,
                "confidence": 0.5 + (number % 50) / 100,
                "confidence_threshold": 0.7,
                "segments": {"gender": "f" if number % 7 < 3 else "m", "plan": "pro"},
                "features": {"income": float(number % 41), "gender": "f" if number % 7 < 3 else "m"},
                "reason_codes": [f"R{number % 4}"],
                "attributions": {"income": 0.3 * (number % 5), "age": -0.5},
                "checks": [{"name": "limits", "passed": number % 10 != 0}],
            }
        )
        known.append(
            {"prediction_id": f"l{number}", "prediction_ts": at, "value": yes == (number % 9 > 0), "known_at": at + 60}
        )
        items = [f"i{(number + step) % 9}" for step in range(5)]
        searches.append({"id": f"s{number}", "service": "search", "ts": at, "ranking": items})
        value = (items[0], json.dumps(items[:2]), json.dumps({items[1]: 2, items[4]: 1}), "[]")[number % 4]
        clicks.append({"prediction_id": f"s{number}", "prediction_ts": at, "value": value, "known_at": at + 60})
    server.send("predictions", *loans, *searches)
    server.send("outcomes", *known, *clicks)
    server.settled()
    until(server.status, lambda status: (status["evaluated_to"] or "") >= "2026-03-28")


def readings(server: Server, analyzer: str, service: str) -> set[str]:
    span = {"start": START.isoformat(), "end": (START + timedelta(days=40)).isoformat()}
    return {row["metric"] for row in server.rows("readings", analyzer=analyzer, service=service, **span)}


@pytest.mark.parametrize(
    ("analyzer", "service", "metrics"),
    [
        (
            "quality.fairness",
            "loans",
            {"selection_gap", "error_gap", "false_positive_gap", "false_negative_gap_needs_rows"},
        ),
        ("quality.selective", "loans", {"automation_rate", "selective_error", "risk_at_coverage", "aurc"}),
        ("quality.agreement", "loans", {"agreement", "kappa", "caught_share"}),
        ("quality.slices", "loans", {"slices_searched", "slices_refused", "slice_error"}),
        ("drift.reasons", "loans", {"reason_share", "attribution_share", "attribution_ndcg"}),
        ("quality.ranking", "search", {"ndcg_at_10", "mrr", "precision_at_10", "relevant_share"}),
    ],
)
def test_what_is_sent_is_read(server, analyzer, service, metrics):
    assert readings(server, analyzer, service) == metrics


def test_a_protected_attribute_stands_in_no_row(server):
    story = server.story("l3")
    assert story["segments"] == {"gender": "(protected)", "plan": "pro"}
    assert story["features"]["gender"] == "(protected)"
    asked = {"service": "loans", "model": "default", "start": "2026-03-20", "end": "2026-03-27"}
    sample = server.rows("sample", **asked)
    assert sample
    assert not any("gender" in row for row in sample)
    whole = {row["value"]: row["requests"] for row in server.rows("segments", dim="gender", **asked)}
    assert set(whole) == {"f", "m"}
    hour = {**asked, "start": "2026-03-20T10:00:00", "end": "2026-03-20T11:00:00"}
    assert server.rows("segments", dim="gender", **hour) == []
    assert server.rows("segments", dim="plan", **hour) != []


def test_a_ranking_is_told_whole(server):
    assert server.story("s1")["extra"] == {"ranking": ["i1", "i2", "i3", "i4", "i5"]}
