"""Outcomes come late: which window is ripe enough to judge, and how much of it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watchkeeper.analyzers.evaluation import Scope
from watchkeeper.analyzers.memo import once
from watchkeeper.analyzers.rows import DelayRow, QualityRow, rows
from watchkeeper.schemas.findings import Window

DAY = timedelta(days=1)
_EPOCH = datetime.fromtimestamp(0, UTC)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
MIN_KNOWN = 200
"""Known outcomes below which nothing is said about quality."""


@dataclass(frozen=True, slots=True)
class Known:
    """How much of a window is known."""

    predictions: int
    known: int

    @property
    def maturity(self) -> float:
        """Share of the predictions whose outcome is known; 0 of none."""
        return min(self.known / self.predictions, 1.0) if self.predictions else 0.0


def known(days: Sequence[QualityRow]) -> Known:
    """Sum up days.

    >>> known([QualityRow(10, 8, 7, 1), QualityRow(10, 6, 6, 0)]).maturity
    0.7
    """
    return Known(sum(day.predictions for day in days), sum(day.known for day in days))


def outcome_delay(scope: Scope, reference: Window) -> timedelta | None:
    """Learn from the reference after how many whole days nine of ten outcomes are known; None without outcomes.

    Misleads while the reference's own outcomes still come in: then it is too short, and the low maturity of the
    window that it points to keeps that window from being judged.
    """
    as_of = monday(scope.as_of)
    delay = rows(scope.facts.outcome_delay(scope.service, scope.model, reference, as_of), DelayRow)
    if not delay or delay[0].n < MIN_KNOWN or delay[0].q90 is None:
        return None
    return DAY * max(0, math.ceil(delay[0].q90 - 1e-6))


MATURE = 0.8
"""Share of the outcomes that usually come which a window needs to be judged."""


@dataclass(frozen=True, slots=True)
class Matured:
    """The newest window whose outcomes have had their usual time, the reference, and how much is known."""

    reference: Window
    window: Window
    maturity: float


def matured(scope: Scope) -> Matured | None:
    """Give the window to judge outcomes of; None without outcomes, and where fewer have come than usual.

    The window lies as far back as nine of ten outcomes took in the reference. Where less than ``MATURE`` of the
    reference's share of outcomes is known of it, it is not judged: those that come early need not be like the others.
    """
    reference = scope.reference
    delay = None if reference is None else outcome_delay(scope, reference)
    if reference is None or delay is None:
        return None
    window = Window(scope.window.start - delay, scope.window.end - delay)
    if window.start < reference.end:
        return None
    maturity = known(quality_days(scope, window)).maturity
    usual = known(reference_quality_days(scope, reference)).maturity
    return Matured(reference, window, maturity) if maturity >= MATURE * usual else None


SHARED = timedelta(days=28)


def monday(time: datetime) -> datetime:
    """Give the start of the week: what is known of the reference is looked up afresh once a week, not every day.

    >>> monday(datetime(2026, 6, 4, 12, tzinfo=UTC)).isoformat()
    '2026-06-01T00:00:00+00:00'
    """
    return time - (time - _MONDAY) % timedelta(days=7)


def quality_days(scope: Scope, window: Window) -> list[QualityRow]:
    """Give predictions and known outcomes of the window by day, in order.

    Whole days of the last four weeks come from one read that all analyzers of this time share.
    """
    end = scope.window.end - (scope.window.end - _EPOCH) % DAY
    shared = Window(end - SHARED, end)
    whole = all((at - _EPOCH) % DAY == timedelta(0) for at in (window.start, window.end))
    if not (whole and shared.start <= window.start and window.end <= shared.end):
        return _quality(scope, window, scope.as_of)
    key = ("quality_days", scope.pair, shared, scope.as_of)
    return inside(once(scope.facts, key, lambda: _quality(scope, shared, scope.as_of)), window)


def reference_quality_days(scope: Scope, reference: Window) -> list[QualityRow]:
    """Read predictions and outcomes of the reference by day, as known at the start of the week."""
    as_of = monday(scope.as_of)
    key = ("reference_quality_days", scope.pair, reference, as_of)
    return once(scope.facts, key, lambda: _quality(scope, reference, as_of))


def _quality(scope: Scope, window: Window, as_of: datetime) -> list[QualityRow]:
    frame = scope.facts.quality(scope.service, scope.model, window, as_of, step=DAY)
    return sorted(rows(frame, QualityRow), key=start_of)


def start_of(day: QualityRow) -> datetime:
    """Give the (aware) start of a bucket."""
    return _EPOCH if day.bucket is None else day.bucket.replace(tzinfo=UTC)


def inside(days: Sequence[QualityRow], window: Window) -> list[QualityRow]:
    """Keep the days that start in the window."""
    return [day for day in days if window.start <= start_of(day) < window.end]
