"""One load is one transaction; the same event twice counts once."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store.facts_made import DAY, HOUR, PROPERTY, START, Made, event, outcome

from watchkeeper.store.facts import prediction_rows
from watchkeeper.store.facts.batch import TIME, Batch
from watchkeeper.store.facts.story import story

SECOND = timedelta(seconds=1)


def ledger(made: Made, kind: str) -> dict[str | None, tuple[int, ...]]:
    rows = made.rows(
        f"""SELECT service, sum(loaded)::INT, sum(duplicates)::INT, sum(rejected)::INT, sum(clock_skewed)::INT
            FROM ingest WHERE kind = '{kind}' GROUP BY service"""
    )
    return {row[0]: row[1:] for row in rows}


def test_a_slow_load_draws_nothing_on_the_output_of_a_child_process() -> None:
    """Without a script of its own a process is interactive to DuckDB, which then draws a bar for slow queries."""
    asked = """from watchkeeper.store.facts.connection import FactStore
facts = FactStore()
with facts.transaction() as connection:
    print(connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()[0])
facts.close()"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_twice_in_a_chunk_is_once() -> None:
    made = Made()
    report = made.load(event(id="a", latency_ms=1.0), event(id="b"), event(id="a", latency_ms=2.0))
    assert (report.loaded, report.duplicates) == (2, 1)
    assert made.rows("SELECT id, latency_ms FROM predictions ORDER BY id") == [("a", 1.0), ("b", None)]
    assert made.value("SELECT sum(requests) FROM traffic_hour") == 2


def test_twice_in_two_chunks_is_once() -> None:
    made = Made()
    made.load(event(id="a", ts=START), event(id="b", ts=START + HOUR))
    report = made.load(event(id="b", ts=START + HOUR), event(id="c", ts=START + 2 * HOUR))
    assert (report.loaded, report.duplicates) == (1, 1)
    assert made.rows("SELECT id FROM predictions ORDER BY id") == [("a",), ("b",), ("c",)]
    assert ledger(made, "predictions") == {"shop": (3, 1, 0, 0)}


def test_a_whole_chunk_again_changes_nothing() -> None:
    made = Made()
    chunk = [event(ts=START + i * HOUR, features={"x": i}, segments={"d": "v"}, latency_ms=5.0) for i in range(10)]
    made.load(*chunk)
    tables = ("predictions", "features_1", "traffic_hour", "traffic_minute", "latency_hour", "feature_hour")
    before = {table: made.value(f"SELECT count(*) FROM {table}") for table in tables}
    for again in (chunk, chunk[3:4], chunk[5:]):
        assert made.load(*again).loaded == 0
    assert {table: made.value(f"SELECT count(*) FROM {table}") for table in tables} == before


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3)), min_size=1, max_size=30), st.randoms())
def test_however_often_and_in_whatever_chunks_it_comes_it_counts_once(
    sends: list[tuple[int, int]], random: object
) -> None:
    """An event keeps its id and time, as a client that sends again does."""
    made = Made()
    chunks: dict[int, list[dict[str, object]]] = {}
    for number, chunk in sends:
        chunks.setdefault(chunk, []).append(event(id=f"e{number}", ts=START + number * HOUR, cost=0.25))
    duplicates = sum(made.load(*rows).duplicates for rows in chunks.values())
    distinct = len({number for number, _ in sends})
    assert made.value("SELECT count(*) FROM predictions") == distinct
    assert made.value("SELECT sum(cost) FROM traffic_hour") == distinct * 0.25
    assert duplicates == len(sends) - distinct


def test_an_id_used_again_at_another_time_is_another_event() -> None:
    """Ids are looked for in the chunk's time range alone; outside of it an id counts anew, in facts and rollups."""
    made = Made()
    made.load(event(id="a", ts=START))
    report = made.load(event(id="a", ts=START + DAY), event(id="b", ts=START + DAY + HOUR))
    assert (report.loaded, report.duplicates) == (2, 0)
    assert made.rows("SELECT id, ts FROM predictions ORDER BY ts")[:2] == [("a", START), ("a", START + DAY)]
    assert made.value("SELECT sum(requests) FROM traffic_hour") == 3
    made.outcomes(outcome("a", True, START + 2 * DAY))
    assert made.value("SELECT count(*) FROM matched WHERE prediction_id = 'a'") == 2


def test_an_id_inside_the_range_is_one_event_of_each_service() -> None:
    made = Made()
    made.load(event(id="a", ts=START), event(id="z", ts=START + HOUR))
    report = made.load(event(id="a", ts=START + HOUR, service="other"), event(id="y", ts=START))
    assert (report.loaded, report.duplicates) == (2, 0)
    report = made.load(event(id="a", ts=START + HOUR, service="other"), event(id="x", ts=START))
    assert (report.loaded, report.duplicates) == (1, 1)
    assert ledger(made, "predictions") == {"shop": (4, 0, 0, 0), "other": (1, 1, 0, 0)}


@pytest.mark.parametrize("broken", ["traffic_hour", "histogram_hour", "inbox_watermark", "outcomes"])
def test_a_load_that_fails_in_the_middle_leaves_nothing(broken: str) -> None:
    """The table is taken away, so that the load fails where it first needs it; then it comes back."""
    made = Made()
    made.load(event(features={"x": 1.0}, segments={"d": "v1"}), watermark=1)
    stored = [row[0] for row in made.rows("SELECT table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY 1")]
    tables = ["predictions" if table == prediction_rows.TABLE else table for table in stored]  # a new column may stay
    made.facts._connection.execute(f"ALTER TABLE {broken} RENAME TO gone")
    before = {table: made.rows(f"FROM {table}") for table in tables if table != broken}
    frame = pl.DataFrame([outcome("nobody", True, START)])
    new = event(id="new", model="other", features={"y": "text"}, segments={"d": "v2"}, latency_ms=1.0)
    epoch = "INSERT INTO epochs VALUES (1, 'shop', 'other', 'score', 'numeric', [0.0], NULL, 0, 0, now(), NULL, NULL)"
    if broken == "histogram_hour":
        made.facts._connection.execute(epoch.replace("NULL", "[]", 1))
        made.loader = made.new_loader()
        before["epochs"] = made.rows("FROM epochs")
    with pytest.raises(duckdb.CatalogException):
        made.load(new, outcomes=frame, watermark=2)
    assert {table: made.rows(f"FROM {table}") for table in before} == before
    assert made.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'features_2'") == 0
    made.facts._connection.execute(f"ALTER TABLE gone RENAME TO {broken}")
    report = made.load(new, outcomes=frame, watermark=2)
    assert (report.loaded, made.loader.watermark()) == (2, 2)
    assert made.rows("SELECT f_y, s_d FROM features_2") == [("text", "v2")]


def test_after_an_aborted_load_the_caches_say_what_the_file_says() -> None:
    """The column, the segment values and the table that the aborted load made are forgotten again."""
    made = Made()
    made.load(event(features={"x": 1.0}, segments={"d": "kept"}))
    made.facts._connection.execute("ALTER TABLE inbox_watermark RENAME TO gone")
    with pytest.raises(duckdb.CatalogException):
        made.load(event(features={"x": 2.0, "new": 1.0}, segments={"d": "lost"}), watermark=1)
    assert made.rows("SELECT name FROM feature_columns ORDER BY 1") == [("d",), ("x",)]
    made.load(event(features={"new": "a text this time"}, segments={"d": "again"}))
    assert made.rows("SELECT name, kind FROM feature_columns WHERE role = 'feature' ORDER BY 1") == [
        ("new", "category"),
        ("x", "numeric"),
    ]
    assert made.rows("SELECT f_x, f_new, s_d FROM features_1 ORDER BY 3") == [
        (None, "a text this time", "again"),
        (1.0, None, "kept"),
    ]


def test_two_loaders_of_one_file_after_each_other_agree(tmp_path: Path) -> None:
    made = Made(tmp_path / "facts.duckdb")
    made.load(event(features={"x": 1.0, "c": "a"}, segments={"d": "v"}))
    made.facts.close()
    again = Made(tmp_path / "facts.duckdb")
    again.load(event(features={"x": 2.0, "c": 7, "n": 1}, segments={"d": 5}))
    assert again.rows("SELECT f_x, f_c, f_n, s_d FROM features_1 ORDER BY f_x") == [
        (1.0, "a", None, "v"),
        (2.0, "7", 1.0, "5"),
    ]
    again.facts.close()


def test_the_ledger_counts_each_service_apart() -> None:
    """Repeated events of one service are never charged to another."""
    made = Made()
    rows = [outcome(f"p{i}", True, START, service="big") for i in range(50)]
    made.outcomes(*rows)
    made.outcomes(outcome("q", True, START, service="small"), *rows, outcome("r", 1, START, service=None))
    assert ledger(made, "outcomes") == {"big": (50, 50, 0, 0), "small": (1, 0, 0, 0), None: (1, 0, 0, 0)}


def test_skewed_clocks_are_counted_and_kept() -> None:
    made = Made()
    made.load(event(clock_skew=True), event(clock_skew=False), event())
    assert ledger(made, "predictions") == {"shop": (3, 0, 0, 1)}


def record(**columns: object) -> pl.DataFrame:
    return pl.DataFrame([columns], schema_overrides={"ts": TIME})


def test_reviews_changes_and_gpu_samples_are_known_by_what_they_say() -> None:
    made = Made()
    review = record(prediction_id="p", decision="approved", ts=START, service="shop", minutes=2.0)
    change = record(kind="deploy", title="1.2", service="shop", ts=START)
    sample = record(uuid="GPU-1", mig=None, ts=START, utilization=0.5)
    for _ in range(2):
        made.load(reviews=review, changes=change, gpus=sample)
    more = made.load(
        reviews=review.with_columns(decision=pl.lit("rejected")),
        changes=change.with_columns(title=pl.lit("1.3")),
        gpus=sample.with_columns(mig=pl.lit("1")),
    )
    assert (more.loaded, more.duplicates) == (3, 0)
    for table in ("reviews", "changes", "gpu_samples"):
        assert made.value(f"SELECT count(*) FROM {table}") == 2, table
    assert ledger(made, "reviews") == {"shop": (2, 1, 0, 0)}
    assert ledger(made, "gpu_samples") == {None: (2, 1, 0, 0)}


def test_rejects_are_kept_with_their_reason_and_counted() -> None:
    made = Made()
    frame = pl.DataFrame(
        {
            "kind": "predictions",
            "batch": "b1",
            "row_index": [0, 4],
            "field": "ts",
            "reason": "no time",
            "service": ["shop", None],
        }
    )
    assert made.load(event(), rejects=frame, watermark=3).rejected == 2
    assert made.rows("SELECT row_index, field, reason FROM rejects ORDER BY 1") == [
        (0, "ts", "no time"),
        (4, "ts", "no time"),
    ]
    assert ledger(made, "predictions") == {"shop": (1, 0, 1, 0), None: (0, 0, 1, None)}
    assert made.loader.watermark() == 3


def test_a_batch_of_nothing_moves_the_watermark_alone() -> None:
    made = Made()
    report = made.loader.load(Batch(watermark=12))
    assert (report.loaded, report.duplicates, report.rejected, made.loader.watermark()) == (0, 0, 0, 12)


def test_texts_that_need_care_come_back_as_they_were() -> None:
    made = Made()
    odd = "a\0b'\"; DROP TABLE predictions; --\u2028é😀"
    extra = {odd: {"deep": [1, None, [odd]]}, "": 2**63, "A": 1, "a": 2}
    made.load(
        event(id="odd", system=odd, service=odd, model=odd, features={odd: odd}, segments={odd: odd}, extra=extra)
    )
    assert made.rows("SELECT system, service, model FROM predictions") == [(odd, odd, odd)]
    told = story(made.facts, "odd")
    assert (told["features"], told["segments"], told["extra"]) == ({odd: odd}, {odd: odd}, extra)


def test_a_number_beyond_any_float_costs_the_rest_of_the_row_nothing() -> None:
    made = Made()
    digits = "9" * 400
    made.load(event(id="odd", extra={"ranking": [{"at": [int(digits), -int(digits)]}], "text": digits, "n": 7}))
    assert story(made.facts, "odd")["extra"] == {"ranking": [{"at": [None, None]}], "text": digits, "n": 7}
