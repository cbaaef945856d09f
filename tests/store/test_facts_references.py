"""A reference is made once, from enough rows, and never moves."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from store.facts_made import DAY, HOUR, START, Made, event, window

from watchkeeper.store.facts import references
from watchkeeper.store.facts.histograms import INFINITE, MISSING, NAN
from watchkeeper.store.facts.references import make_due

DAYS = 4
AS_OF = (START + DAYS * DAY).replace(tzinfo=UTC)


def rows(days: range, per_day: int = 30, **parts: object) -> list[dict[str, object]]:
    """Traffic with every kind of feature; ids say day and number, so that they can be told again."""
    made = []
    for day in days:
        for n in range(per_day):
            value: object = math.inf if n == 7 else math.nan if n == 8 else None if n == 9 else (n * 37 + day) % 50 / 4
            made.append(
                event(
                    id=f"{parts.get('model', '')}{day}-{n}",
                    ts=START + day * DAY + n * 10 * timedelta(minutes=1),
                    score=n / per_day,
                    prediction=["yes", "no", "maybe"][n % 3],
                    features={"x": value, "c": f"c{(n + day) % 5}", "w": "wrong" if n == 3 else float(n)},
                    **parts,
                )
            )
    return made


def bins(made: Made) -> dict[str, dict[tuple[object, ...], int]]:
    """What each feature's bins hold, by hour."""
    found: dict[str, dict[tuple[object, ...], int]] = {}
    for feature, bucket, number, n in made.rows(
        """SELECT feature, bucket, bin, sum(n)::INT FROM histogram_hour JOIN epochs USING (epoch)
           GROUP BY ALL HAVING sum(n) <> 0"""
    ):
        found.setdefault(feature, {})[bucket, number] = n
    return found


def kept(made: Made) -> list[tuple[object, ...]]:
    return made.rows("FROM epochs ORDER BY epoch") + made.rows("FROM reference_bins ORDER BY ALL") + profiles(made)


def profiles(made: Made) -> list[tuple[object, ...]]:
    return made.rows("SELECT service, model, start_ts, end_ts, total FROM reference_profiles ORDER BY ALL")


def test_it_is_made_when_its_days_are_over_and_not_before() -> None:
    made = Made()
    made.load(*rows(range(DAYS)))
    assert make_due(made.facts, AS_OF - HOUR, DAYS, 10) == []
    assert make_due(made.facts, AS_OF, DAYS, 10) == [("shop", "ranker")]
    assert profiles(made) == [("shop", "ranker", START, START + DAYS * DAY, 120)]


def test_it_is_made_once() -> None:
    made = Made()
    made.load(*rows(range(DAYS)))
    make_due(made.facts, AS_OF, DAYS, 10)
    before = kept(made)
    made.load(*rows(range(DAYS, 2 * DAYS)))
    assert make_due(made.facts, AS_OF + DAYS * DAY, DAYS, 10) == []
    assert kept(made) == before


def test_too_few_rows_wait_for_more() -> None:
    made = Made()
    made.load(*rows(range(DAYS), per_day=2))
    assert make_due(made.facts, AS_OF, DAYS, 9) == []
    made.load(*rows(range(DAYS, 2 * DAYS)))
    assert make_due(made.facts, AS_OF, DAYS, 9) == [], "what came after as_of does not count"
    assert make_due(made.facts, AS_OF + DAYS * DAY, DAYS, 9) == [("shop", "ranker")]
    [(_, _, start, end, total)] = profiles(made)
    assert (start, end - start) == (START + DAY, DAYS * DAY), "the first days that hold enough"
    assert total == 3 * 2 + 30


def test_a_stray_event_of_long_ago_is_no_reference() -> None:
    """One event of a wrong clock, or of a trial run, before the traffic begins."""
    made = Made()
    made.load(event(ts=START - 300 * DAY, features={"x": -1e9}))
    made.load(*rows(range(DAYS)))
    assert make_due(made.facts, AS_OF, DAYS, 100) == [("shop", "ranker")]
    assert profiles(made) == [("shop", "ranker", START, START + DAYS * DAY, 120)]


def test_late_rows_into_its_window_do_not_change_it() -> None:
    made = Made()
    made.load(*rows(range(DAYS)))
    make_due(made.facts, AS_OF, DAYS, 10)
    before = kept(made)
    histogram = made.reader.histogram("shop", "ranker", window(0 * DAY, DAYS * DAY))
    late = [row | {"id": f"late-{row['id']}"} for row in rows(range(DAYS))]
    made.load(*late)
    assert kept(made) == before
    now = made.reader.histogram("shop", "ranker", window(0 * DAY, DAYS * DAY))
    assert now["reference_n"].to_list() == histogram["reference_n"].to_list()
    assert now["n"].sum() == 2 * histogram["n"].sum(), "the window itself knows of them"


def test_binning_again_equals_binning_at_load() -> None:
    """Rows from before the reference are binned from the stored facts, later ones as they come: to the same bins."""
    before, after = Made(), Made()
    for made in (before, after):
        made.load(*rows(range(DAYS)))
    before.load(*rows(range(DAYS, 3 * DAYS)))
    make_due(before.facts, AS_OF, DAYS, 10)
    make_due(after.facts, AS_OF, DAYS, 10)
    after.load(*rows(range(DAYS, 3 * DAYS)))
    assert bins(before) == bins(after)
    assert before.rows("FROM reference_bins ORDER BY ALL") == after.rows("FROM reference_bins ORDER BY ALL")


def test_what_is_no_number_has_a_bin_of_its_own_in_the_reference() -> None:
    made = Made()
    made.load(*rows(range(DAYS)))
    make_due(made.facts, AS_OF, DAYS, 10)
    counted = dict(
        made.rows("SELECT bin, n::INT FROM reference_bins JOIN epochs USING (epoch) WHERE feature = 'x' AND bin < 0")
    )
    assert {number: n for number, n in counted.items() if n} == {INFINITE: DAYS, NAN: DAYS, MISSING: DAYS}
    stats = made.reader.features("shop", "ranker", window(0 * DAY, DAYS * DAY), step=None).filter(feature="x")
    assert stats.select("rows", "missing", "nan", "infinite").row(0) == (120, DAYS, DAYS, DAYS)


def test_a_feature_called_score_is_not_the_score() -> None:
    """Bins called score are the prediction's own, before the reference and after it."""
    made = Made()
    for day in range(2 * DAYS):
        named = {"score": 500.0 + day, "prediction": 12.5}
        made.load(*(event(ts=START + day * DAY, score=n / 10, prediction="yes", features=named) for n in range(10)))
        if day == DAYS - 1:
            make_due(made.facts, AS_OF, DAYS, 10)
    assert made.rows("SELECT low, high FROM epochs WHERE feature = 'score'") == [(0.0, 0.9)]
    found = bins(made)
    assert {number for _, number in found["score"]} == set(range(1, 11))
    assert {number for _, number in found["prediction"]} == {0}


def test_a_model_of_nothing_but_requests_gets_one_too() -> None:
    made = Made()
    made.load(*(event(ts=START + n * HOUR) for n in range(50)))
    assert make_due(made.facts, AS_OF, DAYS, 10) == [("shop", "ranker")]
    assert made.value("SELECT count(*) FROM epochs") == 0
    assert made.reader.histogram("shop", "ranker", window(0 * DAY, DAY)).height == 0


def test_models_have_references_of_their_own() -> None:
    made = Made()
    made.load(*rows(range(DAYS), model="a"))
    made.load(*rows(range(2, 2 + DAYS), model="b"))
    assert make_due(made.facts, AS_OF, DAYS, 10) == [("shop", "a")]
    assert make_due(made.facts, AS_OF + 2 * DAY, DAYS, 10) == [("shop", "b")]
    epochs = [row[0] for row in made.rows("SELECT epoch FROM epochs ORDER BY 1")]
    assert epochs == list(range(1, 11)), "no epoch's number is used twice"
    made.load(*rows(range(6, 7), model="a"))
    only_a = "SELECT DISTINCT model FROM histogram_hour JOIN epochs USING (epoch) WHERE bucket >= '2026-01-11'"
    assert made.rows(only_a) == [("a",)]


def test_one_that_fails_in_the_middle_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    made.load(*rows(range(DAYS)))

    def fails(*_: object) -> None:
        raise RuntimeError("torn")

    with monkeypatch.context() as patch:
        patch.setattr(references, "_rebin", fails)
        with pytest.raises(RuntimeError, match="torn"):
            make_due(made.facts, AS_OF, DAYS, 10)
    assert kept(made) == []
    make_due(made.facts, AS_OF, DAYS, 10)
    made.load(*rows(range(DAYS, DAYS + 1)))
    assert {bucket for bucket, _ in bins(made)["x"]} >= {START + DAYS * DAY}


def test_a_reference_counts_every_row_once_a_feature() -> None:
    made = Made()
    made.load(*rows(range(DAYS)))
    make_due(made.facts, AS_OF, DAYS, 10)
    totals = dict(
        made.rows("SELECT feature, sum(n)::INT FROM reference_bins JOIN epochs USING (epoch) GROUP BY feature")
    )
    assert totals == dict.fromkeys(["score", "prediction", "x", "c", "w"], 120)


def test_more_values_than_are_kept_are_other_in_the_reference_itself() -> None:
    made = Made()
    named = [f"c{n:03}" for n in range(250) for _ in range(1 + (n < 100))]
    made.load(*(event(ts=START + n * timedelta(minutes=10), features={"c": name}) for n, name in enumerate(named)))
    make_due(made.facts, AS_OF, DAYS, 10)
    histogram = made.reader.histogram("shop", "ranker", window(0 * DAY, DAYS * DAY)).filter(feature="c")
    assert histogram.filter(label="other")["reference_n"].to_list() == [50]
    assert histogram["n"].to_list() == histogram["reference_n"].to_list()
    made.load(event(ts=START + 5 * DAY, features={"c": "never before"}))
    assert made.reader.unseen_values("shop", "ranker", window(5 * DAY, 6 * DAY)).height == 0


def test_unseen_and_vanished_values_are_named() -> None:
    made = Made()
    made.load(*rows(range(DAYS)))
    make_due(made.facts, AS_OF, DAYS, 10)
    made.load(
        *(event(ts=START + 5 * DAY, prediction="yes", features={"c": c}) for c in ("c1", "new", "new", "z", None))
    )
    later = window(5 * DAY, 6 * DAY)
    assert made.reader.unseen_values("shop", "ranker", later).rows() == [("c", "new", 2), ("c", "z", 1)]
    vanished = made.reader.vanished_values("shop", "ranker", later)
    assert set(vanished.select("feature", "value").rows()) == {
        *(("c", f"c{n}") for n in (0, 2, 3, 4)),
        ("prediction", "no"),
        ("prediction", "maybe"),
    }
    assert vanished.filter(feature="c")["reference_share"].to_list() == pytest.approx([0.2] * 4)


def test_a_store_opened_again_bins_on_the_kept_edges(tmp_path: object) -> None:
    made = Made(tmp_path / "facts.duckdb")
    made.load(*rows(range(DAYS)))
    make_due(made.facts, AS_OF, DAYS, 10)
    before = kept(made)
    made.facts.close()
    again = Made(tmp_path / "facts.duckdb")
    again.load(*rows(range(DAYS, DAYS + 1)))
    assert kept(again) == before
    histogram = again.reader.histogram("shop", "ranker", window(DAYS * DAY, (DAYS + 1) * DAY))
    assert histogram.group_by("feature").agg(pl.col("n").sum())["n"].to_list() == [30] * 5
    again.facts.close()


def test_before_it_was_made_nobody_knows_of_it() -> None:
    made = Made()
    made.load(*rows(range(2 * DAYS)))
    make_due(made.facts, AS_OF, DAYS, 10)
    [early], [late] = made.reader.models(AS_OF - HOUR), made.reader.models(AS_OF)
    assert (early.reference, early.reference_rows) == (None, 0)
    assert late.reference is not None
    assert (late.reference.end, late.reference_rows) == (AS_OF, 120)
    assert made.reader.models(datetime(2025, 1, 1, tzinfo=UTC)) == []
