"""What would have been noticed, and when: a file of the past, replayed through the very schedule of a live server.

Nothing looks ahead: what is said on a day rests on the rows up to the end of that day, and on the outcomes that were
known by then. A finding is reported on the day on which it opens or becomes more severe.

After every four weeks it is kept how far it is. A replay that was killed goes on there and says the same as one that
was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from watchkeeper.analyzers import backtest_rows
from watchkeeper.analyzers.backtest_kept import Kept, State, recipe
from watchkeeper.analyzers.drift_distance import Distance
from watchkeeper.analyzers.evaluation import Analyzer, Evaluation
from watchkeeper.analyzers.registry import discover
from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.schemas.declared import Declarations, System
from watchkeeper.schemas.findings import Finding, Severity
from watchkeeper.store.facts import references
from watchkeeper.store.facts.connection import MEMORY, FactStore
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.facts.reader import FactReader

DAY = timedelta(days=1)
LOUDNESS = {Severity.NOTICE: 0, Severity.TICKET: 1, Severity.PAGE: 2}
Told = Callable[[int, int], object]
"""Hears after each day how many days are done, of how many."""


class Listener(Protocol):
    """Hears everything that is found, evening by evening; what it makes of that is kept with the replay."""

    def begin(self, first: datetime, kept: Any) -> None:
        """Start with the first day of the file, or go on from what ``keep`` gave."""
        ...

    def hear(self, findings: Sequence[Finding], watermarks: Mapping[str, datetime]) -> None:
        """Take one evening: what was found, over or not, and how far each analyzer is."""
        ...

    def keep(self) -> Any:
        """Give all that it goes on from, as JSON can hold it."""
        ...


def backtest(
    file: Path,
    reference_days: int,
    keep: Path | None = None,
    told: Told = lambda _done, _days: None,
    *,
    notices: bool = False,
    listener: Listener | None = None,
) -> dict[str, object]:
    """Replay a Parquet file day by day; the result is the contract of the detection bench.

    Needs a column ``ts``; others that are known by name stand in ``docs/backtest.md``, the rest are features.
    ``keep`` is a folder to go on from; it is the caller's to remove. ``notices`` asks those too that never alert.
    ``listener`` hears all that is found as a live server would take it in.
    """
    frame = backtest_rows.read(file)
    first = backtest_rows.day_of(frame["ts"].min())
    days = (backtest_rows.day_of(frame["ts"].max()) - first).days + 1
    end = first + days * DAY
    kept = Kept(keep, recipe(file, reference_days, notices=notices)) if keep else None
    before = kept.begin() if kept else None
    if listener is not None:
        listener.begin(first, before.heard if before else None)
    declared = _declared(file.stem, frame.columns)
    said = _Said(first, before, lambda done: told(done, days), listener)
    facts = FactStore(kept.facts if kept else MEMORY, threads=1)
    try:
        loader = Loader(facts, lambda: end + 30 * DAY)  # late enough that nothing is kept by the minute
        schedule = Schedule(
            _useful(frame.columns, notices=notices),
            FactReader(facts),
            lambda: declared,
            lambda: end,
            said.take,
            before.watermarks if before else {},
            maintain=_Reference(facts, reference_days).make,
            min_every=DAY,
            open_findings=before.findings if before else (),
        )
        since = before.until if before else first
        for batch, until in backtest_rows.batches(frame, file.stem, first, end, since):
            loader.load(batch)
            schedule.run_due(until)
            if kept:
                kept.put(said.state(until, schedule, has_reference=references.any_made(facts)))
    finally:
        facts.close()
    return {
        "reference_days": reference_days,
        "first_day": first.date().isoformat(),
        "days": days,
        "findings": said.lines,
    }


_NEVER = ("gpu.", "slo.", "impact.", "data.silence", "data.telemetry", "data.duplicates", "data.orphans")
"""What no such file holds: GPUs, objectives, values, books of clients, what came twice or belongs to nothing."""
_ANSWERS = {"outcome", "outcome_ts"}
_NEEDED: Mapping[str, Sequence[set[str]]] = {
    "cost.": [{"cost"}],
    "data.checks": [{backtest_rows.CHECKS}],
    "quality.": [_ANSWERS],
    "quality.selective": [_ANSWERS | {"confidence", "confidence_threshold"}],
    "quality.agreement": [
        _ANSWERS | {backtest_rows.CHECKS},
        _ANSWERS | {backtest_rows.REVIEW, backtest_rows.REVIEWED},
    ],
    "quality.fairness": [{"prediction", backtest_rows.PROTECTED}],
    "quality.newcomer": [{backtest_rows.SEGMENT}],
    "quality.ranking": [_ANSWERS | {backtest_rows.RANKING}],
    "drift.reasons": [{backtest_rows.REASONS}],
}
"""The columns without which nothing can be said, by the beginning of a name; the longest that fits counts."""
_NOTICES = ("drift.classifier", "drift.reasons", "quality.estimated", "quality.matured", "quality.slices")
"""Those whose findings are shown and told to nobody; they double the work."""


def _useful(columns: Sequence[str], *, notices: bool) -> dict[str, Analyzer]:
    """Leave out what the file holds nothing for, what only measures, and what never alerts unless it is asked for."""
    without = (*_NEVER, *(() if notices else _NOTICES))
    return {
        name: analyzer
        for name, analyzer in discover().items()
        if not name.startswith(without) and not isinstance(analyzer, Distance) and _has(name, set(columns))
    }


def _has(name: str, columns: set[str]) -> bool:
    fitting = max((prefix for prefix in _NEEDED if name.startswith(prefix)), key=len, default=None)
    return fitting is None or any(needed <= columns for needed in _NEEDED[fitting])


def _declared(service: str, columns: Sequence[str]) -> Declarations:
    """Declare what the file says by having a column: that groups of people are protected."""
    if backtest_rows.PROTECTED not in columns:
        return Declarations()
    system = System(name=service, services=[service], owner=service, protected=[backtest_rows.PROTECTED])
    return Declarations(systems=(system,))


class _Reference:
    """Makes the reference of the file's one model once it is due."""

    def __init__(self, facts: FactStore, days: int) -> None:
        self._facts = facts
        self._days = days
        self._made = references.any_made(facts)

    def make(self, at: datetime) -> None:
        """Make it if it is due and not made."""
        if not self._made:
            self._made = bool(references.make_due(self._facts, at, self._days))


class _Said:
    """Keeps what is new on each day."""

    def __init__(
        self, first: datetime, before: State | None, told: Callable[[int], object], listener: Listener | None
    ) -> None:
        self._first = first
        self._told = told
        self._listener = listener
        self._open: dict[str, int] = dict(before.loudness) if before else {}
        self.lines: list[dict[str, object]] = list(before.lines) if before else []

    def take(self, evaluations: Sequence[Evaluation], watermarks: Mapping[str, datetime]) -> None:
        """Take everything of one evening."""
        findings = [finding for evaluation in evaluations for finding in evaluation.findings]
        for finding in findings:
            if not finding.active:
                self._open.pop(finding.fingerprint, None)
            elif LOUDNESS[finding.severity] > self._open.get(finding.fingerprint, -1):
                self._open[finding.fingerprint] = LOUDNESS[finding.severity]
                self.lines.append(self._line(finding))
        if self._listener is not None:
            self._listener.hear(findings, watermarks)
        self._told((max(watermarks.values()) - self._first).days)

    def state(self, until: datetime, schedule: Schedule, *, has_reference: bool) -> State:
        """Give what it takes to go on from ``until``."""
        heard = None if self._listener is None else self._listener.keep()
        held = schedule.open_findings
        return State.of(until, has_reference, schedule.watermarks, held, self._open, self.lines, heard)

    def _line(self, finding: Finding) -> dict[str, object]:
        return {
            "day": (finding.as_of - self._first).days - 1,
            "severity": finding.severity.value,
            "subjects": list(finding.subjects),
            "metric": finding.metric,
            "summary": finding.summary,
        }
