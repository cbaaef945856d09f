"""How wrong was the model in each week, and how final is that: estimated, partial, or final?

Three states of one number, never mixed. ``final``: by the learned delay of outcomes nearly all that will come are here.
``partial``: some are, and those that come late may differ; ``immature`` marks a week that nothing alerts on yet.
``estimated``: too few are known, and the number is what the scores lead one to expect (``quality.estimated``).
``waiting``: nothing is known and nothing can be estimated. An estimate stays beside what came true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored, utc
from watchkeeper.store.facts.label_delays import Curve, curves
from watchkeeper.store.facts.reader import FactReader

DAY = timedelta(days=1)
WEEK = 7
FINAL, MATURE = 0.99, 0.8
"""Shares of the outcomes that will come: from the first on a number is final, under the second it is immature."""
LEAST_KNOWN = 30
"""Known outcomes under which there is no number of them."""
COLUMNS = {
    "window_start": pl.Datetime("us"),
    "window_end": pl.Datetime("us"),
    "state": pl.String,
    "wrong_share": pl.Float64,
    "estimated": pl.Float64,
    "predictions": pl.Int64,
    "known": pl.Int64,
    "maturity": pl.Float64,
    "immature": pl.Boolean,
    "final_at": pl.Datetime("us"),
}


@dataclass(frozen=True, slots=True)
class Day:
    """What one day predicted, and what of it is known."""

    start: datetime
    predictions: int
    correct: int
    wrong: int

    @property
    def known(self) -> int:
        """Predictions that are known to be right or wrong."""
        return self.correct + self.wrong


def state_of(known: int, maturity: float, estimated: float | None) -> str:
    """Say how final a number is.

    >>> state_of(500, 0.995, 0.1), state_of(500, 0.4, 0.1), state_of(3, 0.01, 0.1), state_of(3, 0.01, None)
    ('final', 'partial', 'estimated', 'waiting')
    """
    if known >= LEAST_KNOWN:
        return "final" if maturity >= FINAL else "partial"
    return "waiting" if estimated is None else "estimated"


def maturity_of(days: Sequence[Day], curve: Curve | None, as_of: datetime) -> float:
    """Give the share of the outcomes that will come which should be known by now, by the learned delay."""
    made = sum(day.predictions for day in days)
    if curve is None or not made:
        return 0.0
    return sum(day.predictions * curve.known_after((as_of - day.start) // DAY) for day in days) / made


def states(reader: FactReader, service: str, model: str, window: Window, as_of: datetime) -> pl.DataFrame:
    """Give the week that ends with each day of the window, as known at ``as_of``."""
    first, last = _midnight(window.start), _midnight(window.end)
    span = Window(first - (WEEK - 1) * DAY, last)
    if span.end <= span.start:
        return pl.DataFrame(schema=COLUMNS)
    days = _days(reader, service, model, span, as_of)
    curve = curves(reader.facts, service, model, as_of).get(None)
    estimates = _estimates(reader, service, model, Window(first, last), as_of)
    rows: list[dict[str, object]] = []
    for number in range(1, (last - first) // DAY + 1):
        end = first + number * DAY
        week = [day for day in days if end - WEEK * DAY <= day.start < end]
        made, known = sum(day.predictions for day in week), sum(day.known for day in week)
        if not made:
            continue
        maturity, estimated = maturity_of(week, curve, as_of), estimates.get(end)
        state = state_of(known, maturity, estimated)
        came_true = sum(day.wrong for day in week) / known if state in ("partial", "final") else None
        rows.append(
            {
                "window_start": stored(end - WEEK * DAY),
                "window_end": stored(end),
                "state": state,
                "wrong_share": estimated if state == "estimated" else came_true,
                "estimated": estimated,
                "predictions": made,
                "known": known,
                "maturity": maturity,
                "immature": maturity < MATURE,
                "final_at": stored(end + (curve.days_until(FINAL) - 1) * DAY) if curve else None,
            }
        )
    return pl.DataFrame(rows, schema=COLUMNS)


def _midnight(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _days(reader: FactReader, service: str, model: str, span: Window, as_of: datetime) -> list[Day]:
    frame = reader.quality(service, model, span, as_of, step=DAY)
    return [
        Day(utc(row["bucket"]), int(row["predictions"] or 0), row["correct"], row["wrong"])
        for row in frame.iter_rows(named=True)
    ]


def _estimates(reader: FactReader, service: str, model: str, window: Window, as_of: datetime) -> dict[datetime, float]:
    """Give the expected share of wrong answers by the end of its week: what was said at that time, not since."""
    rows = reader.facts.read(
        """SELECT window_end, arg_min(value, as_of) AS value FROM readings
           WHERE service = $service AND model = $model AND metric = 'estimated_accuracy' AND as_of <= $as_of
             AND window_end > $start_ts AND window_end <= $end_ts GROUP BY window_end""",
        {
            "service": service,
            "model": model,
            "as_of": stored(as_of),
            "start_ts": stored(window.start),
            "end_ts": stored(window.end),
        },
    )
    return {utc(end): 1.0 - value for end, value in rows.iter_rows()}
