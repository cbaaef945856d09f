"""How good is the model likely to be now, before its outcomes are known, and has that estimate held so far?

Of yes/no predictions with a score. Scores are calibrated on the reference (isotonic regression); with p the chance of
a 1, the expected accuracy is the mean of p where the model said 1 and of 1 - p where it said 0, and the expected AUC is
that of p against itself. Right when only the mix of cases moves; wrong, as all such estimates, when what a score means
has changed. So each estimate is set against what arrived later, on the very rows whose outcome is known: where the two
part by more than the reference's days do, calibration has broken, and this says so. A notice: ``verdict.change``
alerts on errors. Misleads too on scores that the reference never had.
Source: confidence-based performance estimation as in NannyML (arXiv:2505.05295).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, stdev
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.intervals import Z95, grade, student_tail
from watchkeeper.analyzers.maturity import MIN_KNOWN, monday, outcome_delay
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.quality.core.confidence import Calibration, Floats, auc, expected_right
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.examples import Wrong
from watchkeeper.store.facts.scored import known_bins, score_bins

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

MIN_DAYS = 5
CLIP = 3.0
ASKED = 2
"""Two questions are tested beside each other: right answers, and ones."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What was expected and what came true, by day: each is (expected, actual, variance of the actual, rows)."""

    days: tuple[tuple[float, float, float, int], ...]

    @property
    def rows(self) -> int:
        """Known outcomes."""
        return sum(day[3] for day in self.days)

    @property
    def each(self) -> list[float]:
        """Actual less expected by day, a row."""
        return [(actual - expected) / n for expected, actual, _, n in self.days]

    @property
    def mean(self) -> float:
        """Actual less expected, a row."""
        return (math.fsum(day[1] for day in self.days) - math.fsum(day[0] for day in self.days)) / self.rows

    @property
    def by_chance(self) -> float:
        """What a day of so many rows differs by, were the chances right."""
        return math.sqrt(fmean(variance / (n * n) for _, _, variance, n in self.days))


def broken(now: Gap, usual: Gap) -> tuple[float, float]:
    """Give how likely a gap this large is where nothing has changed (two-sided), and what days differ by.

    >>> usual = Gap(tuple((80.0, 78.0 + day % 5, 16.0, 100) for day in range(14)))
    >>> [broken(Gap(((80.0, right, 16.0, 100),) * 7), usual)[0] < 1e-4 for right in (60.0, 79.0)]
    [True, False]
    """
    spread = max(stdev(usual.each), usual.by_chance, now.by_chance, 1e-9)
    middle = fmean(usual.each)
    shifts = [min(max((gap - middle) / spread, -CLIP), CLIP) for gap in now.each]
    t = fmean(shifts) / math.sqrt(1 / len(shifts) + 1 / len(usual.each))
    return min(1.0, 2 * student_tail(abs(t), len(usual.each) - 1)), spread


@dataclass(frozen=True, slots=True)
class Case:
    """One model: its calibration, the newest window by scores alone, and the newest one with outcomes."""

    calibration: Calibration
    scored: pl.DataFrame
    window: Window
    known: pl.DataFrame
    usual: pl.DataFrame


class Estimated:
    """Estimated accuracy and AUC, and what became of earlier estimates."""

    name = "quality.estimated"
    question = "How good is it likely to be before outcomes are known, and do such estimates hold?"
    every = timedelta(days=1)
    span = timedelta(days=7)
    quiet = timedelta(days=7)

    @property
    def params(self) -> dict[str, Param]:
        """How unlikely, and how large, a gap must be to be told."""
        return {"alpha": 1e-3, "min_gap": 0.02}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Estimate for every model with yes/no predictions, a score, a reference and outcomes in it."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            case = _case(scope)
            if case is None:
                continue
            readings += _estimates(scope, case)
            gaps = _gaps(case.calibration, case.known)
            if gaps is None or len(gaps["accuracy_gap"].days) < MIN_DAYS or gaps["accuracy_gap"].rows < MIN_KNOWN:
                continue
            judged.add(scope.pair)
            usual = _gaps(case.calibration, case.usual)
            readings += _scorecard(scope, case, gaps["accuracy_gap"])
            finding = None if usual is None else self._finding(scope, case, gaps, usual)
            findings += [finding] if finding else []
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give what came true less what was expected, a row."""
        return _read(cast("list[list[float]]", snapshot["days"])).mean

    def _finding(self, scope: Scope, case: Case, gaps: dict[str, Gap], usual: dict[str, Gap]) -> Finding | None:
        """Say that what a score means has changed: right answers or ones came otherwise than expected."""
        tested = {name: broken(gap, usual[name]) for name, gap in gaps.items()}
        metric = min(tested, key=lambda name: tested[name][0])
        gap, (p_value, spread) = gaps[metric], tested[metric]
        p_value = min(1.0, ASKED * p_value)
        if p_value >= scope.settings.number("alpha") or abs(gap.mean) < scope.settings.number("min_gap"):
            return None
        snapshot: Snapshot = {"days": [list[Json](day) for day in gap.days]}
        observed = self.recompute(snapshot)
        half = Z95 * spread / math.sqrt(len(gap.days))
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric=metric,
            subjects=("calibration",),
            window=case.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(_summary(scope, metric, gap)),
            evidence=Evidence("t over daily gaps", gap.rows, p_value, grade(p_value, gap.rows), snapshot),
            interval=(observed - half, observed + half),
            reference=usual[metric].mean,
            effect=observed - usual[metric].mean,
            unit="share",
            since=case.window.start,
            examples=scope.examples(Wrong(scope.as_of), case.window),
        )


def _read(days: Sequence[Sequence[float]]) -> Gap:
    return Gap(tuple((expected, actual, variance, int(n)) for expected, actual, variance, n in days))


def _case(scope: Scope) -> Case | None:
    reference = scope.reference
    delay = None if reference is None else outcome_delay(scope, reference)
    if reference is None or delay is None:
        return None
    store = scope.facts.store()
    before = monday(scope.as_of)
    key = ("known bins", scope.pair, reference, before)
    usual = once(scope.facts, key, lambda: known_bins(store, scope.pair, reference, before))
    window = Window(scope.window.start - delay, scope.window.end - delay)
    if usual["n"].sum() < MIN_KNOWN or usual["day"].n_unique() < 2 * MIN_DAYS or window.start < reference.end:
        return None
    by_bin = usual.group_by("said", "bin").agg(pl.col("n", "positive").sum()).sort("said", "bin")
    calibration = Calibration.learn(*(_floats(by_bin, name) for name in ("bin", "said", "n", "positive")))
    known = known_bins(store, scope.pair, window, scope.as_of)
    return Case(calibration, score_bins(store, scope.pair, scope.window), window, known, usual)


def _floats(frame: pl.DataFrame, name: str) -> Floats:
    return frame[name].cast(pl.Float64).to_numpy()


def _gaps(calibration: Calibration, known: pl.DataFrame) -> dict[str, Gap] | None:
    """Set right answers and ones against what was expected of them, by day."""
    if known.is_empty():
        return None
    said, n, ones = _floats(known, "said"), _floats(known, "n"), _floats(known, "positive")
    chance = calibration.chance(_floats(known, "bin"), said)
    right = np.where(said == 1, ones, n - ones)
    _, place = np.unique(known["day"].to_numpy(), return_inverse=True)
    rows, noise = np.bincount(place, n), np.bincount(place, n * chance * (1 - chance))
    gaps = {"accuracy_gap": (n * expected_right(chance, said), right), "positive_share_gap": (n * chance, ones)}
    return {
        name: _read(np.column_stack([np.bincount(place, first), np.bincount(place, second), noise, rows]).tolist())
        for name, (first, second) in gaps.items()
    }


def _estimates(scope: Scope, case: Case) -> list[Reading]:
    """Read the expected accuracy and AUC of the newest window, labels or not."""
    n, bins, said = (_floats(case.scored, name) for name in ("n", "bin", "said"))
    total = float(n.sum())
    if total < MIN_KNOWN:
        return []
    chance = case.calibration.chance(bins, said)
    accuracy = float((n * expected_right(chance, said)).sum()) / total
    half = Z95 * math.sqrt(float((n * chance * (1 - chance)).sum())) / total
    usual = case.usual
    right = float(np.where(usual["said"] == 1, usual["positive"], usual["n"] - usual["positive"]).sum())
    found = [
        _reading(scope, "estimated_accuracy", scope.window, accuracy, half, int(total), right / float(usual["n"].sum()))
    ]
    area = auc(bins, n * chance, n * (1 - chance))
    before = auc(_floats(usual, "bin"), _floats(usual, "positive"), _floats(usual, "n") - _floats(usual, "positive"))
    if area is not None:
        found.append(_reading(scope, "estimated_auc", scope.window, area, None, int(total), before))
    return found


def _scorecard(scope: Scope, case: Case, gap: Gap) -> list[Reading]:
    """Read what an estimate of the newest matured window said, what came true, and the gap."""
    said, came = (math.fsum(day[place] for day in gap.days) / gap.rows for place in (0, 1))
    half = Z95 * gap.by_chance / math.sqrt(len(gap.days))
    return [
        _reading(scope, "realized_accuracy", case.window, came, half, gap.rows, said),
        _reading(scope, "accuracy_gap", case.window, gap.mean, half, gap.rows, 0.0),
    ]


def _reading(
    scope: Scope, metric: str, window: Window, value: float, half: float | None, n: int, reference: float | None
) -> Reading:
    ends = (None, None) if half is None else (value - half, value + half)
    pair = scope.pair
    return Reading(
        ANALYZER.name, metric, *pair, "calibration", window, scope.as_of, value, *ends, n=n, reference=reference
    )


def _summary(scope: Scope, metric: str, gap: Gap) -> str:
    said, came = (math.fsum(day[place] for day in gap.days) / gap.rows for place in (0, 1))
    what = "right answers" if metric == "accuracy_gap" else "ones"
    last = f"{phrases.percent(came)} came true, of {gap.rows:,} known outcomes"
    return (
        f"Calibration of {scope.model} of {scope.service} has broken: {phrases.percent(said)} {what} were expected "
        f"by its scores, {last}. Do not trust its estimates."
    )


ANALYZER = Estimated()
