"""What is older than it is kept goes, sealed before, exactly once, whatever interrupts it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.dataset
import pytest
from store.facts_made import DAY, HOUR, START, Made, event, outcome, times

from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.events import Prediction
from watchkeeper.store.facts import retention
from watchkeeper.store.facts.kept import Keep, KeptSince, Policy, start_of
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.sealed import MANIFEST, SealedDays, digest

NOW = START + 10 * DAY + 5 * HOUR
FIVE = Policy(Keep(facts=5))
"""Days 0 to 4 go, days 5 to 10 stay."""


@pytest.fixture
def made() -> Made:
    """Ten days of one prediction an hour for two services, with outcomes and reviews a day later."""
    made = Made(now=NOW)
    for service in ("shop", "bank"):
        rows = [
            event(
                id=f"{service}-{n}",
                ts=START + n * HOUR,
                service=service,
                model="Ranker/ä",
                prediction=n % 2 == 0,
                features={"x": float(n), "Kind of": "a"},
                segments={"plan": "pro"},
                extra={"content": "who?", "order": n},
                checks=[{"name": "pii", "kind": "policy", "passed": True, "blocked": False, "score": None}],
            )
            for n in range(240)
        ]
        made.load(*rows)
        made.outcomes(
            *(outcome(f"{service}-{n}", True, START + n * HOUR + DAY, service=service) for n in range(0, 240, 10))
        )
    made.outcomes(outcome("nobody", True, START + HOUR))
    reviews = pl.DataFrame(
        {"prediction_id": ["shop-0"], "ts": times(START), "service": ["shop"], "decision": ["edited"]}
    )
    samples = pl.DataFrame({"ts": times(START, START + 9 * DAY), "uuid": ["g", "g"], "utilization": [0.5, 0.6]})
    made.load(reviews=reviews, gpus=samples)
    return made


@pytest.fixture
def sealed(tmp_path: Path) -> SealedDays:
    return SealedDays(tmp_path / "sealed")


def count(made: Made, table: str, where: str = "true") -> int:
    return made.value(f"SELECT count(*) FROM {table} WHERE {where}")


def total(sealed: SealedDays, table: str) -> int:
    return sum(f.rows for day in sealed.days() for f in sealed.manifest(day).files if f.table == table)


def test_old_days_are_sealed_and_go_and_young_ones_stay(made: Made, sealed: SealedDays) -> None:
    hourly = made.rows("SELECT sum(requests) FROM traffic_hour")
    said = retention.due(made.facts, FIVE, NOW)
    report = retention.run(made.facts, sealed, FIVE, NOW)
    assert said.deleted == report.deleted
    assert report.deleted["predictions"] == 2 * 5 * 24
    assert count(made, "predictions") == 240
    assert made.value("SELECT min(ts) FROM predictions") == START + 5 * DAY
    for table in ("features_1", "features_2"):
        assert made.value(f"SELECT min(ts) FROM {table}") == START + 5 * DAY
    for table, time in (("matched", "prediction_ts"), ("outcomes", "known_at"), ("gpu_samples", "ts")):
        assert made.value(f"SELECT min({time}) >= TIMESTAMP '2026-01-10' FROM {table}"), table
    assert count(made, "pending_outcomes") == count(made, "reviews") == 0
    assert made.rows("SELECT sum(requests) FROM traffic_hour") == hourly, "counts stay"
    assert total(sealed, "predictions") == 240
    assert total(sealed, "outcomes") == report.deleted["outcomes"] == 2 * 10 + 1
    assert total(sealed, "gpu_samples") == total(sealed, "reviews") == 1
    assert list(sealed.days()) == [f"2026-01-0{day}" for day in range(5, 10)]
    again = retention.run(made.facts, sealed, FIVE, NOW)
    assert (again.deleted, again.sealed_files) == ({}, 0)


def test_any_engine_reads_a_sealed_day(made: Made, sealed: SealedDays) -> None:
    retention.run(made.facts, sealed, FIVE, NOW)
    manifest = sealed.manifest("2026-01-06")
    files = [file for file in manifest.files if file.table == "predictions"]
    assert [(file.service, file.model, file.schema_version, file.rows) for file in files] == [
        ("bank", "Ranker/ä", 1, 24),
        ("shop", "Ranker/ä", 1, 24),
    ]
    for file in manifest.files:
        path = sealed.path("2026-01-06", file)
        assert (path.stat().st_size, digest(path)) == (file.bytes, file.sha256)
    frame = pl.read_parquet(sealed.path("2026-01-06", files[1]))
    assert frame["ts"].is_sorted()
    assert frame["ts"].dtype == pl.Datetime("us", "UTC")
    row = frame.row(0, named=True)
    assert (row["id"], row["f_x"], row["f_Kind of"], row["s_plan"]) == ("shop-24", 24.0, "a", "pro")
    assert row["extra"] == '{"order":24}', "text is never sealed"
    assert row["checks"][0]["name"] == "pii"
    assert files[1].columns["f_Kind of"].name == "Kind of"
    for table, there in (("predictions", 240), ("outcomes", 21)):
        lazy = pl.scan_parquet(sealed.folder / "day=*" / f"{table}-*.parquet", missing_columns="insert")
        assert lazy.select(pl.len()).collect().item() == there
    found = pyarrow.dataset.dataset(sealed.of("2026-01-06"), format="parquet")
    assert found.count_rows() == sum(file.rows for file in manifest.files)
    assert str(pyarrow.dataset.dataset(sealed.path("2026-01-06", files[0])).schema.field("id").type) == "string"


def test_a_service_may_have_limits_of_its_own(made: Made, sealed: SealedDays) -> None:
    policy = Policy(Keep(facts=5), {"bank": Keep(facts=2), "void": Keep(facts=1)})
    retention.run(made.facts, sealed, policy, NOW)
    assert made.rows("SELECT service, min(ts) FROM predictions GROUP BY ALL ORDER BY ALL") == [
        ("bank", START + 8 * DAY),
        ("shop", START + 5 * DAY),
    ]
    retention.run(made.facts, sealed, Policy(Keep(), {"shop": Keep(facts=1)}), NOW)
    assert made.rows("SELECT service, count(*) FROM predictions GROUP BY ALL ORDER BY ALL") == [
        ("bank", 48),
        ("shop", 24),
    ]
    assert total(sealed, "predictions") == 480 - 72


def test_what_comes_later_goes_to_a_further_file(made: Made, sealed: SealedDays) -> None:
    retention.run(made.facts, sealed, FIVE, NOW)
    with made.facts.transaction() as connection:  # as if it had been on its way into the facts
        connection.execute("DELETE FROM facts_kept")
    made.facts.generation += 1
    made.load(event(id="late", ts=START + 6 * HOUR, service="shop", model="Ranker/ä", features={"x": 1.0, "new": 2.0}))
    report = retention.run(made.facts, sealed, FIVE, NOW)
    assert (report.sealed_files, report.sealed_rows, report.deleted["predictions"]) == (1, 1, 1)
    files = [f for f in sealed.manifest("2026-01-05").files if f.service == "shop" and f.table == "predictions"]
    assert [(f.rows, f.name[-12:]) for f in files] == [(24, "0001.parquet"), (1, "0002.parquet")]
    assert pl.read_parquet(sealed.path("2026-01-05", files[1]))["f_new"].to_list() == [2.0]


def test_interrupted_after_the_seal_it_neither_loses_nor_repeats(
    made: Made, sealed: SealedDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise StoreUnavailable("the power fails")

    with monkeypatch.context() as patched:
        patched.setattr(retention, "_delete_day", cut)
        with pytest.raises(StoreUnavailable):
            retention.run(made.facts, sealed, FIVE, NOW)
    assert count(made, "predictions") == 480
    (sealed.of("2026-01-05") / "predictions-left-0001.parquet").write_bytes(b"half a file")
    retention.run(made.facts, sealed, FIVE, NOW)
    assert count(made, "predictions") == 240
    assert total(sealed, "predictions") == 240
    ids = pl.read_parquet(sealed.folder / "day=*" / "predictions-*.parquet")["id"]
    assert ids.n_unique() == len(ids) == 240


def test_nothing_is_deleted_that_is_not_sealed(made: Made, sealed: SealedDays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "seal", lambda *_: [])
    with pytest.raises(StoreUnavailable, match="nothing was deleted"):
        retention.run(made.facts, sealed, FIVE, NOW)
    assert count(made, "predictions") == 480
    assert count(made, "features_1") == 240


def test_a_manifest_that_cannot_be_read_stops_it(made: Made, sealed: SealedDays) -> None:
    retention.run(made.facts, sealed, FIVE, NOW)
    (sealed.of("2026-01-05") / MANIFEST).write_text("{")
    with made.facts.transaction() as connection:
        connection.execute("INSERT INTO reviews (ts, service) VALUES (?, 'shop')", [START])
    with pytest.raises(StoreUnavailable, match="Restore the folder"):
        retention.run(made.facts, sealed, FIVE, NOW)


def test_text_goes_before_the_rest(made: Made, sealed: SealedDays) -> None:
    policy = Policy(Keep(text=2), {"bank": Keep(text=9)})
    assert retention.due(made.facts, policy, NOW).texts == 24 * 8 + 24
    assert retention.run(made.facts, sealed, policy, NOW).texts == 24 * 8 + 24
    left = made.rows(
        """SELECT service, count(*) FILTER (variant_extract(extra, 'content') IS NOT NULL),
                  count(variant_extract(extra, 'order')) FROM predictions GROUP BY ALL ORDER BY ALL"""
    )
    assert left == [("bank", 24 * 9, 240), ("shop", 48, 240)]
    assert retention.run(made.facts, sealed, policy, NOW).texts == 0


def test_rollups_and_rejects_have_limits_of_their_own(made: Made, sealed: SealedDays) -> None:
    rejects = pl.DataFrame({"received_at": times(START, NOW), "kind": ["predictions"] * 2, "service": ["shop", None]})
    rejects = rejects.with_columns(reason=pl.lit("no"))
    made.load(rejects=rejects)
    requests = made.value("SELECT sum(requests) FROM traffic_hour WHERE dim = ''")
    report = retention.run(made.facts, sealed, Policy(Keep(rollups=3, rejects=1)), NOW)
    assert report.deleted["rejects"] == count(made, "rejects") == 1
    assert requests == 480
    assert made.value("SELECT sum(requests) FROM traffic_hour WHERE dim = ''") == 2 * 3 * 24
    assert made.value("SELECT min(bucket) FROM feature_hour") == START + 7 * DAY
    assert count(made, "predictions") == 480
    assert made.value("SELECT sum(loaded) FROM ingest WHERE kind = 'predictions'") == 480, "the ledger is never cut"


def test_the_ledger_becomes_one_row_an_hour(made: Made, sealed: SealedDays) -> None:
    before = made.rows("SELECT service, kind, sum(loaded), max(last_ts) FROM ingest GROUP BY ALL ORDER BY ALL")
    retention.run(made.facts, sealed, Policy(), NOW)
    assert made.rows("SELECT service, kind, loaded, last_ts FROM ingest ORDER BY ALL") == before


def test_since_when_facts_are_whole_never_moves_back(made: Made, sealed: SealedDays) -> None:
    def since(service: str | None, policy: Policy) -> datetime:
        kept = KeptSince()
        with made.facts.transaction() as connection:
            kept.refresh(connection, 0)
        return kept.of(service, policy, NOW)

    assert since("shop", FIVE) == START + 5 * DAY
    retention.run(made.facts, sealed, FIVE, NOW)
    assert since("shop", Policy()) == START + 5 * DAY
    longer = Policy(Keep(facts=5), {"bank": Keep(facts=9)})
    assert since("bank", longer) == START + 5 * DAY
    retention.run(made.facts, sealed, longer, NOW + 3 * DAY)
    assert since("bank", longer) == START + 5 * DAY
    assert since("shop", longer) == since(None, longer) == START + 8 * DAY
    assert since("bank", FIVE) == START + 5 * DAY
    assert start_of(90, NOW) == START + 10 * DAY - timedelta(days=90)


def keeping(made: Made, policy: Policy) -> Made:
    made.loader = Loader(made.facts, lambda: NOW.replace(tzinfo=UTC), lambda: policy)
    return made


def rejected(made: Made) -> list[dict]:
    rows = made.facts.read("SELECT kind, service, reason, raw FROM rejects ORDER BY kind, id").to_dicts()
    return [row | {"raw": msgspec.json.decode(row["raw"])} for row in rows]


def test_what_is_too_late_is_a_reject_that_can_be_sent_again() -> None:
    made = keeping(Made(now=NOW), FIVE)
    old = event(
        id="old",
        ts=START,
        features={"x": 1.5, "c": "a"},
        segments={"plan": "pro"},
        extra={"order": 7},
        prediction=True,
        tokens_input=5,
        fallback_from="m0",
        checks=[{"name": "pii", "kind": "policy", "passed": True, "blocked": False, "score": None}],
        clock_skew=False,
        received_at=NOW,
    )
    young = event(id="young", ts=START + 6 * DAY, features={"x": 2.5})
    report = made.load(old, young, event(id="number", ts=START, prediction=2.5), watermark=7)
    assert (report.loaded, report.rejected) == (1, 2)
    assert made.rows("SELECT id, f_x FROM features_1") == [("young", 2.5)]
    assert made.value("SELECT sum(requests) FROM traffic_hour") == 1
    number, first = sorted(rejected(made), key=lambda row: row["raw"]["id"])
    assert first["reason"] == "too_late: facts of it are kept since 2026-01-10 (retention.facts_days)"
    assert first["raw"] == {
        "id": "old",
        "ts": "2026-01-05T00:00:00Z",
        "service": "shop",
        "model": "ranker",
        "status": "ok",
        "attempts": 1,
        "prediction": True,
        "tokens": {"input": 5},
        "fallback": {"from": "m0"},
        "checks": [{"name": "pii", "kind": "policy", "passed": True, "blocked": False, "score": None}],
        "features": {"x": 1.5, "c": "a"},
        "segments": {"plan": "pro"},
        "extra": {"order": 7},
    }
    msgspec.json.decode(msgspec.json.encode(first["raw"]), type=Prediction)
    assert number["raw"]["prediction"] == 2.5
    assert made.rows("SELECT sum(loaded), sum(rejected), sum(too_late) FROM ingest") == [(1, 2, 2)]


def test_every_kind_may_be_too_late_and_the_limit_is_the_services_own() -> None:
    made = keeping(Made(now=NOW), Policy(Keep(facts=5), {"bank": Keep()}))
    made.outcomes(
        outcome("a", 2.5, START),
        outcome("b", True, NOW, prediction_ts=START),
        outcome("c", "cat", NOW),
        outcome("d", False, START, service="bank"),
    )
    old, young = START, START + 9 * DAY
    reviews = pl.DataFrame({"prediction_id": ["a", "b"], "ts": times(old, young), "service": ["shop"] * 2})
    gpus = pl.DataFrame({"ts": times(old, young), "uuid": ["g", "g"]})
    made.load(reviews=reviews, gpus=gpus)
    assert made.rows("SELECT prediction_id FROM outcomes ORDER BY ALL") == [("c",), ("d",)]
    assert count(made, "reviews") == count(made, "gpu_samples") == 1
    assert [(row["kind"], row["raw"].get("value")) for row in rejected(made)] == [
        ("gpu_samples", None),
        ("outcomes", 2.5),
        ("outcomes", True),
        ("reviews", None),
    ]
    assert made.load(event(ts=START, service="bank"), event(ts=START)).rejected == 1


def test_what_went_is_too_late_for_ever(made: Made, sealed: SealedDays) -> None:
    retention.run(made.facts, sealed, FIVE, NOW)
    keeping(made, Policy())
    again = event(id="shop-3", ts=START + 3 * HOUR, service="shop", model="Ranker/ä")
    assert made.load(again).rejected == 1
    assert made.value("SELECT sum(requests) FROM traffic_hour WHERE dim = ''") == 480, "it was counted already"


def test_each_schema_version_has_a_file_of_its_own(made: Made, sealed: SealedDays) -> None:
    """Half of a day's rows are of a second version, where a feature is text; two rows have no features at all."""
    table = made.value("SELECT table_name FROM feature_tables WHERE service = 'shop'")
    with made.facts.transaction() as connection:
        connection.execute("CREATE TABLE features_9 (id VARCHAR, ts TIMESTAMP, f_x VARCHAR)")
        connection.execute(f"INSERT INTO features_9 SELECT id, ts, 'v' || f_x FROM {table} WHERE f_x >= 12")
        connection.execute(f"DELETE FROM {table} WHERE f_x >= 12 OR f_x < 2")
        connection.execute(
            """INSERT INTO feature_tables BY NAME
               SELECT * REPLACE ('features_9' AS table_name, 2 AS schema_version) FROM feature_tables
               WHERE service = 'shop'"""
        )
        connection.execute("INSERT INTO feature_columns VALUES ('features_9', 'x', 'feature', 'category', 'f_x')")
    made.facts.generation += 1
    report = retention.run(made.facts, sealed, FIVE, NOW)
    assert report.deleted["features_9"] == 120 - 12
    files = [f for f in sealed.manifest("2026-01-05").files if (f.service, f.table) == ("shop", "predictions")]
    assert [(f.schema_version, f.rows) for f in files] == [(1, 10), (2, 12), (None, 2)]
    frames = [pl.read_parquet(sealed.path("2026-01-05", file)) for file in files]
    assert [frame.schema.get("f_x") for frame in frames] == [pl.Float64, pl.String, None]
    assert frames[1]["f_x"][0] == "v12.0"
    assert sum(len(frame) for frame in frames) == 24
