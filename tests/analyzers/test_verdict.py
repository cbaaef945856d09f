from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation
from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.verdict.change import Change
from watchkeeper.analyzers.verdict.core import features, incident, profile, strength
from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Family, Measured, Rows
from watchkeeper.analyzers.verdict.core.incident import State, Subject
from watchkeeper.analyzers.verdict.core.standard import scale
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Finding, Severity, Window

DAY = timedelta(days=1)
REFERENCE = 28
NUMBER = pl.int_range(pl.len())


def replayed(frame: pl.DataFrame, last: int, *, one_run: bool = True, first: int = 14) -> list[tuple[int, Finding]]:
    """Ask a fresh analyzer day by day, as one run of a schedule or as many; give each finding with its day."""
    world, analyzer = World().load(frame).with_reference(), Change()
    found: list[tuple[int, Finding]] = []
    reader = remembering(world.reader)
    for number in range(first, last + 1):
        reader = reader if one_run else remembering(world.reader)
        at = day(number)
        evaluation = analyzer.evaluate(reader, Declarations(), Window(at - DAY, at), at)
        found += [(number - 1, finding) for finding in evaluation.findings]
    return found


def creeping() -> pl.DataFrame:
    """From day 20 on ever more values are missing."""
    progress = (pl.col("ts") - pl.lit(day(20).replace(tzinfo=None))).dt.total_seconds() / 86_400
    hit = progress * 8 > (NUMBER * 7919 % 1000)
    return made(days=45).with_columns(pl.when(hit).then(None).otherwise(pl.col("temp")).alias("temp"))


def turned(days: int = 45) -> pl.DataFrame:
    flip = from_day(20) & (NUMBER % 4 == 0)
    return made(days=days).with_columns(
        pl.when(flip).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome")
    )


def series(values: np.ndarray) -> Measured:
    return Measured(values, np.full(values.size, 100.0))


def test_what_never_changes_is_hardly_ever_told() -> None:
    """40 models of 25 channels over 224 days, at a budget of 0.1 a month: at most 0.75 a model, by the union bound."""
    rng = np.random.default_rng(5)
    channels = [Channel(str(place), str(place), Family.INPUT) for place in range(25)]
    alerts = 0
    for _ in range(40):
        table = {channel.name: series(rng.normal(10, 1, 252)) for channel in channels}
        watched = strength.watch(channels, table, REFERENCE)
        chances = strength.log_chances(watched, table, REFERENCE, REFERENCE)
        over = incident.strengths(chances, incident.limit(0.1, len(channels)))
        state = State()
        for place in range(over.shape[1]):
            calm = not bool((over[:, place] > 1).any())
            state, told = incident.step(state, place, incident.active(channels, over, place), calm=calm)
            alerts += len(told)
    assert alerts <= 30


@pytest.mark.parametrize("shift", [np.where(np.arange(120) >= 60, 2.0, 0.0), np.clip((np.arange(120) - 60) / 20, 0, 3)])
def test_steps_and_ramps_are_found(shift: np.ndarray) -> None:
    values = np.random.default_rng(6).normal(10, 1, 120) + shift
    watched = strength.watch([Channel("x", "x", Family.INPUT)], {"x": series(values)}, REFERENCE)
    chances = strength.log_chances(watched, {"x": series(values)}, REFERENCE, REFERENCE)[0]
    assert chances[:30].min() > np.log(0.05)
    assert chances[-1] < np.log(1e-6)


def test_a_change_that_is_certain_and_worth_nothing_is_not_told() -> None:
    """A million rows a day: a fiftieth of a row's spread is beyond chance after months, and no input's ticket."""
    rng = np.random.default_rng(4)
    channel = Channel("x", "x", Family.INPUT)

    def strongest(shift: float, family: Family) -> float:
        values = rng.normal(0, 0.001, 252) + shift * (np.arange(252) >= 60)
        table = {"x": Measured(values, np.full(252, 1e6), 1.0)}
        watched = strength.watch([replace(channel, family=family)], table, REFERENCE)
        return float(strength.log_chances(watched, table, REFERENCE, REFERENCE).min())

    assert strongest(0.028, Family.INPUT) == 0
    assert strongest(0.028, Family.QUALITY) < -10
    assert strongest(0.06, Family.INPUT) < -10


@pytest.mark.parametrize(
    ("usual", "outage"), [(0.0, 0.0), (0.0, 300.0), (0.3, 0.0), (1.0, 0.0), (2.0, 0.0), (2.0, 300.0), (5.0, 300.0)]
)
def test_missing_values_are_told_whatever_the_reference_had_of_them(usual: float, outage: float) -> None:
    """A fifth of the rows from day 70 on: neither a few on most days nor one outage in the reference hides it."""
    rng = np.random.default_rng(13)
    events = rng.poisson(np.where(np.arange(120) < 70, usual, 80.0)).astype(float)
    events[5] += outage
    table = {"x": Measured(events / 400, np.full(120, 400.0), usual / 400)}
    watched = strength.watch([Channel("x", "x", Family.BREAK, side=1, share=True)], table, REFERENCE)
    chances = strength.log_chances(watched, table, REFERENCE, REFERENCE)[0]
    assert chances[: 70 - REFERENCE].min() > np.log(0.01)
    assert chances[80 - REFERENCE] < np.log(0.01)


def test_one_day_of_missing_values_is_not_told() -> None:
    for usual in (0.0, 2.0):
        events = np.random.default_rng(14).poisson(usual, 120).astype(float)
        events[80] = 400
        table = {"x": Measured(events / 400, np.full(120, 400.0), usual / 400)}
        watched = strength.watch([Channel("x", "x", Family.BREAK, side=1, share=True)], table, REFERENCE)
        assert strength.log_chances(watched, table, REFERENCE, REFERENCE).min() > np.log(0.01)


def outcomes(rng: np.random.Generator, flipped: float = 0.0, worse: float = 0.0) -> dict[str, Measured]:
    """Give what 28 days of learning and 28 days after it say; the latter turned round in part, or all worse."""
    day = np.repeat(np.arange(56), 400)
    odds = rng.normal(-1.5, 1.5, day.size)
    mood = rng.normal(0, 0.5, 56)[day] + worse * (day >= 28)
    y = (rng.random(day.size) < 1 / (1 + np.exp(-odds - mood))).astype(float)
    turned = (rng.random(day.size) < flipped) & (day >= 28)
    columns = {"day": day, "score": 1 / (1 + np.exp(-odds)), "outcome": np.where(turned, 1 - y, y)}
    frame = pl.DataFrame(columns | {"correct": columns["outcome"] == (odds > 0)})
    rows = Rows(frame, {}, {}, {})
    learned = profile.learn_outcomes(rows.only(day < REFERENCE), profile.learn(rows.only(day < REFERENCE)))
    assert learned
    return learned.measure(rows, Days.of(rows, 56))


def test_the_share_turned_round_is_told_and_a_worse_day_for_all_is_not() -> None:
    rng = np.random.default_rng(8)
    name = "outcomes turned round within the day"
    flipped, worse = outcomes(rng, flipped=0.1)[name], outcomes(rng, worse=0.7)[name]
    spread = float(np.std(worse.values[:28]))
    assert float(np.mean(flipped.values[28:])) == pytest.approx(0.1, abs=0.03)
    assert abs(float(np.mean(worse.values[28:] - worse.values[:28].mean()))) < spread / 2
    assert flipped.skew > 1


def test_the_long_tail_of_rows_is_pulled_in_though_the_reference_has_not_shown_it() -> None:
    days, rows = np.random.default_rng(9).normal(0, 1, 28), np.full(28, 10.0)
    plain, warned = scale(days, rows, 10.0), scale(days, rows, 10.0, row_skew=2.0 * 10**0.5)
    assert plain
    assert warned
    far = [float(one.apply(np.array([4.0]), np.array([10.0]), 0)[0][0]) for one in (plain, warned)]
    assert far[1] < 0.8 * far[0]


def test_one_outlier_neither_hides_nor_fakes_a_drift() -> None:
    rng = np.random.default_rng(7)
    usual = pl.DataFrame({"day": 0, "x": rng.normal(0, 1, 20_000)})
    learned = features.number(Rows(usual, {"x": "x"}, {}, {}), "x", "x")
    assert learned is not None
    for moved in (0.0, 0.25):
        values = rng.normal(moved, 1, 20_000)
        held = {}
        for name, first in (("plain", values[0]), ("outlier", 1e6)):
            frame = pl.DataFrame({"day": 0, "x": [first, *values[1:]]})
            rows = Rows(frame, {"x": "x"}, {}, {})
            held[name] = {key: one.values[0] for key, one in learned.measure(rows, Days.of(rows, 1)).items()}
        for key in ("x mean", "x rank", "x spread"):
            assert held["outlier"][key] == pytest.approx(held["plain"][key], abs=1e-3)


@pytest.mark.parametrize(("exponent", "a_day"), [(1.3, 300), (1.6, 300), (1.3, 60), (2.0, 1000)])
def test_a_long_tail_that_goes_on_is_not_unseen_and_a_flood_of_new_values_is(exponent: float, a_day: int) -> None:
    rng = np.random.default_rng(11)
    days = np.repeat(np.arange(90), a_day)
    places = rng.zipf(exponent, days.size).clip(max=10**6)

    def strongest(values: list[str]) -> float:
        frame = pl.DataFrame({"day": days, "zip": values})
        rows = Rows(frame, {}, {"zip": "zip"}, {})
        learned = features.category(rows.only(days < REFERENCE), "zip", "zip")
        assert learned
        before, after = rows.only(days < REFERENCE), rows.only(days >= REFERENCE)
        later = Rows(after.frame.with_columns(pl.col("day") - REFERENCE), {}, {"zip": "zip"}, {})
        name = "zip unseen"
        usual = learned.measure(before, Days.of(before, REFERENCE), reference=True)[name]
        now = learned.measure(later, Days.of(later, 90 - REFERENCE))[name]
        table = {name: Measured(np.append(usual.values, now.values), np.append(usual.rows, now.rows))}
        [channel] = [channel for channel in learned.channels() if channel.name == name]
        watched = strength.watch([channel], table, REFERENCE)
        return float(strength.log_chances(watched, table, REFERENCE, REFERENCE).min())

    zips = [f"z{place}" for place in places]
    assert strongest(zips) > np.log(0.001)
    flood = (days >= 70) & (rng.random(days.size) < 0.3)
    assert (
        strongest([f"new{place % 50}" if hit else one for one, place, hit in zip(zips, places, flood, strict=True)])
        < -12
    )


def test_a_creeping_fault_is_a_ticket_that_names_it_and_shows_it() -> None:
    found = replayed(creeping(), 45)
    when, first = found[0]
    assert 20 <= when <= 32
    assert (first.subjects[0], first.severity) == ("temp", Severity.TICKET)
    assert first.summary.endswith("No effect on errors, latency or cost so far.")
    assert first.examples
    assert Change().recompute(first.evidence.snapshot) == first.observed


@pytest.mark.parametrize(("more", "severity"), [(1.03, Severity.TICKET), (1.2, Severity.PAGE)])
def test_a_latency_that_is_certainly_and_hardly_higher_wakes_nobody(more: float, severity: Severity) -> None:
    rng = np.random.default_rng(12)
    frame = made(days=45).with_columns(pl.Series("latency_ms", rng.lognormal(5, 0.1, 45 * 200)))
    slower = pl.when(from_day(20)).then(pl.col("latency_ms") * more).otherwise(pl.col("latency_ms"))
    found = [
        one for _, one in replayed(frame.with_columns(slower.alias("latency_ms")), 30) if "latency" in one.subjects
    ]
    assert {one.severity for one in found} == {severity}
    assert found[0].summary.endswith("By less than 5.0 %, so that it is no page.") is (severity is Severity.TICKET)


def test_a_feature_whose_type_changes_for_good_is_compared_no_more_and_the_others_are() -> None:
    frame = made(days=45)
    numbers, texts = frame.filter(~from_day(20)), frame.filter(from_day(20))
    unlike = texts.with_columns(pl.col("temp").cast(pl.String), pl.col("distance") * 1.5)
    world, analyzer = World().load(numbers).with_reference(), Change()
    for number in range(20, 45):
        world.load(unlike.filter(from_day(number) & ~from_day(number + 1)))
    assert world.facts.read("SELECT max(schema_version) AS newest FROM feature_tables")["newest"].item() == 2
    told, strength_of = [], dict[tuple[str, int], float]()
    for number in range(14, 46):
        at = day(number)
        evaluation = analyzer.evaluate(remembering(world.reader), Declarations(), Window(at - DAY, at), at)
        told += [name for finding in evaluation.findings for name in finding.subjects]
        strength_of |= {(reading.subject, number): reading.value for reading in evaluation.readings}
    assert "distance" in told
    assert strength_of["temp", 45] <= max(strength_of["temp", number] for number in range(20, 32))


def test_without_the_rows_of_its_reference_nothing_is_judged() -> None:
    world = World().load(made(days=30)).with_reference()
    with world.facts.transaction() as connection:
        connection.execute("DELETE FROM prediction_rows WHERE ts < ?", [day(10).replace(tzinfo=None)])
    evaluation = world.evaluate(Change(), day(30))
    assert (evaluation.readings, evaluation.judged) == ((), frozenset())


def test_outcomes_that_turn_round_are_a_page() -> None:
    found = replayed(turned(), 45)
    assert found
    when, first = found[0]
    assert 22 <= when <= 32
    assert first.severity is Severity.PAGE
    assert {"outcome", "error", "calibration"} & set(first.subjects[:3])
    assert first.as_of - first.window.end == 2 * DAY, "outcomes take two days"
    assert f" in the week to {phrases.day(first.window.start)}" in first.summary
    assert "last week" not in first.summary


def test_one_run_says_what_many_runs_say() -> None:
    """Reading weeks at once is no look ahead."""
    assert replayed(creeping(), 40) == replayed(creeping(), 40, one_run=False)


def judged(analyzer: Change, world: World, number: int) -> Evaluation:
    at = day(number)
    return analyzer.evaluate(remembering(world.reader), Declarations(), Window(at - DAY, at), at)


@pytest.mark.parametrize("frame", [turned(), creeping().drop("outcome", "outcome_ts")], ids=["outcomes", "none"])
def test_a_restart_goes_on_where_it_was_though_retention_has_taken_the_rows(frame: pl.DataFrame) -> None:
    whole, parted = (World().load(frame).with_reference() for _ in range(2))
    always, before = Change(), Change()
    for number in range(14, 36):
        judged(always, whole, number)
        judged(before, parted, number)
    with parted.facts.transaction() as connection:
        for table, time in (("prediction_rows", "ts"), ("features_1", "ts"), ("matched", "prediction_ts")):
            connection.execute(f"DELETE FROM {table} WHERE {time} < ?", [day(25).replace(tzinfo=None)])
    after = Change()
    for number in range(36, 45):
        expected, found = judged(always, whole, number), judged(after, parted, number)
        assert found.judged
        assert (found.readings, found.findings) == (expected.readings, expected.findings)


def following(days: int, *, until_flat: int) -> Rows:
    """Give scores that follow three inputs, one of which moves with the day; from a day on they follow half as much."""
    rng = np.random.default_rng(11)
    day_of = np.repeat(np.arange(days), 150)
    mood = rng.normal(0, 0.7, days)[day_of]
    x, y = rng.normal(0, 1, day_of.size), rng.normal(0, 1, day_of.size) + mood
    kind = rng.choice(["a", "b", "c"], day_of.size)
    odds = x + y + 2.0 * (kind == "a") + rng.normal(0, 0.3, day_of.size)
    odds = np.where(day_of < until_flat, odds, 0.5 * odds + 0.6)
    frame = pl.DataFrame({"day": day_of, "x": x, "y": y, "kind": kind, "score": 1 / (1 + np.exp(-odds))})
    return Rows(frame, {"x": "x", "y": "y"}, {"kind": "kind"}, {})


def test_a_score_that_follows_its_inputs_less_is_seen_whatever_comes_in() -> None:
    rows = following(60, until_flat=40)
    past = rows.only(rows.frame["day"].to_numpy() < REFERENCE)
    learned = profile.learn(past)
    table, later = learned.measure(past, REFERENCE, reference=True), learned.measure(rows, 60)

    def channel(name: str) -> np.ndarray:
        return np.concatenate([table[name].values, later[name].values[REFERENCE:]])

    slope, rest = channel("score slope on the inputs"), channel("score for the inputs")
    assert slope[:40] == pytest.approx(1.0, abs=0.15)
    assert slope[40:] == pytest.approx(0.5, abs=0.15)
    assert rest[:40].std() < 0.5 * channel("score logit")[:40].std()
    assert 0.4 < rest[:REFERENCE].std() / rest[REFERENCE:40].std() < 2.5  # no fit has seen the day that it judges


def test_rows_that_come_late_are_seen_by_the_next_run() -> None:
    frame = made(days=30)
    world, analyzer = World().load(frame.filter(~from_day(18))).with_reference(), Change()

    def strengths(number: int) -> list[float]:
        at = day(number)
        evaluation = analyzer.evaluate(remembering(world.reader), Declarations(), Window(at - DAY, at), at)
        return [reading.value for reading in evaluation.readings]

    assert strengths(18)
    assert strengths(19) == []  # no rows yet
    world.load(frame.filter(from_day(18)))
    assert strengths(20) == of_whole(frame, 20)


def of_whole(frame: pl.DataFrame, number: int) -> list[float]:
    world, at = World().load(frame).with_reference(), day(number)
    evaluation = Change().evaluate(remembering(world.reader), Declarations(), Window(at - DAY, at), at)
    return [reading.value for reading in evaluation.readings]


def test_more_traffic_less_traffic_and_none_are_no_fault() -> None:
    frame = made(days=60)
    double = pl.concat([frame, made(days=60, seed=2).filter(from_day(20) & ~from_day(27))]).sort("ts")
    quiet = double.filter(~(from_day(35) & ~from_day(42)) | (pl.int_range(pl.len()) % 5 == 0))
    gap = quiet.filter(~(from_day(50) & ~from_day(51)))
    assert replayed(gap, 60) == []


def test_what_was_named_behind_another_is_told_and_speaks_once_it_is_much_stronger() -> None:
    def drift(name: str, strength_: float, family: Family = Family.INPUT) -> Subject:
        return Subject(name, strength_, 0, frozenset({family}))

    near = [drift("warm", 1.5), drift("clear", 0.8), drift("error", 0.9, Family.QUALITY)]
    state, told = incident.with_others(*incident.step(State(), 1, near[:1], calm=False), near)
    assert [(alert.page, alert.names) for alert in told] == [(False, ("warm", "clear"))]  # a ticket names no loss
    assert incident.step(state, 2, [drift("clear", 1.7)], calm=False)[1] == ()
    assert incident.step(state, 2, [drift("clear", 1.9)], calm=False)[1]
    assert incident.step(state, 2, [drift("error", 1.1, Family.QUALITY)], calm=False)[1]


@pytest.mark.parametrize(("before", "holds"), [((0.9, 0.9), True), ((0.9, 0.5), False), ((0.5, 0.9), False)])
def test_what_jumps_over_its_threshold_from_nothing_waits_and_what_grew_there_does_not(
    before: tuple[float, float], holds: bool
) -> None:
    strengths = np.array([[*before, 1.1]])
    told = incident.active([Channel("error", "error", Family.QUALITY)], strengths, 2)
    assert bool(told) is holds


def test_a_score_is_no_news_once_an_input_has_moved_unless_it_leads() -> None:
    def moved(strength_: float, *families: Family) -> Subject:
        return Subject("score", strength_, 0, frozenset(families))

    quiet, _ = incident.step(State(), 1, [Subject("error", 1.5, 0, frozenset({Family.QUALITY}))], calm=False)
    warm, _ = incident.step(State(), 1, [Subject("warm", 1.5, 0, frozenset({Family.INPUT}))], calm=False)
    assert incident.step(quiet, 2, [moved(1.2, Family.SCORE)], calm=False)[1]
    assert incident.step(warm, 2, [moved(1.2, Family.SCORE)], calm=False)[1] == ()
    assert incident.step(warm, 2, [moved(1.6, Family.SCORE)], calm=False)[1]


def test_a_new_subject_speaks_and_a_known_one_only_when_it_is_much_stronger() -> None:
    def drift(name: str, strength_: float, family: Family = Family.INPUT) -> Subject:
        return Subject(name, strength_, 0, frozenset({family}))

    state, told = incident.step(State(), 1, [drift("a", 1.5)], calm=False)
    assert [alert.page for alert in told] == [False]
    state, told = incident.step(state, 2, [drift("a", 2.0)], calm=False)
    assert told == ()
    state, told = incident.step(state, 3, [drift("a", 4.0), drift("error", 1.1, Family.QUALITY)], calm=False)
    assert [(alert.page, alert.subjects[0].name) for alert in told] == [(True, "error"), (False, "a")]
    for name in ("b", "c"):
        state, told = incident.step(state, 4, [drift(name, 1.1)], calm=False)
        assert told
    state, told = incident.step(state, 5, [drift("d", 1.1)], calm=False)
    assert told == ()  # many have moved: one cause
    state, told = incident.step(state, 6, [drift("e", 4.5)], calm=False)
    assert told
    for number in range(7, 7 + incident.SILENT_DAYS):
        state, told = incident.step(state, number, [], calm=True)
    assert not state.open
