"""Turns away events from before the time since when facts are whole: they may have been counted, and let go, already.

Each is kept as a reject with reason ``too_late``, as the event that it was understood to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import numpy as np
import polars as pl

from watchkeeper.store.facts.batch import REJECT_COLUMNS, TIME, Batch, Predictions, Wide, complete
from watchkeeper.store.facts.kept import KeptSince, Policy
from watchkeeper.store.facts.model_rows import kept

TOO_LATE = "too_late"
"""How the reason of such a reject begins."""

_TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")
_OURS = ("received_at", "prediction_number", "value_number", "clock_skew", "server_ts")
"""Columns that are not what the sender sent."""


def turned_away(batch: Batch, since: KeptSince, policy: Policy, now: datetime) -> Batch:
    """Give the batch without what is too late, which is among its rejects now; ``now`` is naive UTC."""
    judge = _Judge(since, policy, now)
    made = batch.predictions
    if made is not None:
        mask = judge.late(made.frame, ("ts",))
        if mask is not None:
            judge.reject("predictions", made.frame, mask, partial(_prediction, made))
            batch = replace(batch, predictions=_without(made, mask))
    for name, kind, times in (
        ("outcomes", "outcomes", ("known_at", "prediction_ts")),
        ("reviews", "reviews", ("ts",)),
        ("gpus", "gpu_samples", ("ts",)),
    ):
        frame: pl.DataFrame | None = getattr(batch, name)
        mask = None if frame is None else judge.late(frame, times)
        if frame is not None and mask is not None:
            judge.reject(kind, frame, mask, partial(_record, frame))
            kept_rows: dict[str, Any] = {name: None if mask.all() else frame.filter(~mask)}
            batch = replace(batch, **kept_rows)
    return judge.told(batch)


class _Judge:
    """Says what is too late, and gathers it."""

    def __init__(self, since: KeptSince, policy: Policy, now: datetime) -> None:
        self._since = partial(since.of, policy=policy, now=now)
        self._latest = since.latest(policy, now)
        self._now = now
        self._rows: list[dict[str, object]] = []

    def late(self, frame: pl.DataFrame, times: Sequence[str]) -> pl.Series | None:
        """Mark the rows that are too late; None where none is."""
        times = [time for time in times if time in frame.columns]
        oldest = [frame[time].min() for time in times]
        if all(not isinstance(moment, datetime) or moment >= self._latest for moment in oldest):
            return None
        limits = pl.Series([self._since(service) for service in _services(frame)], dtype=TIME)
        found = pl.Series([False]).new_from_index(0, frame.height)
        for time in times:
            found |= (frame[time] < limits).fill_null(value=False)
        return found if found.any() else None

    def reject(self, kind: str, frame: pl.DataFrame, mask: pl.Series, event: Callable[[int], dict[str, Any]]) -> None:
        """Keep these rows as rejects."""
        services = _services(frame)
        positions: list[int] = mask.arg_true().to_list()
        for position in positions:
            service = services[position]
            since = self._since(service)
            self._rows.append(
                {
                    "kind": kind,
                    "service": service,
                    "received_at": frame["received_at"][position] if "received_at" in frame.columns else self._now,
                    "field": "ts",
                    "reason": f"{TOO_LATE}: facts of it are kept since {since:%Y-%m-%d} (retention.facts_days)",
                    "raw": msgspec.json.encode(event(position)),
                }
            )

    def told(self, batch: Batch) -> Batch:
        """Add what was gathered to the rejects of the batch."""
        if not self._rows:
            return batch
        for number, row in enumerate(self._rows):
            name = f"{batch.watermark}.{batch.into}.late.{number}"
            row |= {"id": name, "batch": str(batch.watermark), "row_index": number}
        rejects = complete(pl.DataFrame(self._rows, schema_overrides=REJECT_COLUMNS), REJECT_COLUMNS)
        if batch.rejects is not None:
            rejects = pl.concat([complete(batch.rejects, REJECT_COLUMNS), rejects])
        return replace(batch, rejects=rejects)


def _services(frame: pl.DataFrame) -> list[str | None]:
    nobody: list[str | None] = [None] * frame.height
    return frame["service"].to_list() if "service" in frame.columns else nobody


def _without(made: Predictions, mask: pl.Series) -> Predictions | None:
    keep = (~mask).arg_true().cast(pl.Int64).to_numpy().astype(np.int64)
    if not keep.size:
        return None
    extra = {new: made.extra[old] for new, old in enumerate(keep.tolist()) if old in made.extra}
    return Predictions(made.frame[keep], kept(made.models, keep), extra)


def _prediction(made: Predictions, position: int) -> dict[str, Any]:
    """Give one prediction in the words of the wire."""
    row: dict[str, Any] = dict(_sent(made.frame.row(position, named=True)))
    text, number = row.get("prediction"), made.frame.row(position, named=True).get("prediction_number")
    if text is not None:
        row["prediction"] = _value(str(text), number)
    tokens = {name: row.pop(f"tokens_{name}") for name in _TOKENS if f"tokens_{name}" in row}
    fallback = {name: row.pop(f"fallback_{name}") for name in ("from", "reason") if f"fallback_{name}" in row}
    row |= {name: value for name, value in (("tokens", tokens), ("fallback", fallback)) if value}
    for rows in made.models:
        (places,) = np.nonzero(rows.positions == position)
        for place in places.tolist():
            row |= {
                name: values
                for name, wide in (("features", rows.features), ("segments", rows.segments))
                if (values := dict(_fields(wide, place)))
            }
    return row | ({"extra": made.extra[position]} if made.extra.get(position) else {})


def _fields(wide: Wide, place: int) -> Iterator[tuple[str, object]]:
    for name, column in wide.columns.items():
        if column[place] is not None:
            yield name, column[place]
    yield from wide.others.get(place, {}).items()


def _record(frame: pl.DataFrame, position: int) -> dict[str, Any]:
    """Give an event of another kind in the words of the wire."""
    row = frame.row(position, named=True)
    sent = dict(_sent(row))
    return sent | ({"value": _value(str(row["value"]), row.get("value_number"))} if "value" in row else {})


def _sent(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if value is not None and name not in _OURS:
            yield name, value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _value(text: str, number: float | None) -> bool | float | str:
    """Give a prediction or an outcome as it was sent.

    >>> _value("true", 1.0), _value("3.5", 3.5), _value("cat", None)
    (True, 3.5, 'cat')
    """
    if text in ("true", "false") and number is not None:
        return text == "true"
    return text if number is None else number
