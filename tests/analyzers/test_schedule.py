from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

import polars as pl
import pytest
from analyzers.world import World, day, from_day, made
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.analyzers.clockwork import Clockwork
from watchkeeper.analyzers.evaluation import Evaluation, Reading
from watchkeeper.analyzers.memo import once, remembering
from watchkeeper.analyzers.registry import discover
from watchkeeper.analyzers.schedule import EPOCH, Schedule
from watchkeeper.schemas.declared import Declarations, Monitor
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Severity, Window
from watchkeeper.store.facts.reader import FactReader

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
WEEK = timedelta(days=7)
PAIR = ("flights", "m1")


@dataclass
class Probe:
    """An analyzer that notes what it was asked, and says what it is told to say."""

    name: str = "test.probe"
    every: timedelta = HOUR
    span: timedelta = HOUR
    quiet: timedelta = 2 * HOUR
    question: str = "What was asked?"
    params: Mapping[str, float] = field(default_factory=dict)
    says: Callable[[datetime], bool] = lambda _: False
    breaks: Callable[[datetime], Exception | None] = lambda _: None
    judges: Callable[[datetime], bool] = lambda _: True
    asked: list[tuple[str, datetime]] = field(default_factory=list)
    usual: float = 0.1
    upper: float = 0.3

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        assert window == Window(as_of - self.span, as_of)
        self.asked.append((self.name, as_of))
        if (error := self.breaks(as_of)) is not None:
            raise error
        reading = Reading(self.name, "x", *PAIR, "temp", window, as_of, 0.25, 0.2, self.upper, reference=self.usual)
        judged = frozenset({PAIR}) if self.judges(as_of) else frozenset[tuple[str, str]]()
        return Evaluation((self.finding(as_of),) if self.says(as_of) else (), (reading,), judged)

    def finding(self, as_of: datetime) -> Finding:
        window = Window(as_of - self.span, as_of)
        return Finding(
            self.name, *PAIR, "x", ("temp",), window, as_of, 1.0, Severity.TICKET, "It is so.", Evidence("t", 1)
        )

    def recompute(self, snapshot: object) -> float:
        return 1.0


@dataclass
class Sink:
    taken: list[tuple[Sequence[Evaluation], dict[str, datetime]]] = field(default_factory=list)
    fails: int = 0

    def __call__(self, evaluations: Sequence[Evaluation], watermarks: Mapping[str, datetime]) -> None:
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("disk full")
        self.taken.append((evaluations, dict(watermarks)))

    @property
    def findings(self) -> list[Finding]:
        return [finding for evaluations, _ in self.taken for one in evaluations for finding in one.findings]

    @property
    def watermarks(self) -> dict[str, datetime]:
        merged: dict[str, datetime] = {}
        for _, watermarks in self.taken:
            merged |= watermarks
        return merged


WORLD = World().load(made(days=2, rows=20))


def schedule(
    probes: Sequence[Probe], sink: Sink, watermarks: Mapping[str, datetime] | None = None, **more: object
) -> Schedule:
    registry = {probe.name: probe for probe in probes}
    return Schedule(registry, WORLD.reader, Declarations, lambda: day(2), sink, watermarks or {}, **more)


def test_who_looks_without_events_catches_nothing_up() -> None:
    probe, sink = Probe(every=MINUTE), Sink()
    empty = World()
    runs = Schedule(
        {probe.name: probe},
        empty.reader,
        Declarations,
        lambda: day(2),
        sink,
        {probe.name: EPOCH},
        without_events={probe.name},
    )
    assert runs.run_due(day(1)) == 1
    assert runs.run_due(day(1)) == 0
    assert runs.run_due(day(1) + MINUTE) == 1
    assert [at for _, at in probe.asked] == [day(1), day(1) + MINUTE]
    assert runs.evaluated_to is None


def test_every_window_end_is_evaluated_once_and_no_more() -> None:
    probe, sink = Probe(), Sink()
    runs = schedule([probe], sink, {probe.name: day(1)})
    assert runs.run_due(day(1) + 3 * HOUR + 5 * MINUTE) == 3
    assert runs.run_due(day(1) + 3 * HOUR + 59 * MINUTE) == 0
    assert runs.run_due(day(1) + 4 * HOUR) == 1
    assert [at for _, at in probe.asked] == [day(1) + number * HOUR for number in (1, 2, 3, 4)]
    assert sink.watermarks == {probe.name: day(1) + 4 * HOUR} == runs.watermarks


def test_the_clock_says_what_is_due() -> None:
    probe = Probe()
    assert schedule([probe], Sink(), {probe.name: day(2) - 2 * HOUR}).run_due() == 2


def test_evaluations_are_chronological_across_analyzers() -> None:
    asked: list[tuple[str, datetime]] = []
    probes = [Probe("a", HOUR, asked=asked), Probe("b", 20 * MINUTE, asked=asked), Probe("c", 3 * HOUR, asked=asked)]
    sink = Sink()
    schedule(probes, sink, dict.fromkeys("abc", day(1))).run_due(day(1) + 6 * HOUR)
    assert [at for _, at in asked] == sorted(at for _, at in asked)
    assert len(asked) == 6 + 18 + 2
    times = [next(iter(watermarks.values())) for _, watermarks in sink.taken]
    assert times == sorted(set(times))
    together = next(watermarks for _, watermarks in sink.taken if len(watermarks) == 3)
    assert set(together) == {"a", "b", "c"}
    assert set(together.values()) == {day(1) + 3 * HOUR}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_however_often_it_runs_the_same_is_evaluated(minutes: list[int]) -> None:
    stops = sorted(day(1) + minute * MINUTE for minute in minutes)
    often, at_once = Probe(every=20 * MINUTE), Probe(every=20 * MINUTE)
    start = {often.name: day(1)}
    runs = schedule([often], Sink(), start)
    for stop in stops:
        runs.run_due(stop)
    near = [stop for stop in stops if stop <= day(1) + timedelta(days=1)]
    if len(near) == len(stops):
        schedule([at_once], Sink(), start).run_due(stops[-1])
        assert often.asked == at_once.asked
    ends = [at for _, at in often.asked]
    assert ends == sorted(set(ends))


@pytest.mark.parametrize("restarted", [False, True])
def test_what_a_clock_judged_that_was_ahead_is_looked_at_again(*, restarted: bool) -> None:
    probe, sink = Probe(every=20 * MINUTE), Sink()
    runs = schedule([probe], sink, {probe.name: day(1)})
    runs.run_due(day(1) + 2 * HOUR)
    probe.asked.clear()
    if restarted:
        runs = schedule([probe], sink, sink.watermarks)
    for minutes in (60, 70, 90, 120, 140):
        runs.run_due(day(1) + minutes * MINUTE)
    assert [(at - day(1)) / MINUTE for _, at in probe.asked] == [80, 100, 120, 140]


def test_a_clock_that_is_put_right_by_seconds_repeats_nothing() -> None:
    probe = Probe(every=20 * MINUTE)
    runs = schedule([probe], Sink(), {probe.name: day(1)})
    runs.run_due(day(1) + 20 * MINUTE)
    runs.run_due(day(1) + 19.5 * MINUTE)
    runs.run_due(day(1) + 21 * MINUTE)
    assert len(probe.asked) == 1


def test_what_is_far_behind_is_caught_up_hourly_and_then_closely() -> None:
    probe = Probe(every=20 * MINUTE)
    schedule([probe], Sink(), {probe.name: day(1)}).run_due(day(3))
    ends = [at for _, at in probe.asked]
    assert ends[:24] == [day(1) + number * HOUR for number in range(1, 25)]
    assert len(ends) == 24 + 24 * 3


def test_a_replay_may_look_less_often() -> None:
    probe = Probe()
    schedule([probe], Sink(), {probe.name: day(1)}, min_every=timedelta(days=1)).run_due(day(5))
    assert [at for _, at in probe.asked] == [day(number) for number in (2, 3, 4, 5)]


def test_the_first_start_begins_with_the_first_event() -> None:
    probe = Probe()
    schedule([probe], Sink()).run_due(day(0) + 5 * HOUR)
    assert probe.asked[0][1] == day(0) + HOUR
    old = Probe()
    schedule([old], Sink(), {old.name: EPOCH}).run_due(day(0) + 5 * HOUR)
    assert old.asked == probe.asked


def test_without_any_event_nothing_is_evaluated() -> None:
    probe, sink = Probe(), Sink()
    empty = Schedule({probe.name: probe}, World().reader, Declarations, lambda: day(2), sink, {})
    assert empty.run_due() == 0
    assert (probe.asked, sink.taken) == ([], [])


def test_references_are_made_before_each_time() -> None:
    order: list[tuple[str, datetime]] = []
    probe = Probe(asked=order)
    maintain = lambda at: order.append(("made", at))  # noqa: E731
    schedule([probe], Sink(), {probe.name: day(1)}, maintain=maintain).run_due(day(1) + 2 * HOUR)
    assert [name for name, _ in order] == ["made", probe.name, "made", probe.name]


def test_one_broken_analyzer_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    broken = Probe("broken", breaks=lambda _: ValueError("no such column"))
    well, sink = Probe("well"), Sink()
    with caplog.at_level(logging.CRITICAL, "watchkeeper.analyzers.schedule"):
        schedule([broken, well], sink, dict.fromkeys(("broken", "well"), day(1))).run_due(day(1) + 4 * HOUR)
    assert len(well.asked) == 4
    assert [finding.severity for finding in sink.findings] == [
        Severity.NOTICE, Severity.NOTICE, Severity.TICKET, Severity.TICKET
    ]  # fmt: skip
    assert {finding.data_state for finding in sink.findings} == {DataState.EVALUATOR_ERROR}
    assert len({finding.fingerprint for finding in sink.findings}) == 1
    assert sink.findings[2].summary == (
        "broken failed 3 times in a row, so what it watches is not watched: ValueError: no such column"
    )
    assert sink.watermarks["broken"] == day(1) + 4 * HOUR


def test_an_analyzer_that_works_again_ends_its_failure(caplog: pytest.LogCaptureFixture) -> None:
    broken = Probe(breaks=lambda at: ValueError("x") if at <= day(1) + 2 * HOUR else None)
    sink = Sink()
    with caplog.at_level(logging.CRITICAL, "watchkeeper.analyzers.schedule"):
        schedule([broken], sink, {broken.name: day(1)}).run_due(day(1) + 5 * HOUR)
    assert [(finding.active, finding.observed) for finding in sink.findings] == [(True, 1.0), (True, 2.0), (False, 2.0)]


def test_a_store_that_is_away_is_asked_again_later() -> None:
    away = True
    probe, sink = Probe(breaks=lambda _: StoreUnavailable("closed") if away else None), Sink()
    runs = schedule([probe], sink, {probe.name: day(1)})
    with pytest.raises(StoreUnavailable):
        runs.run_due(day(1) + 2 * HOUR)
    assert runs.watermarks == {probe.name: day(1)}
    away = False
    assert runs.run_due(day(1) + 2 * HOUR) == 2
    assert sink.findings == []


def test_what_the_sink_could_not_take_is_evaluated_again() -> None:
    probe, sink = Probe(says=lambda _: True), Sink(fails=1)
    runs = schedule([probe], sink, {probe.name: day(1)})
    with pytest.raises(StoreUnavailable):
        runs.run_due(day(1) + HOUR)
    assert runs.run_due(day(1) + HOUR) == 1
    assert [finding.key for finding in sink.findings] == [probe.finding(day(1) + HOUR).key]


def test_a_finding_is_over_once_it_was_judged_and_not_repeated_for_long_enough() -> None:
    probe, sink = Probe(says=lambda at: at <= day(1) + 3 * HOUR), Sink()
    schedule([probe], sink, {probe.name: day(1)}).run_due(day(1) + 9 * HOUR)
    ended = [finding for finding in sink.findings if not finding.active]
    assert [finding.as_of for finding in ended] == [day(1) + 5 * HOUR]
    assert ended[0].summary == "No longer: It is so."
    assert ended[0].observed == 0.25  # its newest reading
    assert ended[0].fingerprint == sink.findings[0].fingerprint


@pytest.mark.parametrize(("usual", "upper", "over"), [(0.3, 0.4, 4), (0.3, 0.9, 8), (0.2, 0.4, 8)])
def test_a_finding_is_over_sooner_once_its_reading_is_surely_back(usual: float, upper: float, over: int) -> None:
    probe, sink = Probe(says=lambda at: at <= day(1) + 3 * HOUR, quiet=5 * HOUR, usual=usual, upper=upper), Sink()
    schedule([probe], sink, {probe.name: day(1)}).run_due(day(1) + 9 * HOUR)
    assert [finding.as_of for finding in sink.findings if not finding.active] == [day(1) + over * HOUR]


def test_what_could_not_be_judged_stays_open() -> None:
    probe = Probe(says=lambda at: at <= day(1) + HOUR, judges=lambda at: at > day(1) + 8 * HOUR)
    sink = Sink()
    schedule([probe], sink, {probe.name: day(1)}).run_due(day(1) + 9 * HOUR)
    assert [finding.as_of for finding in sink.findings if not finding.active] == [day(1) + 9 * HOUR]


def test_what_was_open_before_a_restart_ends_after_it() -> None:
    probe, sink = Probe(), Sink()
    before = probe.finding(day(1))
    schedule([probe], sink, {probe.name: day(1)}, open_findings=[before]).run_due(day(1) + 3 * HOUR)
    assert [(finding.active, finding.as_of) for finding in sink.findings] == [(False, day(1) + 2 * HOUR)]
    inactive = replace(before, active=False)
    other = Sink()
    schedule([probe], other, {probe.name: day(1)}, open_findings=[inactive]).run_due(day(1) + 3 * HOUR)
    assert other.findings == []


def test_the_whole_registry_tells_of_a_fault_once_it_lasts_and_of_its_end() -> None:
    fault = from_day(18) & ~from_day(24)
    frame = made(days=32).with_columns(pl.when(fault).then(None).otherwise(pl.col("temp")).alias("temp"))
    world, sink = World().load(frame).with_reference(), Sink()
    start = dict.fromkeys(discover(), day(16))
    runs = Schedule(discover(), world.reader, Declarations, lambda: day(32), sink, start, min_every=timedelta(hours=12))
    assert runs.run_due() > 0
    told = [finding for finding in sink.findings if finding.analyzer == "data.missing"]
    assert told[0].as_of <= day(19)
    assert {finding.subject for finding in told} == {"temp"}
    assert [finding.as_of for finding in told if not finding.active] == [day(25) + 12 * HOUR]
    others = [one for one in sink.findings if one.analyzer != "data.missing" and one.severity.alerts]
    assert {one.subject for one in others} <= {"temp"}


def test_a_memo_asks_the_facts_once() -> None:
    asked: list[object] = []

    class Counting:
        def models(self, as_of: datetime) -> list[object]:
            asked.append(as_of)
            return []

    reader = remembering(Counting())  # type: ignore[arg-type]
    assert [reader.models(day(1)), reader.models(day(1)), reader.models(day(2))] == [[], [], []]
    assert asked == [day(1), day(2)]
    assert [once(reader, "key", lambda: asked.append("made")) for _ in range(2)] == [None, None]
    assert asked.count("made") == 1
    assert once(WORLD.reader, "key", lambda: 5) == 5


def test_a_memo_forgets_what_was_asked_for_longest_ago() -> None:
    made_of: list[int] = []
    reader = remembering(WORLD.reader)
    for key in (*range(300), 0, 299):
        once(reader, key, lambda key=key: made_of.append(key))
    assert made_of == [*range(300), 0]


def test_the_clockwork_calls_at_once_and_stops() -> None:
    called = threading.Event()
    clockwork = Clockwork("a test", called.set, timedelta(hours=1))
    clockwork.start()
    clockwork.start()
    try:
        assert called.wait(10)
    finally:
        clockwork.stop()
        clockwork.stop()
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_a_clock_that_is_set_back_does_not_stop_the_clockwork(monkeypatch: pytest.MonkeyPatch) -> None:
    back = [timedelta()]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - back[0]

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Clock)
    called = threading.Semaphore(0)
    clockwork = Clockwork("a test", called.release, timedelta(milliseconds=50))
    clockwork.start()
    try:
        for back[0] in (timedelta(), timedelta(hours=1), timedelta(hours=3), timedelta(hours=-2), timedelta(days=400)):
            assert [called.acquire(timeout=20) for _ in range(3)] == [True] * 3
    finally:
        clockwork.stop()


@pytest.mark.parametrize(("error", "said"), [(StoreUnavailable("disk full"), "disk full"), (KeyError("x"), "failed")])
def test_the_clockwork_outlives_what_it_calls(error: Exception, said: str, caplog: pytest.LogCaptureFixture) -> None:
    calls, enough = iter([error, error]), threading.Event()

    def run() -> None:
        for failure in calls:
            raise failure
        enough.set()

    clockwork = Clockwork("a test", run, timedelta(milliseconds=1))
    clockwork.start()
    assert enough.wait(10)
    clockwork.stop()
    assert [record.getMessage() for record in caplog.records if said in record.getMessage()][1:] != []


def judged_until(last: datetime, back: datetime | None = None) -> Probe:
    """Says it at noon of the first day; cannot judge after ``last`` until ``back``."""
    return Probe(
        says=lambda at: at == day(1) + 12 * HOUR,
        judges=lambda at: at <= last or (back is not None and at >= back),
        quiet=30 * 24 * HOUR,
    )


def test_what_nobody_can_see_is_held_open_by_a_word_a_day() -> None:
    probe, sink = judged_until(day(2)), Sink()
    runs = schedule([probe], sink, {probe.name: day(1)})
    runs.run_due(day(9))
    first, *unseen = sink.findings
    assert (first.active, first.as_of) == (True, day(1) + 12 * HOUR)
    assert {(one.active, one.data_state) for one in unseen} == {(False, DataState.ABSENT)}
    times = [one.as_of for one in unseen]
    assert day(2) < times[0] <= day(3) + HOUR
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(days=1)}
    assert times[-1] > day(8)
    assert {one.fingerprint for one in unseen} == {first.fingerprint}
    assert unseen[0].summary == "No data, so nobody can see whether it goes on: It is so."


def test_it_is_over_once_it_can_be_seen_again_and_is_gone() -> None:
    probe, sink = judged_until(day(2), back=day(5)), Sink()
    probe.quiet = 6 * HOUR
    schedule([probe], sink, {probe.name: day(1) + 11 * HOUR}).run_due(day(6))
    states = [(one.active, one.data_state) for one in sink.findings]
    assert states[0] == (True, DataState.OK)
    assert states[-1] == (False, DataState.OK)


def test_with_traffic_or_switched_off_it_is_not_out_of_sight() -> None:
    world = World().load(made(days=12, rows=20))
    off = Declarations(monitors=(Monitor(analyzer="test.probe", enabled=False),))
    for facts, declared in ((world.reader, Declarations()), (WORLD.reader, off)):
        probe, sink = judged_until(day(1) + 13 * HOUR), Sink()
        given: dict[str, datetime] = {probe.name: day(1)}
        runs = Schedule({probe.name: probe}, facts, lambda d=declared: d, lambda: day(9), sink, given)
        runs.run_due(day(9))
        assert [one.active for one in sink.findings] == [True]


def test_who_looks_once_a_week_is_waited_for_only_when_the_week_is_over() -> None:
    often, weekly = Probe("often", every=HOUR), Probe("weekly", every=WEEK, span=WEEK)
    runs = schedule([often, weekly], Sink(), {"often": day(1), "weekly": day(1)})
    assert runs.evaluated_to == day(1)
    monday = EPOCH + (day(1) - EPOCH) // (WEEK) * (WEEK)
    runs = schedule([often, weekly], Sink(), {"often": monday + 6 * timedelta(days=1), "weekly": monday})
    assert runs.evaluated_to == monday + 6 * timedelta(days=1)
    runs = schedule([often, weekly], Sink(), {"often": monday + 8 * timedelta(days=1), "weekly": monday})
    assert runs.evaluated_to == monday, "its week is over, and it has not looked"
    assert schedule([often, weekly], Sink(), {}).evaluated_to is None


def test_who_is_urgent_says_between_two_ends_what_is_new_and_nothing_else() -> None:
    calm, urgent, sink = Probe("calm"), Probe("urgent", says=lambda at: at > day(1)), Sink()
    runs = schedule([calm, urgent], sink, {"calm": day(1), "urgent": day(1)}, urgent=("urgent",))
    for minutes in (0, 20, 20 + 1 / 60, 40, 60, 61):
        runs.run_due(day(1) + minutes * MINUTE)
    looked = [(name, (at - day(1)) // MINUTE) for name, at in [*calm.asked, *urgent.asked]]
    assert looked == [("calm", 60), ("urgent", 20), ("urgent", 40), ("urgent", 60), ("urgent", 61)]
    first, at_its_end = sink.taken
    assert [(len(one.findings), one.readings) for one in first[0]] == [(1, ())]
    assert first[1] == {"urgent": day(1) + 20 * MINUTE}, "the end of its window is still to come"
    assert at_its_end[1] == dict.fromkeys(("calm", "urgent"), day(1) + HOUR)
    assert len(sink.findings) == 2


def test_who_is_urgent_and_fails_between_two_ends_says_so_at_the_next_one() -> None:
    urgent, sink = Probe("urgent", breaks=lambda _: ValueError("no")), Sink()
    runs = schedule([urgent], sink, {"urgent": day(1)}, urgent=("urgent",))
    runs.run_due(day(1) + 20 * MINUTE)
    assert sink.taken == []
    runs.run_due(day(1) + HOUR)
    assert [finding.metric for finding in sink.findings] == ["evaluator_error"]
