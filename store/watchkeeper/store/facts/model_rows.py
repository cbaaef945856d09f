"""Features and segments on their way to typed columns: from rows, over slices that are joined, less the duplicates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from watchkeeper.store.facts.batch import Fields, ModelRows, Predictions, Wide

Ints = NDArray[np.int64]
Values = pl.Series | Sequence[object]


def by_model(services: Sequence[str], models: Sequence[str]) -> dict[tuple[str, str], list[int]]:
    """Give the positions of each (service, model).

    >>> by_model(["a", "b", "a"], ["m", "m", "m"])
    {('a', 'm'): [0, 2], ('b', 'm'): [1]}
    """
    if len(set(services)) == 1 and len(set(models)) == 1:
        return {(services[0], models[0]): list(range(len(services)))}
    found: dict[tuple[str, str], list[int]] = {}
    for position, key in enumerate(zip(services, models, strict=True)):
        found.setdefault(key, []).append(position)
    return found


def from_rows(
    frame: pl.DataFrame,
    features: Sequence[Fields | None],
    segments: Sequence[Fields | None],
    extra: Sequence[Fields | None] = (),
) -> Predictions:
    """Give predictions whose features, segments and extra fields come as one mapping a row."""
    keys = by_model(frame["service"].to_list(), frame["model"].to_list()) if frame.height else {}
    models = [
        ModelRows(
            service,
            model,
            np.asarray(positions, dtype=np.int64),
            wide([features[position] for position in positions]),
            wide([segments[position] for position in positions]),
        )
        for (service, model), positions in keys.items()
    ]
    return Predictions(frame, models, {position: row for position, row in enumerate(extra) if row})


def wide(rows: Sequence[Fields | None], names: Collection[str] | None = None) -> Wide:
    """Turn one mapping a row into one list a name; only for these names where they are given.

    >>> wide([{"a": 1}, None, {"a": 2, "b": 3}], {"a"})
    Wide(columns={'a': [1, None, 2]}, others={2: {'b': 3}})
    """
    empty: Fields = {}
    full = [row or empty for row in rows]
    sent = set[str]().union(*full)
    chosen = sent if names is None else sent.intersection(names)
    rest = sent - chosen
    others: dict[int, Fields] = {}
    if rest:
        for index, row in enumerate(full):
            more = rest & row.keys()
            if more:
                others[index] = {name: row[name] for name in more}
    return Wide({name: [row.get(name) for row in full] for name in chosen}, others)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Put slices of one chunk behind each other."""
    if len(parts) == 1:
        return parts[0]
    extra: dict[int, Fields] = {}
    models: dict[tuple[str, str], list[ModelRows]] = {}
    offset = 0
    for part in parts:
        extra |= {offset + position: row for position, row in part.extra.items()}
        for rows in part.models:
            moved = ModelRows(rows.service, rows.model, rows.positions + offset, rows.features, rows.segments)
            models.setdefault((rows.service, rows.model), []).append(moved)
        offset += part.frame.height
    frame = pl.concat([part.frame for part in parts], how="diagonal")
    return Predictions(frame, [_joined_rows(rows) for rows in models.values()], extra)


def _joined_rows(parts: Sequence[ModelRows]) -> ModelRows:
    heights = [part.positions.size for part in parts]
    return ModelRows(
        parts[0].service,
        parts[0].model,
        np.concatenate([part.positions for part in parts]),
        _joined_wide([part.features for part in parts], heights),
        _joined_wide([part.segments for part in parts], heights),
    )


def _joined_wide(parts: Sequence[Wide], heights: Sequence[int]) -> Wide:
    names = dict.fromkeys(name for part in parts for name in part.columns)
    others: dict[int, Fields] = {}
    offset = 0
    for part, height in zip(parts, heights, strict=True):
        others |= {offset + row: fields for row, fields in part.others.items()}
        offset += height
    return Wide({name: _joined_values([part.columns.get(name) for part in parts], heights) for name in names}, others)


def _joined_values(parts: Sequence[Values | None], heights: Sequence[int]) -> Values:
    dtypes = {part.dtype if isinstance(part, pl.Series) else None for part in parts if part is not None}
    if len(dtypes) == 1 and None not in dtypes:
        dtype = dtypes.pop()
        return pl.concat(
            [
                part if isinstance(part, pl.Series) else pl.Series([None], dtype=dtype).new_from_index(0, height)
                for part, height in zip(parts, heights, strict=True)
            ]
        )
    values: list[object] = []
    for part, height in zip(parts, heights, strict=True):
        values += [None] * height if part is None else part
    return values


def kept(models: Sequence[ModelRows], keep: Ints) -> list[ModelRows]:
    """Give the rows that stay, at their new positions; ``keep`` holds the old ones, ascending."""
    result: list[ModelRows] = []
    for rows in models:
        stays = np.isin(rows.positions, keep)
        if stays.any():
            positions = np.searchsorted(keep, rows.positions[stays]).astype(np.int64)
            chosen = np.nonzero(stays)[0].astype(np.int64)
            features, segments = _kept(rows.features, chosen), _kept(rows.segments, chosen)
            result.append(ModelRows(rows.service, rows.model, positions, features, segments))
    return result


def _kept(values: Wide, chosen: Ints) -> Wide:
    rows: list[int] = chosen.tolist()
    columns: Mapping[str, Values] = {
        name: column[rows] if isinstance(column, pl.Series) else [column[row] for row in rows]
        for name, column in values.columns.items()
    }
    others = {new: values.others[old] for new, old in enumerate(rows) if old in values.others} if values.others else {}
    return Wide(columns, others)
