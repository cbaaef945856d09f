"""Do checks, and the people who review, still say of an answer what later comes true?

Each check by its name (a guardrail, an evaluator), and all human reviews together, against the outcomes of the newest
week that has them: the share of answers that both judge alike, Cohen's kappa, and the share of wrong answers that was
caught. A check that did not pass, and a review that did not approve, called the answer wrong. A ticket where the
disagreement has risen beyond what the reference's days differ by: at most ``alerts_per_month`` false ones in 30 days
over all checks. Misleads where what is checked, or reviewed, is chosen by how doubtful it looks (most reviews are), and
where a blocked answer never has an outcome. Sources: Cohen, Educational and Psychological Measurement 20 (1960) 37;
Fleiss, Cohen and Everitt (1969).

>>> table = Table(caught=40, false_alarm=10, missed=60, passed=890)
>>> round(table.agreement, 2), round(table.kappa, 2), table.caught_share
(0.93, 0.5, 0.4)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import grade, wilson
from watchkeeper.analyzers.maturity import matured, monday
from watchkeeper.analyzers.quality.core.gaps import LOOKS, MIN_DAYS
from watchkeeper.analyzers.quality.core.kappa import Table
from watchkeeper.analyzers.quality.matured import Errors, compare
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.agreeing import Disagreeing, said_days

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

CELLS = ("caught", "false_alarm", "missed", "passed")
OFF = ("false_alarm", "missed")


@dataclass(frozen=True, slots=True)
class Case:
    """One check, or the reviews: what it said of the window and of the reference, day by day."""

    kind: str
    name: str
    window: Window
    now: pl.DataFrame
    usual: pl.DataFrame
    maturity: float

    @property
    def subject(self) -> str:
        """What readings and findings call it."""
        return f"check:{self.name}" if self.kind == "check" else self.name

    @property
    def off(self) -> tuple[Errors, Errors]:
        """Disagreements by day."""
        return _errors(self.now), _errors(self.usual)


class Agreement:
    """Checks and reviews against outcomes."""

    name = "quality.agreement"
    question = "Do checks, and the people who review, still say of an answer what later comes true?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How few answers, and how small a rise of the disagreement, are not judged; the budget of false alerts."""
        return {"min_rows": 100, "min_rise": 0.03, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model with checks or reviews and outcomes."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            cases = _cases(scope)
            least = scope.settings.number("min_rows")
            readings += [
                replace(reading, maturity=case.maturity) for case in cases for reading in _read(scope, case, least)
            ]
            tested = [case for case in cases if _enough(case, least)]
            judged |= {scope.pair} if tested else set()
            told = (self._finding(scope, case, len(tested)) for case in tested)
            findings += [one for one in told if one is not None]
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share of answers that were judged otherwise than they came out."""
        days = cast("list[list[float]]", snapshot["now"])
        return Errors(tuple((off, int(rows)) for off, rows in days)).rate

    def _finding(self, scope: Scope, case: Case, tests: int) -> Finding | None:
        now, usual = case.off
        p_value = min(1.0, compare(now, usual).p_value * tests * LOOKS)
        if p_value >= scope.settings.number("alerts_per_month"):
            return None
        if now.rate - usual.rate < scope.settings.number("min_rise"):
            return None
        snapshot: Snapshot = {
            "now": [list[Json](day) for day in now.days],
            "reference": [list[Json](day) for day in usual.days],
        }
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="disagreement",
            subjects=(case.subject,),
            window=case.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(_summary(scope, case, now, usual)),
            evidence=Evidence("t over daily shares", now.known, p_value, grade(p_value, now.known), snapshot),
            interval=wilson(now.rate * now.known, now.known),
            reference=usual.rate,
            effect=now.rate - usual.rate,
            unit="share",
            since=case.window.start,
            maturity=case.maturity,
            examples=scope.examples(Disagreeing(case.kind, case.name, scope.as_of), case.window),
        )


def _cases(scope: Scope) -> list[Case]:
    ripe = matured(scope)
    if ripe is None:
        return []
    reference, window = ripe.reference, ripe.window
    store = scope.facts.store()
    now = said_days(store, scope.pair, window, scope.as_of)
    if now.height == 0:
        return []
    usual = said_days(store, scope.pair, reference, monday(scope.as_of))
    names = now.select("kind", "name").unique().sort("kind", "name").rows()
    return [
        Case(kind, name, window, now.filter(kind=kind, name=name), usual.filter(kind=kind, name=name), ripe.maturity)
        for kind, name in names
    ]


def _enough(case: Case, least: float) -> bool:
    now, usual = case.off
    days = len(now.days) >= MIN_DAYS and len(usual.days) >= 2 * MIN_DAYS
    return days and min(now.known, usual.known) >= least


def _errors(days: pl.DataFrame) -> Errors:
    rows = days.select(pl.sum_horizontal(OFF).cast(pl.Float64), pl.sum_horizontal(CELLS).cast(pl.Int64)).rows()
    return Errors(tuple((float(off), int(n)) for off, n in rows))


def _table(days: pl.DataFrame) -> Table:
    return Table(*(float(days[name].sum()) for name in CELLS))


def _read(scope: Scope, case: Case, least: float) -> Iterator[Reading]:
    """Read agreement, kappa and what was caught; of too few answers only how many it takes."""
    now, usual = _table(case.now), _table(case.usual)
    about = (*scope.pair, case.subject, case.window, scope.as_of)
    if now.n < least:
        yield Reading(ANALYZER.name, "agreement_needs_rows", *about, least)
        return
    before = usual if usual.n >= least else None
    lower, upper = wilson(now.agreement * now.n, now.n)
    reference = None if before is None else before.agreement
    yield Reading(ANALYZER.name, "agreement", *about, now.agreement, lower, upper, int(now.n), reference=reference)
    if (kappa := now.kappa) is not None:
        reference = None if before is None else before.kappa
        yield Reading(
            ANALYZER.name, "kappa", *about, kappa, *now.kappa_interval(kappa), int(now.n), reference=reference
        )
    if (caught := now.caught_share) is not None:
        wrong = now.caught + now.missed
        reference = None if before is None else before.caught_share
        lower, upper = wilson(now.caught, wrong)
        yield Reading(ANALYZER.name, "caught_share", *about, caught, lower, upper, int(wrong), reference=reference)


def _summary(scope: Scope, case: Case, now: Errors, usual: Errors) -> str:
    who = f"Check {phrases.quoted(case.name)}" if case.kind == "check" else "Human review"
    return (
        f"{who} of {scope.model} of {scope.service} said other than what came true in {phrases.percent(now.rate)} of "
        f"{now.known:,} answers, {phrases.percent(usual.rate)} in the reference."
    )


ANALYZER = Agreement()
