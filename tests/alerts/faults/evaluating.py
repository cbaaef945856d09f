"""One evaluator as a server runs it: a lease, a schedule, findings and watermarks in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alerts.samples import LINKS, START, finding

from watchkeeper.alerts.incidents.intake import record
from watchkeeper.analyzers.evaluation import Evaluation
from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.app.leading import Leader
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window
from watchkeeper.store.control import watermarks
from watchkeeper.store.control.connection import open_control
from watchkeeper.store.control.leases import LeaseLost
from watchkeeper.store.facts.reader import FactReader

MINUTE = timedelta(minutes=1)


def minute(number: int) -> datetime:
    return START + number * MINUTE


@dataclass
class Probe:
    """An analyzer that finds the same each minute; ``looks`` is called with the end of each window."""

    looks: Callable[[datetime], object]
    name: str = "test.probe"
    every: timedelta = MINUTE
    span: timedelta = MINUTE
    quiet: timedelta = timedelta(hours=1)
    question: str = "Is it so?"
    params: Mapping[str, float] = field(default_factory=dict)

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        self.looks(as_of)
        return Evaluation((finding(at=as_of, analyzer=self.name),), (), frozenset({("delays", "arrival")}))

    def recompute(self, snapshot: object) -> float:
        return 1.0


class Evaluator:
    """Has its own connection and its own memory; ``stored`` are the minutes that it evaluated and stored."""

    def __init__(self, url: str, name: str, clock: Callable[[], datetime], looks: Callable[[datetime], object]) -> None:
        self.control = open_control(url)
        self.stored: list[int] = []
        self._clock = clock
        self._leader = Leader(self.control, name, clock)
        self._probe = Probe(looks)
        self._schedule: Schedule | None = None
        self._term = 0

    def tick(self) -> str:
        term = self._leader.leads()
        if term is None:
            return "stands by"
        if self._schedule is None or term != self._term:
            with self.control.snapshot() as tx:
                marks = {self._probe.name: watermarks.get(tx, self._probe.name) or START}
            registry = {self._probe.name: self._probe}
            self._schedule = Schedule(registry, None, Declarations, self._clock, self._sink, marks)  # type: ignore[arg-type]
            self._term = term
        try:
            self._schedule.run_due()
        except LeaseLost:
            self._schedule = None
            return "lost its lease"
        return "evaluated"

    def _sink(self, evaluations: Sequence[Evaluation], marks: Mapping[str, datetime]) -> None:
        found = [finding for evaluation in evaluations for finding in evaluation.findings]
        at = max(marks.values())
        record(self.control, found, Declarations(), at, LINKS, watermarks=marks, also=self._leader.guard)
        self.stored.append((at - START) // MINUTE)
