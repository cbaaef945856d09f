"""Which predictions show what a finding says: a few ids, each of which can be looked up.

They show, they do not prove: the numbers of a finding rest on all rows of its window, not on these three. A row that
retention has taken can no longer be looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.features import PREDICTION, SCORE
from watchkeeper.store.sql import quoted

LIMIT = 3
_ALL_MODELS = "*"
_NEWEST = "ts DESC, id"
_REQUESTS: Mapping[str, tuple[str, str]] = {
    "errors": ("status = 'error'", _NEWEST),
    "latency": ("latency_ms > $above", f"latency_ms DESC, {_NEWEST}"),
    "late": ("used_at > needed_by", _NEWEST),
    "check_failures": ("len(list_filter(checks, lambda c: NOT c.passed)) > 0", _NEWEST),
    "retries": ("attempts > 1", f"attempts DESC, {_NEWEST}"),
    "cost": (
        "true",
        f"cost DESC NULLS LAST, coalesce(tokens_input, 0) + coalesce(tokens_output, 0) DESC, {_NEWEST}",
    ),
}
"""What makes a request a bad one, and which of these says most."""


class Showing(Protocol):
    """What the rows have that are looked for."""

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Give the ids of a few rows of this service and model in this window."""
        ...


@dataclass(frozen=True, slots=True)
class WithValue:
    """The newest rows with this value of a feature; None stands for a missing one."""

    feature: str
    value: str | None

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        same = "{}::VARCHAR IS NOT DISTINCT FROM $value"
        return _of_feature(facts, pair, window, self.feature, same, {"value": self.value})


@dataclass(frozen=True, slots=True)
class WithAnyValue:
    """The newest rows that have the feature at all."""

    feature: str

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        return _of_feature(facts, pair, window, self.feature, "{} IS NOT NULL", {})


@dataclass(frozen=True, slots=True)
class Outside:
    """The newest rows whose value of a number lies below ``low`` or above ``high``."""

    feature: str
    low: float
    high: float

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        bounds = {"low": self.low, "high": self.high}
        return _of_feature(facts, pair, window, self.feature, "{0} < $low OR {0} > $high", bounds, kind="numeric")


@dataclass(frozen=True, slots=True)
class Wrong:
    """Rows that were wrong by what was known at ``as_of``: of numbers those farthest off."""

    as_of: datetime

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        rows = facts.read(
            """SELECT prediction_id FROM matched
               WHERE service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts
                 AND known_at <= $as_of AND (superseded_at IS NULL OR superseded_at > $as_of)
                 AND NOT coalesce(correct, prediction_number IS NOT DISTINCT FROM value_number)
               ORDER BY CASE WHEN correct IS NULL THEN abs(prediction_number - value_number) END DESC NULLS LAST,
                        prediction_ts DESC, prediction_id
               LIMIT $limit""",
            _scope(pair, window) | {"as_of": stored(self.as_of), "limit": LIMIT},
        )
        return tuple(dict.fromkeys(rows["prediction_id"].to_list()))


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that were bad by the measure of an objective, or (``cost``) the dearest; model ``*`` is any."""

    measure: str
    above: float | None = None

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        condition, order = _REQUESTS[self.measure]
        parameters = _scope(pair, window) | {"limit": LIMIT}
        of_model = "AND model = $model"
        if pair[1] == _ALL_MODELS:
            of_model = ""
            del parameters["model"]
        if self.measure == "latency":
            parameters["above"] = self.above
        rows = facts.read(
            f"""SELECT id FROM predictions
                WHERE service = $service {of_model} AND ts >= $start_ts AND ts < $end_ts AND {condition}
                ORDER BY {order} LIMIT $limit""",
            parameters,
        )
        return tuple(rows["id"].to_list())


@dataclass(frozen=True, slots=True)
class OfSegment:
    """The newest rows of one value of a segment column; the column "" stands for the model's version."""

    column: str
    value: str

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        parameters = _scope(pair, window) | {"value": self.value, "limit": LIMIT}
        bounds = "ts >= $start_ts AND ts < $end_ts"
        of_version = "service = $service AND model = $model AND model_version = $value"
        parts = [f"SELECT id, ts FROM predictions WHERE {bounds} AND {of_version}"]
        if self.column:
            places = facts.read(
                """SELECT table_name, column_name FROM feature_columns JOIN feature_tables USING (table_name)
                   WHERE service = $service AND model = $model AND name = $name AND role = 'segment'""",
                {"service": pair[0], "model": pair[1], "name": self.column},
            )
            parts = [
                f"SELECT id, ts FROM {table} WHERE {bounds} AND {quoted(str(column))} = $value"
                for table, column in places.iter_rows()
            ]
            parameters = _bounds(window) | {"value": self.value, "limit": LIMIT}
        rows = facts.read(f"SELECT id FROM ({' UNION ALL '.join(parts)}) ORDER BY {_NEWEST} LIMIT $limit", parameters)
        return tuple(rows["id"].to_list())


def _of_feature(
    facts: FactStore,
    pair: tuple[str, str],
    window: Window,
    feature: str,
    condition: str,
    parameters: Mapping[str, object],
    kind: str | None = None,
) -> tuple[str, ...]:
    """Look in every table that ever held the feature (of this kind); one that has none has no rows to show."""
    parts = [
        f"SELECT id, ts FROM {table} WHERE ts >= $start_ts AND ts < $end_ts AND ({condition.format(quoted(column))})"
        for table, column, its_kind in _places(facts, pair, feature)
        if kind in (None, its_kind)
    ]
    if not parts:
        return ()
    scope = _scope(pair, window) if feature in (SCORE, PREDICTION) else _bounds(window)
    rows = facts.read(
        f"SELECT id FROM ({' UNION ALL '.join(parts)}) ORDER BY {_NEWEST} LIMIT $limit",
        scope | dict(parameters) | {"limit": LIMIT},
    )
    return tuple(rows["id"].to_list())


def _places(facts: FactStore, pair: tuple[str, str], feature: str) -> list[tuple[str, str, str]]:
    if feature in (SCORE, PREDICTION):
        kind = "numeric" if feature == SCORE else "category"
        return [("(SELECT * FROM predictions WHERE service = $service AND model = $model)", feature, kind)]
    rows = facts.read(
        """SELECT table_name, column_name, kind FROM feature_columns JOIN feature_tables USING (table_name)
           WHERE service = $service AND model = $model AND name = $feature AND role = 'feature'""",
        {"service": pair[0], "model": pair[1], "feature": feature},
    )
    return list(rows.iter_rows())


def _bounds(window: Window) -> dict[str, object]:
    return {"start_ts": stored(window.start), "end_ts": stored(window.end)}


def _scope(pair: tuple[str, str], window: Window) -> dict[str, object]:
    return {"service": pair[0], "model": pair[1], **_bounds(window)}
