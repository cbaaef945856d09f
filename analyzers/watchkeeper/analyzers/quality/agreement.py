"""Do checks, evaluations, and the people who review, still say of an answer what later comes true?

Each check by its name, each evaluation by its name (an outcome that is not the truth itself: a judge, a user's
feedback), and all human reviews together, against the truth of the newest week that has it: the share of answers that
both judge alike, Cohen's kappa, and the share of wrong answers that was caught. A check that did not pass, and a review
that did not approve, called the answer wrong; an evaluation did by its label, or by a score on that side of a cut which
best told wrong from right in the reference (Youden's J; the reference's own agreement is therefore a little flattered).
Where no truth comes, checks and reviews are held against the evaluations. A ticket where the
disagreement has risen beyond what the reference's days differ by: at most ``alerts_per_month`` false ones in 30 days
over all checks. Misleads where what is checked, or reviewed, is chosen by how doubtful it looks (most reviews are), and
where a blocked answer never has an outcome. Sources: Cohen, Educational and Psychological Measurement 20 (1960) 37;
Fleiss, Cohen and Everitt (1969).

>>> table = Table(caught=40, false_alarm=10, missed=60, passed=890)
>>> round(table.agreement, 2), round(table.kappa, 2), table.caught_share
(0.93, 0.5, 0.4)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import grade, wilson
from watchkeeper.analyzers.maturity import (
    DAY,
    MATURE,
    MIN_KNOWN,
    Matured,
    known,
    matured,
    monday,
    quality_days,
    reference_quality_days,
)
from watchkeeper.analyzers.optional_fields import may_carry
from watchkeeper.analyzers.quality.core.gaps import LOOKS, MIN_DAYS
from watchkeeper.analyzers.quality.core.kappa import Table
from watchkeeper.analyzers.quality.matured import Errors, compare
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.agreeing import (
    ANY_OUTCOME,
    Disagreeing,
    Truth,
    cuts,
    is_any_judged,
    said_days,
    truth_delay,
    truth_known,
)

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

CELLS = ("caught", "false_alarm", "missed", "passed")
OFF = ("false_alarm", "missed")


@dataclass(frozen=True, slots=True)
class Case:
    """One check or evaluation, or the reviews: what it said of the window and of the reference, day by day."""

    kind: str
    name: str
    window: Window
    now: pl.DataFrame
    usual: pl.DataFrame
    maturity: float
    truth: Truth

    @property
    def subject(self) -> str:
        """What readings and findings call it."""
        return self.name if self.kind == "review" else f"{self.kind}:{self.name}"

    @property
    def off(self) -> tuple[Errors, Errors]:
        """Disagreements by day."""
        return _errors(self.now), _errors(self.usual)


class Agreement:
    """Checks, evaluations and reviews against outcomes."""

    name = "quality.agreement"
    question = "Do checks, evaluations and people who review still say of an answer what later comes true?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How few answers, and how small a rise of the disagreement, are not judged; the budget of false alerts."""
        return {"min_rows": 100, "min_rise": 0.03, "alerts_per_month": 0.01}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every model with checks, evaluations or reviews and outcomes."""
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
            examples=scope.examples(Disagreeing(case.kind, case.name, scope.as_of, case.truth), case.window),
        )


def _cases(scope: Scope) -> list[Case]:
    ripe = matured(scope)
    if ripe is None:
        return []
    store, before = scope.facts.store(), monday(scope.as_of)
    checked = may_carry(scope, "checks", ripe.window)
    if not checked and not is_any_judged(store, scope.pair, ripe.window, scope.as_of):
        return []
    told, days = truth_delay(store, scope.pair, ripe.reference, before)
    truth = ANY_OUTCOME
    if told >= MIN_KNOWN:
        truth = Truth(alone=True, cuts=cuts(store, scope.pair, ripe.reference, before))
        ripe = _with_truth(scope, ripe.reference, told, DAY * math.ceil(max(0.0, days - 1e-6)))
    if ripe is None:
        return []
    reference, window = ripe.reference, ripe.window
    now = said_days(store, scope.pair, window, scope.as_of, truth)
    if now.height == 0:
        return []
    usual = said_days(store, scope.pair, reference, before, truth)
    names = now.select("kind", "name").unique().sort("kind", "name").rows()
    return [
        Case(
            kind,
            name,
            window,
            now.filter(kind=kind, name=name),
            usual.filter(kind=kind, name=name),
            ripe.maturity,
            truth,
        )
        for kind, name in names
    ]


def _with_truth(scope: Scope, reference: Window, told: int, delay: timedelta) -> Matured | None:
    """Give the newest window whose truth has come; evaluations, which come sooner, do not make one ripe."""
    window = Window(scope.window.start - delay, scope.window.end - delay)
    if window.start < reference.end:
        return None
    made = known(quality_days(scope, window)).predictions
    usual = told / max(known(reference_quality_days(scope, reference)).predictions, 1)
    share = min(1.0, truth_known(scope.facts.store(), scope.pair, window, scope.as_of) / max(made, 1))
    return Matured(reference, window, share) if share >= MATURE * min(usual, 1.0) else None


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
    who = "Human review" if case.kind == "review" else f"{case.kind.capitalize()} {phrases.quoted(case.name)}"
    return (
        f"{who} of {scope.model} of {scope.service} said other than what came true in {phrases.percent(now.rate)} of "
        f"{now.known:,} answers, {phrases.percent(usual.rate)} in the reference."
    )


ANALYZER = Agreement()
