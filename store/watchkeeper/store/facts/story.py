"""The whole story of one decision: what was asked and said, what came true, who looked, what had changed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, cast

import msgspec
import polars as pl

from watchkeeper.schemas.errors import NotFound
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.sql import quoted

CHANGES_BEFORE = timedelta(days=14)
PROTECTED = "(protected)"
"""Stands where a protected attribute has a value."""


def story(
    facts: FactStore,
    prediction_id: str,
    service: str | None = None,
    protected: Callable[[str], Collection[str]] = lambda _: (),
    services: Collection[str] | None = None,
) -> dict[str, object]:
    """Tell everything that is known of one prediction; raises NotFound for an id that never came.

    Where several services have that id, ``service`` says whose is meant; without it the newest is told. ``protected``
    names the attributes of a service whose values are not told. Where ``services`` are given, the ids of others count
    as never sent.
    """
    rows = _rows(
        facts.read(
            """SELECT * EXCLUDE (extra), extra::JSON::VARCHAR AS extra FROM predictions
               WHERE id = $id AND ($service IS NULL OR service = $service)
                   AND ($services IS NULL OR list_contains($services, service)) ORDER BY ts DESC LIMIT 1""",
            {"id": prediction_id, "service": service, "services": None if services is None else list(services)},
        )
    )
    if not rows:
        raise NotFound(
            f"no prediction with id {prediction_id!r} is stored: it was never sent, was rejected, or is still loading"
        )
    prediction = rows[0]
    extra = prediction.pop("extra", None)
    scope: dict[str, object] = {"id": prediction_id}
    made_at = cast("Any", prediction["ts"])
    window = {"service": prediction["service"], "start_ts": made_at - CHANGES_BEFORE, "end_ts": made_at}
    features, segments = _wide(facts, prediction)
    hidden = protected(str(prediction["service"]))
    return {
        "prediction": prediction,
        "features": _without(features, hidden),
        "segments": _without(segments, hidden),
        "extra": _without(msgspec.json.decode(extra), hidden) if isinstance(extra, str) else None,
        "outcomes": _rows(facts.read("SELECT * FROM outcomes WHERE prediction_id = $id ORDER BY known_at", scope)),
        "matched": _rows(
            facts.read(
                """SELECT value, correct, known_at, source, evaluation FROM matched
                   WHERE prediction_id = $id AND superseded_at IS NULL""",
                scope,
            )
        ),
        "reviews": _rows(facts.read("SELECT * FROM reviews WHERE prediction_id = $id ORDER BY ts", scope)),
        "changes_before": _rows(
            facts.read(
                """SELECT ts, kind, title, version FROM changes
                   WHERE service = $service AND ts BETWEEN $start_ts AND $end_ts ORDER BY ts DESC""",
                window,
            )
        ),
    }


def _wide(facts: FactStore, prediction: dict[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Give the features and the segments of one prediction, from that table of its model that has it."""
    columns = facts.read(
        """SELECT table_name, name, role, column_name FROM feature_columns JOIN feature_tables USING (table_name)
           WHERE service = $service AND model = $model ORDER BY schema_version DESC""",
        {"service": prediction["service"], "model": prediction["model"]},
    )
    parts: dict[str, dict[str, object]] = {"feature": {}, "segment": {}}
    for group in columns.partition_by("table_name", maintain_order=True):
        listed = ", ".join(quoted(name) for name in group["column_name"])
        rows = facts.read(
            f"SELECT {listed} FROM {group[0, 'table_name']} WHERE ts = $ts AND id = $id LIMIT 1",
            {"ts": prediction["ts"], "id": prediction["id"]},
        )
        if rows.height:
            for column in group.iter_rows(named=True):
                parts[column["role"]][column["name"]] = rows[0, column["column_name"]]
            break
    return parts["feature"], parts["segment"]


def _without(parts: object, hidden: Collection[str]) -> object:
    """Put a word in place of what is protected, however deep it lies."""
    if isinstance(parts, dict):
        named = cast("dict[str, object]", parts)
        return {
            name: PROTECTED if name in hidden and part is not None else _without(part, hidden)
            for name, part in named.items()
        }
    if isinstance(parts, list):
        return [_without(part, hidden) for part in cast("list[object]", parts)]
    return parts


def _rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    return frame.to_dicts()
