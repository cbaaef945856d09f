"""Two evaluators on one control database: every window is evaluated once, nobody is told twice."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alerts.postgres import private_cluster
from alerts.samples import sqlite_control
from analyzers.world import day
from app.test_slos import objective, world
from sqlalchemy import select

from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.messages.links import Links
from watchkeeper.analyzers.evaluation import Evaluation
from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.analyzers.slo import burn_rate
from watchkeeper.app.leading import LENGTH, Leader
from watchkeeper.schemas.declared import Declarations, Receiver, Route
from watchkeeper.store.control import watermarks
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.leases import LeaseLost
from watchkeeper.store.control.tables import outbox
from watchkeeper.store.facts.reader import FactReader

MINUTE = timedelta(minutes=1)
DECLARED = Declarations(objectives=(objective(),), routes=(Route(name="all", receiver=Receiver(type="log")),))
BEGIN = day(20) + timedelta(hours=19)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.debian)])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        sqlite_control(tmp_path).close()
        yield f"sqlite:///{next(tmp_path.glob('*.db'))}"
        return
    pytest.importorskip("psycopg")
    with private_cluster() as cluster:
        yield cluster.format(name="postgres")


class Evaluator:
    """One server: its own connection, its own memory of how far it came, as the rooms have it."""

    def __init__(self, name: str, url: str, reader: FactReader, clock: list[datetime]) -> None:
        self.control: Control = open_control(url)
        self.leader = Leader(self.control, name, lambda: self.at)
        self.reader, self.clock, self.at = reader, clock, clock[0]
        self.schedule: Schedule | None = None
        self.stored: list[datetime] = []
        self.term = 0

    def tick(self) -> None:
        self.at = self.clock[0]
        term = self.leader.leads()
        if term is None:
            return
        if self.schedule is None or term != self.term:
            self.term = term
            with self.control.snapshot() as tx:
                marks = {analyzer: at for (analyzer, subject), at in watermarks.every(tx).items() if not subject}
            marks.setdefault(burn_rate.ANALYZER.name, BEGIN)
            registry = {burn_rate.ANALYZER.name: burn_rate.ANALYZER}
            self.schedule = Schedule(registry, self.reader, lambda: DECLARED, lambda: self.at, self.sink, marks)
        try:
            self.schedule.run_due()
        except LeaseLost:
            self.schedule = None

    def sink(self, evaluations: Sequence[Evaluation], marks: Mapping[str, datetime]) -> None:
        found = [finding for evaluation in evaluations for finding in evaluation.findings]
        at = max(marks.values())
        record(self.control, found, DECLARED, at, Links(""), watermarks=marks, also=self.leader.guard)
        self.stored.append(at)


def test_every_window_once_and_nobody_is_told_twice(urls: str, request: pytest.FixtureRequest) -> None:
    facts = world(8.0).reader
    clock = [BEGIN + 90 * MINUTE]
    pair = [Evaluator(name, urls, facts, clock) for name in ("a", "b")]
    request.addfinalizer(lambda: [one.control.close() for one in pair])
    luck = random.Random(3)
    for _ in range(12):
        threads = [threading.Thread(target=one.tick) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if luck.random() < 0.4:  # whoever leads stops for longer than its lease, and the other one catches up
            clock[0] += LENGTH + 2 * MINUTE
            luck.choice(pair).tick()
        clock[0] += MINUTE
    times = Counter(at for one in pair for at in one.stored)
    assert set(times.values()) == {1}
    assert all(one.stored for one in pair), "both had their turn"
    first, last = min(times), max(times)
    assert sorted(times) == [first + number * MINUTE for number in range(len(times))]
    assert last >= clock[0] - 3 * MINUTE
    with pair[0].control.snapshot() as tx:
        messages = [key for (key,) in tx.rows(select(outbox.c.key))]
    assert messages
    assert len(messages) == len(set(messages)) <= 2


def test_work_of_one_that_was_frozen_is_not_stored(tmp_path: Path) -> None:
    sqlite_control(tmp_path).close()
    url = f"sqlite:///{next(tmp_path.glob('*.db'))}"
    clock = [BEGIN + 2 * MINUTE]
    facts = world(8.0).reader
    frozen, other = (Evaluator(name, url, facts, clock) for name in ("a", "b"))
    frozen.tick()
    assert frozen.schedule is not None
    clock[0] += 10 * MINUTE  # SIGSTOP for ten minutes: it wakes up in the middle of its round
    other.tick()
    assert other.stored[-1] == clock[0]
    frozen.at = clock[0]
    with pytest.raises(LeaseLost):
        frozen.schedule.run_due()
    assert not set(frozen.stored) & set(other.stored)
    for one in (frozen, other):
        one.control.close()
