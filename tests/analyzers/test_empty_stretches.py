"""Where nothing is, nothing is evaluated; what is said, and when, is as if every hour had been walked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
import pytest
from analyzers.test_schedule import HOUR, PAIR, Probe, Sink
from analyzers.world import DAY, World, day, made
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from watchkeeper.analyzers import emptiness
from watchkeeper.analyzers.emptiness import REACH, EmptyStretch
from watchkeeper.analyzers.evaluation import Evaluation
from watchkeeper.analyzers.registry import discover
from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts import moments
from watchkeeper.store.facts.reader import FactReader


@dataclass
class Watcher(Probe):
    """Says what it sees in its window, and that it is gone for a while after; else nothing."""

    gone_for: timedelta = 3 * DAY

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        self.asked.append((self.name, as_of))
        if facts.traffic(window).height:
            said = super().evaluate(facts, declared, window, as_of)
            return Evaluation((), said.readings, said.judged)
        lately = facts.traffic(Window(as_of - self.gone_for, as_of)).height
        return Evaluation((self.finding(as_of),) if lately else (), (), frozenset({PAIR}))


@dataclass
class Bench:
    world: World
    sink: Sink = field(default_factory=Sink)

    def run(self, registry: dict, until: datetime, **more: object) -> Schedule:
        one = Schedule(registry, self.world.reader, Declarations, lambda: until, self.sink, {}, **more)
        one.run_due()
        return one

    def said(self) -> list[tuple[object, ...]]:
        """Everything that was said, in its order."""
        return [
            (
                one.as_of,
                one.analyzer,
                getattr(one, "metric", ""),
                one.subject,
                getattr(one, "summary", one.as_of),
                str(one),
            )
            for evaluations, _ in self.sink.taken
            for evaluation in evaluations
            for one in (*evaluation.findings, *evaluation.readings)
        ]


def walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmptyStretch, "until", lambda *_: None)


@settings(
    max_examples=3, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    gaps=st.lists(st.sampled_from([1, 7, 21, 30]), min_size=1, max_size=2),
    offset=st.integers(0, 86_399),
    every=st.lists(st.sampled_from([10, 24]), min_size=1, max_size=2),
    quiet=st.sampled_from([20, 100]),
)
@example(gaps=[30], offset=3_601, every=[10, 24], quiet=100)
def test_the_same_is_said_at_the_same_times(gaps: list[int], offset: int, every: list[int], quiet: int) -> None:
    """With a reach of 20 days instead of 60, which is still further back than a watcher looks."""
    at, world = 0, World()
    for gap in [0, *gaps]:
        at += gap
        frame = made(days=1, rows=5, first_day=at).with_columns(pl.col("ts") + pl.duration(seconds=offset))
        world.load(frame)
    until = day(at + 25) + timedelta(seconds=offset)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(emptiness, "REACH", 20 * DAY)
        found = []
        for way in ("jumped", "walked"):
            if way == "walked":
                walked(patched)
            bench = Bench(world)
            probes = [Watcher(f"p{n}", n * HOUR, span=n * HOUR, quiet=quiet * HOUR) for n in every]
            last = bench.run({probe.name: probe for probe in probes}, until)
            ends = [at for probe in probes for _, at in probe.asked]
            found.append((bench.said(), last.open_findings, last.watermarks))
            assert ends, way
            if way == "jumped":
                jumped = len(ends)
    assert found[0] == found[1]
    assert jumped <= len(ends)
    if max(gaps) > 21:
        assert jumped < len(ends)


def test_the_whole_registry_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World().load(made(days=3, rows=40)).load(made(days=2, rows=40, first_day=220))
    evaluated: list[int] = []
    found = []
    for way in ("jumped", "walked"):
        if way == "walked":
            walked(monkeypatch)
        bench = Bench(world)
        bench.run(dict(discover()), day(223), min_every=DAY)
        found.append(bench.said())
        evaluated.append(sum(len(evaluations) for evaluations, _ in bench.sink.taken))
    assert found[0] == found[1]
    assert evaluated[0] < evaluated[1] / 2, evaluated


def test_one_very_old_event_is_walked_away_from_for_sixty_days_and_then_jumped_over() -> None:
    world = World(now=day(3_700)).load(made(days=1, rows=1)).load(made(days=1, rows=5, first_day=3_650))
    probe, bench = Watcher("p", 6 * HOUR, span=6 * HOUR), Bench(world)
    bench.run({probe.name: probe}, day(3_652))
    assert len(probe.asked) < 4 * (REACH.days + 6), "ten years have 14,600 times six hours"
    ends = [at for _, at in probe.asked]
    assert {day(3_650) + n * HOUR for n in range(12, 48, 6)} <= set(ends)
    assert len([end for end in ends if day(100) < end < day(3_649)]) == 0


def test_nothing_is_jumped_over_while_a_finding_is_open() -> None:
    world = World().load(made(days=1, rows=1)).load(made(days=1, rows=5, first_day=200))
    probe, bench = Probe(says=lambda at: at < day(3), quiet=150 * DAY), Bench(world)
    bench.run({probe.name: probe}, day(201), min_every=DAY)
    assert len(probe.asked) > 190


def test_moments_around_a_time() -> None:
    world = World().load(made(days=1, rows=3)).load(made(days=1, rows=3, first_day=100))
    assert moments.around(world.facts, day(-1))[0] is None
    before, after = moments.around(world.facts, day(50))
    assert before is not None
    assert after is not None
    assert day(0) < before < day(4), "its outcomes are known two days after"
    assert day(100) <= after < day(101)
    assert moments.around(world.facts, day(300))[1] is None
