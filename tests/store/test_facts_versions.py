"""A feature whose type changes for good gets a table of its new type; a mixture does not; no row is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store.facts_made import DAY, HOUR, MODEL, PROPERTY, SERVICE, START, Made, event, window

from watchkeeper.store.facts import versions
from watchkeeper.store.facts.examples import Outside, WithValue
from watchkeeper.store.facts.queries import QUERIES, Ask
from watchkeeper.store.facts.references import make_due
from watchkeeper.store.facts.story import story

Value = Callable[[int], object]
NUMBER: Value = float
TEXT: Value = "v{}".format
ENOUGH = versions.MIN_VALUES + 100


def send(made: Made, name: str, start: datetime, value: Value, count: int = ENOUGH, spread: timedelta = DAY) -> None:
    """Send ``count`` events over ``spread``, in four loads; value of x by number."""
    rows = [
        event(
            id=f"{name}{number}",
            ts=start + number * spread / count,
            features={"x": value(number), "y": float(number % 7)},
            segments={"plan": "pro"},
            prediction=number % 2 == 0,
        )
        for number in range(count)
    ]
    step = count // 4 + 1
    for first in range(0, count, step):
        made.load(*rows[first : first + step])


def tables(made: Made) -> list[tuple[object, ...]]:
    return made.rows(
        """SELECT table_name, schema_version, kind FROM feature_tables JOIN feature_columns USING (table_name)
           WHERE name = 'x' ORDER BY 2"""
    )


def count(made: Made) -> list[object]:
    return [made.value(f"SELECT count(*) FROM {row[0]}") for row in tables(made)]


def test_number_to_text_for_good_is_a_new_version() -> None:
    made = Made()
    send(made, "old", START, NUMBER)
    assert tables(made) == [("features_1", 1, "numeric")]
    send(made, "run", START + DAY, TEXT)
    assert tables(made) == [("features_1", 1, "numeric"), ("features_2", 2, "category")]
    send(made, "new", START + 2 * DAY, TEXT)
    assert count(made) == [2 * ENOUGH, ENOUGH]
    assert made.value("SELECT count(*) FROM predictions") == 3 * ENOUGH
    assert story(made.facts, "old7")["features"] == {"x": 7.0, "y": 0.0}
    told = story(made.facts, "run7")
    assert (told["features"], told["extra"]) == ({"x": None, "y": 0.0}, {"x": "v7"}), "as it came, aside"
    told = story(made.facts, "new7")
    assert (told["features"], told["segments"], told["extra"]) == ({"x": "v7", "y": 0.0}, {"plan": "pro"}, None)
    assert made.value(f"SELECT sum(mismatched)::INT FROM feature_hour WHERE bucket >= '{START + 2 * DAY}'") == 0


def test_back_again_is_a_third_version() -> None:
    made = Made()
    for day, value in enumerate((NUMBER, TEXT, TEXT, NUMBER, NUMBER)):
        send(made, f"d{day}-", START + day * DAY, value)
    assert [row[1:] for row in tables(made)] == [(1, "numeric"), (2, "category"), (3, "numeric")]
    assert count(made) == [2 * ENOUGH, 2 * ENOUGH, ENOUGH]
    assert [story(made.facts, f"d{day}-3")["features"]["x"] for day in (0, 2, 4)] == [3.0, "v3", 3.0]
    assert story(made.facts, "d3-3")["features"]["x"] == "3.0", "a number in a text column is its text"


@pytest.mark.parametrize(
    ("value", "spread"),
    [
        pytest.param(lambda n: float(n) if n % 2 else f"v{n}", 2 * DAY, id="half and half"),
        pytest.param(lambda n: float(n) if n % 20 == 0 else f"v{n}", 2 * DAY, id="one in twenty"),
        pytest.param(lambda n: [n], 2 * DAY, id="neither"),
        pytest.param(lambda _: None, 2 * DAY, id="nothing"),
        pytest.param(TEXT, HOUR / 2, id="half an hour"),
    ],
)
def test_what_is_not_for_good_stays_in_one_version(value: Value, spread: timedelta) -> None:
    made = Made()
    send(made, "old", START, NUMBER)
    send(made, "odd", START + DAY, value, spread=spread)
    send(made, "more", START + DAY + spread, value, count=200, spread=HOUR / 4)
    assert tables(made) == [("features_1", 1, "numeric")]
    assert count(made) == [2 * ENOUGH + 200]


def test_too_few_are_not_for_good_and_a_straggler_holds_nothing_up() -> None:
    made = Made()
    send(made, "old", START, NUMBER)
    send(made, "few", START + DAY, TEXT, count=versions.MIN_VALUES - 10)
    assert tables(made) == [("features_1", 1, "numeric")]
    send(made, "most", START + 2 * DAY, lambda n: 1.0 if n == 5 else f"v{n}", count=200)
    assert len(tables(made)) == 2


def test_enough_of_the_old_begin_the_run_anew() -> None:
    made = Made()
    for day in range(4):
        send(made, f"t{day}-", START + 2 * day * DAY, NUMBER, count=100)
        send(made, f"n{day}-", START + (2 * day + 1) * DAY, TEXT, count=700)
    assert len(tables(made)) == 1
    assert made.value("SELECT n FROM feature_runs") == 700


def test_a_restart_in_between_changes_nothing(tmp_path: Path) -> None:
    for name, value, day in (("old", NUMBER, 0), ("run", TEXT, 1), ("more", TEXT, 2), ("new", TEXT, 3)):
        made = Made(tmp_path / "facts.duckdb")
        send(made, name, START + day * DAY, value, count=700)
        told = (len(tables(made)), story(made.facts, "old3")["features"]["x"])
        assert told == ((1, 3.0) if day < 2 else (2, 3.0))
        made.facts.close()
    made = Made(tmp_path / "facts.duckdb")
    assert sum(map(int, map(str, count(made)))) == 4 * 700
    assert story(made.facts, "new3")["features"]["x"] == "v3"
    made.facts.close()


def test_a_version_of_a_load_that_fails_never_was() -> None:
    made = Made()
    send(made, "old", START, NUMBER)
    made.facts._connection.execute("ALTER TABLE traffic_hour RENAME TO gone")
    with pytest.raises(Exception, match="traffic_hour"):
        send(made, "run", START + DAY, TEXT)
    made.facts._connection.execute("ALTER TABLE gone RENAME TO traffic_hour")
    assert tables(made) == [("features_1", 1, "numeric")]
    assert made.rows("SELECT name FROM feature_runs") == []
    send(made, "again", START + DAY, TEXT)
    assert [row[0] for row in tables(made)] == ["features_1", "features_2"]


def turned(days: int) -> Made:
    """x is a number for two days (the reference), then text."""
    made = Made()
    for day in range(days):
        send(made, f"d{day}-", START + day * DAY, NUMBER if day < 3 else lambda n: f"v{n % 3}")
        make_due(made.facts, (START + (day + 1) * DAY).replace(tzinfo=UTC), 2, 10)
    return made


def bins(made: Made, day: int, days: int = 1) -> pl.DataFrame:
    return made.reader.histogram(SERVICE, MODEL, window(day * DAY, (day + days) * DAY)).filter(feature="x")


def test_drift_starts_a_new_epoch_and_never_compares_across_types() -> None:
    made = turned(5)
    assert bins(made, 2)["kind"].unique().to_list() == ["numeric"]
    assert bins(made, 4).height == 0, "no reference of the new type yet"
    assert bins(made, 2, 3)["kind"].unique().to_list() == ["numeric"]
    schema = made.reader.schema(SERVICE, MODEL, window(4 * DAY, 5 * DAY))
    assert schema.filter(feature="x").select("schema_version", "kind", "compared").rows() == [
        (1, "numeric", False),
        (2, "category", False),
    ]
    assert made.rows("SELECT kind, ended_at IS NULL FROM epochs WHERE feature = 'x'") == [("numeric", False)]
    assert made.rows("SELECT DISTINCT ended_at IS NULL FROM epochs WHERE feature <> 'x'") == [(True,)]


def test_after_its_first_days_the_new_type_is_compared_with_them() -> None:
    made = turned(8)
    today = bins(made, 7)
    assert today["kind"].unique().to_list() == ["category"]
    assert set(today.filter(pl.col("bin") >= 0)["label"]) == {"v0", "v1", "v2"}
    assert today["n"].sum() == ENOUGH
    [(since,)] = made.rows("SELECT since FROM epochs WHERE feature = 'x' AND kind = 'category'")
    first = made.value(
        f"""SELECT count(*) FROM features_2 WHERE ts >= '{since}' AND ts < TIMESTAMP '{since}' + INTERVAL 2 DAY"""
    )
    assert today["reference_n"].sum() == first
    assert bins(made, 2)["kind"].unique().to_list() == ["numeric"], "the past stays what it was"
    kinds = made.reader.reference_features(SERVICE, MODEL).filter(feature="x")["kind"].unique().to_list()
    assert kinds == ["category"]
    assert made.value("SELECT count(DISTINCT epoch) FROM epochs WHERE feature = 'y'") == 1, "only what turned"
    schema = made.reader.schema(SERVICE, MODEL, window(7 * DAY, 8 * DAY)).filter(feature="x")
    assert schema["compared"].to_list() == [False, True]


def test_a_reference_made_after_the_change_knows_which_type_its_days_had() -> None:
    made = Made()
    for day in range(5):
        send(made, f"d{day}-", START + day * DAY, NUMBER if day < 3 else TEXT)
    make_due(made.facts, (START + 5 * DAY).replace(tzinfo=UTC), 2, 10)
    assert made.rows("SELECT kind, ended_at IS NULL FROM epochs WHERE feature = 'x'") == [("numeric", False)]
    assert bins(made, 0)["n"].sum() == ENOUGH
    assert bins(made, 4).height == 0


def test_every_query_and_every_example_reads_both_versions() -> None:
    made = turned(5)
    whole = window(timedelta(), 5 * DAY)
    for name, query in QUERIES.items():
        ask = Ask(whole, SERVICE, MODEL, dim="plan") if "dim" in query.parameters else Ask(whole, SERVICE, MODEL)
        assert query.run(made.reader, ask) is not None, name
    made.outcomes(
        *(
            {"prediction_id": f"d{d}-0", "value": "true", "known_at": START + 5 * DAY, "service": SERVICE}
            for d in (0, 4)
        )
    )
    quality = made.reader.quality(SERVICE, MODEL, whole, (START + 6 * DAY).replace(tzinfo=UTC), step=None, dim="plan")
    assert quality.select("value", "known").rows() == [("pro", 2)]
    assert len(made.reader.example_ids(SERVICE, MODEL, whole, WithValue("x", "v1"))) == 3
    assert made.reader.example_ids(SERVICE, MODEL, whole, WithValue("x", "7.0")) == ("d2-7", "d1-7", "d0-7")
    low = made.reader.example_ids(SERVICE, MODEL, whole, Outside("x", 1.0, 1e9))
    assert low == ("d2-0", "d1-0", "d0-0"), "text has no order with numbers"


RUN = st.tuples(st.sampled_from([NUMBER, TEXT, lambda n: n % 2 == 0]), st.sampled_from([5, 600, 1200]))


@PROPERTY
@given(st.lists(RUN, min_size=1, max_size=5))
def test_whatever_the_types_do_no_row_is_lost_and_no_value(runs: list[tuple[Value, int]]) -> None:
    made = Made()
    for day, (value, rows) in enumerate(runs):
        send(made, f"d{day}-", START + day * DAY, value, count=rows)
    sent = sum(rows for _, rows in runs)
    assert made.value("SELECT count(*) FROM predictions") == sent
    names = [row[0] for row in made.rows("SELECT table_name FROM feature_tables ORDER BY schema_version")]
    assert sum(int(str(made.value(f"SELECT count(*) FROM {name}"))) for name in names) == sent
    for day, (value, rows) in enumerate(runs):
        for number in (0, rows - 1):
            told = story(made.facts, f"d{day}-{number}")
            kept = told["features"]["x"] if not told["extra"] else told["extra"]["x"]
            expected = value(number)
            assert kept == (str(expected).lower() if isinstance(expected, bool) and isinstance(kept, str) else expected)
