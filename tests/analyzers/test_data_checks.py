from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from analyzers.world import DAY, World, day, from_day, made

from watchkeeper.analyzers.data import frozen, mismatch, missing, new_feature, out_of_range, unseen
from watchkeeper.schemas.declared import Declarations, Monitor, System
from watchkeeper.schemas.findings import DataState, Finding, Severity

ALL = (missing.ANALYZER, mismatch.ANALYZER, out_of_range.ANALYZER, unseen.ANALYZER, frozen.ANALYZER)


def only(findings: tuple[Finding, ...]) -> Finding:
    assert len(findings) == 1, [finding.summary for finding in findings]
    return findings[0]


def broken(change: pl.Expr, at: int = 18) -> World:
    """24 days of which the first 14 are the reference; ``change`` replaces its column from day ``at`` on."""
    column = change.meta.output_name()
    frame = made().with_columns(pl.when(from_day(at)).then(change).otherwise(pl.col(column)).alias(column))
    return World().load(frame).with_reference()


def every(share: float) -> pl.Expr:
    """Give a mask of about this share of the rows, spread evenly."""
    return (pl.int_range(pl.len()) % round(1 / share)) == 0


def test_nothing_is_told_of_what_does_not_change() -> None:
    world = World().load(made(days=60)).with_reference()
    for number in range(16, 61, 4):
        for analyzer in ALL:
            assert world.findings(analyzer, day(number)) == (), (number, analyzer.name)


def test_creeping_nulls_are_told_on_the_fourth_day_with_their_beginning() -> None:
    world = broken(pl.when(every(0.05)).then(None).otherwise(pl.col("temp")).alias("temp"))
    assert [len(world.findings(missing.ANALYZER, day(number))) for number in (19, 20, 21, 22, 23)] == [0, 0, 0, 1, 1]
    finding = only(world.findings(missing.ANALYZER, day(24)))
    assert finding.subjects == ("temp",)
    assert finding.severity is Severity.TICKET
    assert finding.since == day(18)
    assert (
        finding.summary == "temp of flights is missing in 5.0 % of the rows since 23 Jan; in the reference it was 0 %."
    )
    assert finding.interval is not None
    assert finding.interval[0] < 0.05 < finding.interval[1]
    assert finding.evidence.p_value is not None
    assert finding.evidence.p_value < 0.001


def test_a_feature_that_stops_is_told_at_once() -> None:
    world = broken(pl.lit(None, pl.Float64).alias("temp"))
    finding = only(world.findings(missing.ANALYZER, day(19)))
    assert "missing in all rows" in finding.summary
    assert finding.data_state is DataState.ABSENT
    assert world.findings(frozen.ANALYZER, day(22)) == ()


def test_infinite_and_not_a_number_are_missing_too() -> None:
    odd = pl.when(every(0.1)).then(float("inf")).when(every(0.05)).then(float("nan")).otherwise(pl.col("temp"))
    finding = only(broken(odd.alias("temp")).findings(missing.ANALYZER, day(20)))
    assert finding.observed == pytest.approx(0.1)


def test_many_features_at_once_are_one_finding() -> None:
    gone = ["temp", "distance", "carrier"]
    frame = made().with_columns(pl.when(from_day(18)).then(None).otherwise(pl.col(name)).alias(name) for name in gone)
    finding = only(World().load(frame).with_reference().findings(missing.ANALYZER, day(20)))
    assert finding.subjects[0] == "features"
    assert sorted(finding.subjects[1:]) == sorted(gone)
    assert finding.summary.startswith("3 of 3 features of flights are missing in up to 100 % of the rows since 23 Jan")


def test_a_renamed_category_names_the_new_value_and_the_one_that_vanished() -> None:
    finding = only(broken(pl.col("carrier").replace("B6", "JBU").alias("carrier")).findings(unseen.ANALYZER, day(19)))
    assert finding.summary.startswith("carrier of flights: 'JBU' makes ")
    assert "since 23 Jan and was never seen in the reference; 'B6' (" in finding.summary
    assert finding.summary.endswith("in the reference) has vanished.")
    assert finding.evidence.snapshot["value"] == "JBU"
    assert finding.evidence.snapshot["vanished"] == "B6"


def test_a_long_tail_of_new_values_is_no_fault() -> None:
    new = pl.when(every(0.1)).then(pl.format("X{}", pl.int_range(pl.len()))).otherwise(pl.col("carrier"))
    world = broken(new.alias("carrier"))
    assert world.findings(unseen.ANALYZER, day(22)) == ()
    shares = {reading.subject: reading.value for reading in world.evaluate(unseen.ANALYZER, day(22)).readings}
    assert shares["carrier"] == pytest.approx(0.1)


def test_values_far_outside_are_a_ticket_and_just_outside_a_notice() -> None:
    far = broken(pl.when(every(0.05)).then(pl.col("distance") * 1000).otherwise(pl.col("distance")).alias("distance"))
    finding = only(far.findings(out_of_range.ANALYZER, day(24)))
    assert finding.severity is Severity.TICKET
    assert "of the rows since 23 Jan lie outside 100 to 2,999, the range of the reference; the far" in finding.summary
    near = broken(pl.when(every(0.05)).then(3500.0).otherwise(pl.col("distance")).alias("distance"))
    assert only(near.findings(out_of_range.ANALYZER, day(24))).severity is Severity.NOTICE


def test_the_farthest_value_of_a_protected_attribute_is_not_told() -> None:
    """Neither it nor the ends of the reference: each is the value of one row."""
    hidden = Declarations(systems=(System(name="f", services=["flights"], owner="o", protected=["distance"]),))
    far = broken(pl.when(every(0.05)).then(pl.col("distance") * 1000).otherwise(pl.col("distance")).alias("distance"))
    finding = only(far.findings(out_of_range.ANALYZER, day(24), hidden))
    assert finding.summary.endswith(" of the rows since 23 Jan lie outside the range of the reference.")
    assert not {"low", "high", "extreme"} & finding.evidence.snapshot.keys()
    assert finding.examples == ()
    assert (finding.severity, finding.subjects) == (Severity.TICKET, ("distance",))


def test_a_number_that_stands_still_is_frozen() -> None:
    world = broken(pl.lit(12.5).alias("temp"))
    assert world.findings(frozen.ANALYZER, day(19)) == ()
    finding = only(world.findings(frozen.ANALYZER, day(20)))
    assert (
        finding.summary == "temp of flights is 12.5 in every row since 23 Jan; it varied on every day of the reference."
    )
    assert (finding.observed, finding.data_state) == (0.0, DataState.STALE)


def test_a_number_that_was_constant_on_a_day_of_the_reference_is_not_frozen() -> None:
    dry = (pl.col("ts") >= day(3).replace(tzinfo=None)) & (pl.col("ts") < day(4).replace(tzinfo=None))
    frame = made().with_columns(pl.when(dry | from_day(18)).then(0.0).otherwise(pl.col("temp")).alias("temp"))
    assert World().load(frame).with_reference().findings(frozen.ANALYZER, day(22)) == ()


def test_text_where_numbers_were_is_a_mismatch_and_not_missing() -> None:
    world = World().load(made().filter(~from_day(18)))
    late = made().filter(from_day(18)).with_columns(pl.format("{} C", pl.col("temp").round(0)).alias("temp"))
    world.load(late).with_reference()
    finding = only(world.findings(mismatch.ANALYZER, day(19)))
    assert finding.summary == "temp of flights is text instead of a number in 100 % of the rows since 23 Jan."
    assert world.findings(missing.ANALYZER, day(20)) == ()


def test_hours_of_a_rolling_day_are_summed_as_they_end() -> None:
    world = broken(pl.lit(None, pl.Float64).alias("temp"))
    half = next(
        reading
        for reading in world.evaluate(missing.ANALYZER, day(18) + timedelta(hours=12)).readings
        if reading.subject == "temp"
    )
    assert 0.4 < half.value < 0.6
    assert half.n is not None
    assert 150 < half.n < 250


def test_a_monitor_changes_severity_parameters_or_switches_off() -> None:
    world = broken(pl.when(every(0.05)).then(None).otherwise(pl.col("temp")).alias("temp"))

    def declared(**changes: object) -> Declarations:
        return Declarations(monitors=(Monitor(name="m", analyzer="data.missing", **changes),))

    assert only(world.findings(missing.ANALYZER, day(24), declared(severity="page"))).severity is Severity.PAGE
    assert world.findings(missing.ANALYZER, day(24), declared(params={"min_share": 0.1})) == ()
    assert world.findings(missing.ANALYZER, day(24), declared(service="other", enabled=False)) != ()
    assert world.evaluate(missing.ANALYZER, day(22), declared(service="flights", enabled=False)).readings == ()


def test_without_rows_in_the_window_nothing_is_judged() -> None:
    world = World().load(made(days=16)).with_reference()
    judged = world.evaluate(missing.ANALYZER, day(16))
    silent = world.evaluate(missing.ANALYZER, day(16) + 3 * DAY)
    assert judged.judged == {("flights", "m1")}
    assert silent.judged == frozenset()
    assert silent.findings == ()


def test_a_new_feature_is_shown_for_a_week_and_wakes_nobody() -> None:
    world = World().load(made(days=18)).with_reference()
    world.load(made(days=12, first_day=18).with_columns(pl.lit(3.0).alias("gust"), pl.lit(1.0).alias("ceiling")))
    assert world.findings(new_feature.ANALYZER, day(18)) == ()
    finding = only(world.findings(new_feature.ANALYZER, day(19)))
    assert finding.subjects == ("features", "ceiling", "gust")
    assert (finding.severity, finding.since) == (Severity.NOTICE, day(18))
    assert finding.summary == (
        "flights sends new features to m1 since 23 Jan: ceiling, gust; "
        "they are not watched until a reference holds them."
    )
    assert len(world.findings(new_feature.ANALYZER, day(25))) == 1
    assert world.findings(new_feature.ANALYZER, day(26)) == ()


def test_a_feature_a_user_is_a_ticket_with_the_reason() -> None:
    world = World().load(made(days=18)).with_reference()
    late = made(days=2, first_day=18)
    for part in range(8):
        some = late.slice(part * 50, 50)
        world.load(some.with_columns(*(pl.lit(1.0).alias(f"user_{part}_{n}") for n in range(50))))
    found = world.findings(new_feature.ANALYZER, day(20))
    tickets = [one for one in found if one.severity is Severity.TICKET]
    assert only(tuple(tickets)).summary == (
        "flights sends more than 300 features to m1: what exceeds is kept with each event, but not watched. "
        "Is there an id inside their names?"
    )
