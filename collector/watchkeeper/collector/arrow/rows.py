"""Columns that a sender made, as the columns that the inbox keeps; rows that break a rule of the schema are named.

The rules are those of the event: they are read off its struct. A column that the schema does not have is refused, for
nothing of it could be kept: ``features.NAME`` and ``segments.NAME`` take any name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl
from msgspec import inspect

from watchkeeper.collector import times
from watchkeeper.collector.extent import MAX_STRING
from watchkeeper.collector.framed import DEFAULTS, FEATURES, SEGMENTS
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.events import ID_PATTERN, Prediction, Tokens
from watchkeeper.store.facts.batch import TIME
from watchkeeper.store.facts.outcomes import text_and_number

TIMES = ("ts", "needed_by", "used_at")
NESTED = ("features", "segments", "tokens", "fallback")
_RENAMED = {f"tokens.{name}": f"tokens_{name}" for name in Tokens.__struct_fields__} | {
    "fallback.from": "fallback_from",
    "fallback.reason": "fallback_reason",
}
Problem = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Columns:
    """Predictions in the columns that the inbox keeps; ``problems`` name the rows that cannot be used."""

    frame: pl.DataFrame
    problems: Mapping[int, tuple[str, str]]

    def good(self) -> pl.DataFrame:
        """Give the rows that can be used."""
        if not self.problems:
            return self.frame
        return self.frame.filter(~pl.Series(range(self.frame.height)).is_in(list(self.problems)))


def columns(sent: pl.DataFrame) -> Columns:
    """Take a frame apart, and look at every value.

    Raises:
        InputError: a column has a name or a type that cannot be used, or a required one is missing.

    """
    problems: dict[int, tuple[str, str]] = {}
    found = dict(_flat(sent))
    for name, series in found.items():
        for row in _too_long(series):
            problems.setdefault(row, (name, f"a text of over {MAX_STRING} characters"))
    frame = _taken(found, problems)
    names = {_RENAMED.get(name, name): name for name in found}
    for row, column, reason in _broken(frame, [column for column in names if column in _RULES]):
        problems.setdefault(row, (names[column], reason))
    return Columns(frame, problems)


def _taken(found: Mapping[str, pl.Series], problems: dict[int, tuple[str, str]]) -> pl.DataFrame:
    for name in ("id", "service"):
        if name not in found:
            raise InputError(f"the column {name!r} is missing: every prediction has one")
    ready: dict[str, pl.Series] = {}
    for name, series in found.items():
        column = _RENAMED.get(name, name)
        if name.startswith((FEATURES, SEGMENTS)):
            ready[name] = _free(name, series)
        elif name in TIMES:
            ready[name] = _time(name, series, problems)
        elif name == "prediction":
            ready |= _answer(series)
        elif column in _RULES:
            ready[column] = _of_kind(name, column, series)
        else:
            raise InputError(
                f"the column {name!r} is no field of a prediction: name it features.{name} or segments.{name}"
            )
    for name, series in ready.items():
        if name in _RULES and series.dtype == pl.Float64 and not _finite(series):
            ready[name] = series.fill_nan(None)
        elif name in DEFAULTS and series.null_count():
            ready[name] = series.fill_null(DEFAULTS[name])
    return pl.DataFrame(list(ready.values()))


def _finite(series: pl.Series) -> bool:
    """Say whether there is no NaN and nothing infinite for sure: one of them would be in the sum."""
    return math.isfinite(series.sum() or 0.0)


def _flat(sent: pl.DataFrame) -> Iterator[tuple[str, pl.Series]]:
    for series in sent.iter_columns():
        if series.name in NESTED and series.dtype == pl.Struct:
            for part in series.struct.unnest().iter_columns():
                yield f"{series.name}.{part.name}", part.alias(f"{series.name}.{part.name}")
        else:
            yield series.name, series


def _free(name: str, series: pl.Series) -> pl.Series:
    """Give a feature or segment as text, number or boolean."""
    if isinstance(series.dtype, pl.Float64 | pl.String):
        return series
    if series.dtype.is_numeric():
        return series.cast(pl.Float64) if name.startswith(FEATURES) else series
    if isinstance(series.dtype, pl.Categorical | pl.Enum | pl.Null):
        return series.cast(pl.String)
    if series.dtype != pl.Boolean:
        raise InputError(f"the column {name!r} is of type {series.dtype}: send text, numbers or booleans")
    return series


def _time(name: str, series: pl.Series, problems: dict[int, tuple[str, str]]) -> pl.Series:
    if isinstance(series.dtype, pl.Datetime):
        if series.dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        series = series.cast(TIME)
        seconds = series.dt.epoch("us") / 1e6
        bad = (seconds < times.OLDEST) | (seconds > times.NEWEST)
        for row in bad.fill_null(value=False).arg_true():
            problems.setdefault(row, (name, "is not a time between 1973 and 2198"))
        return series.rename(name)
    if not series.dtype.is_numeric() and not isinstance(series.dtype, pl.String | pl.Null):
        raise InputError(f"the column {name!r} is of type {series.dtype}: send timestamps, numbers or ISO 8601 text")
    known = series.drop_nulls()
    plain = series.dtype.is_numeric()
    if plain and times.plausible(known.to_numpy()):
        return times.series(name, series)
    values = series.to_list()
    if plain or not times.plausible(known.to_list()):
        for row, value in enumerate(values):
            wrong = times.problem(value)
            if wrong:
                problems.setdefault(row, (name, wrong))
                values[row] = None
    return times.series(name, values)


def _answer(series: pl.Series) -> dict[str, pl.Series]:
    if isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null):
        return {"prediction": series.cast(pl.String).rename("prediction")}
    if series.dtype == pl.Boolean:
        texts, numbers = series.cast(pl.String), series.cast(pl.Float64)
        return {"prediction": texts.rename("prediction"), "prediction_number": numbers.rename("prediction_number")}
    if not series.dtype.is_numeric():
        raise InputError(f"the column 'prediction' is of type {series.dtype}: send text, numbers or booleans")
    pairs = [text_and_number(value) for value in series.to_list()]
    return {
        "prediction": pl.Series("prediction", [text for text, _ in pairs], pl.String),
        "prediction_number": pl.Series("prediction_number", [number for _, number in pairs], pl.Float64),
    }


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a column must be: its kind, how small and how large (of a text: how long), a pattern, the words it takes."""

    kind: type[pl.DataType]
    low: float | None = None
    high: float | None = None
    above: float | None = None
    pattern: str | None = None
    words: tuple[str, ...] = ()


def _of_kind(name: str, column: str, series: pl.Series) -> pl.Series:
    kind = _RULES[column].kind
    text = kind == pl.String
    fits = isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum) if text else series.dtype.is_numeric()
    if kind == pl.Int64:
        fits = series.dtype.is_integer()
    if not fits and series.dtype != pl.Null:
        wanted = "text" if text else "whole numbers" if kind == pl.Int64 else "numbers"
        raise InputError(f"the column {name!r} is of type {series.dtype}: send {wanted}")
    return series.cast(kind, strict=False).rename(column)


def _too_long(series: pl.Series) -> Iterator[int]:
    """Give the rows whose text is too long; bytes are counted first, for they are never fewer than characters."""
    if isinstance(series.dtype, pl.String) and series.estimated_size() > MAX_STRING:
        longest = series.str.len_bytes().max()
        if isinstance(longest, int) and longest > MAX_STRING:
            yield from (series.str.len_chars() > MAX_STRING).fill_null(value=False).arg_true()


def _broken(frame: pl.DataFrame, columns: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Give (row, column, reason) of every broken rule; all are asked at once whether any row breaks them, but those of
    columns whose extremes keep them.
    """
    asked = [column for column in columns if not _keeps(frame[column], _RULES[column])]
    rules = [(column, bad, reason) for column in asked for bad, reason in _asked(column, _RULES[column])]
    any_broken = frame.select([bad.any().alias(str(number)) for number, (_, bad, _) in enumerate(rules)]).row(0)
    for (column, bad, reason), broken in zip(rules, any_broken, strict=True):
        if broken:
            for row in frame.select(bad.fill_null(value=False)).to_series().arg_true():
                yield row, column, reason


def _keeps(series: pl.Series, rule: _Rule) -> bool:
    """Say whether a column of numbers keeps its rule for sure."""
    if rule.kind == pl.String or not _finite(series):
        return False
    smallest, largest = cast("tuple[float | None, float | None]", (series.min(), series.max()))
    if smallest is None or largest is None:
        return True
    low, high, above = -math.inf if rule.low is None else rule.low, rule.high or math.inf, rule.above
    return low <= smallest and largest <= high and (above is None or above < smallest)


def _asked(column: str, rule: _Rule) -> Iterator[tuple[pl.Expr, str]]:
    text = rule.kind == pl.String
    values = pl.col(column)
    if column in ("id", "service"):
        yield values.is_null(), "is missing"
    if rule.kind == pl.Float64:
        yield values.is_infinite(), "is infinite"
    size = values.str.len_chars() if text else values
    of = " characters" if text else ""
    if rule.low is not None:
        yield size < rule.low, f"expected {rule.low:g} or more{of}"
    if rule.high is not None:
        yield size > rule.high, f"expected at most {rule.high:g}{of}"
    if rule.above is not None:
        yield size <= rule.above, f"expected more than {rule.above:g}"
    if rule.pattern is not None:
        yield ~values.str.contains(rule.pattern), f"expected text like {rule.pattern}"
    if rule.words:
        yield ~values.is_in(rule.words), f"expected one of {', '.join(rule.words)}"


def _rules() -> dict[str, _Rule]:
    """Read the rules off the struct of the event."""
    rules: dict[str, _Rule] = {}
    for prefix, struct in (("", Prediction), ("tokens_", Tokens)):
        described = inspect.type_info(struct)
        for field in described.fields if isinstance(described, inspect.StructType) else ():
            kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
            rule = _rule([kind for kind in kinds if not isinstance(kind, inspect.NoneType)])
            if rule is not None and field.name not in TIMES:
                rules[prefix + field.name] = rule
    return rules | {"fallback_from": rules["model"], "fallback_reason": _Rule(pl.String, 0, 2000)}


def _rule(kinds: list[inspect.Type]) -> _Rule | None:
    if len(kinds) != 1:
        return None
    kind, pattern = kinds[0], None
    if isinstance(kind, inspect.Metadata):  # an id: its pattern is told, and not looked at by the decoder of JSON
        kind, pattern = kind.type, ID_PATTERN
    if isinstance(kind, inspect.StrType):
        return _Rule(pl.String, kind.min_length, kind.max_length, None, kind.pattern or pattern)
    if isinstance(kind, inspect.FloatType):
        return _Rule(pl.Float64, kind.ge, kind.le, kind.gt)
    if isinstance(kind, inspect.IntType):
        return _Rule(pl.Int64, kind.ge, kind.le, kind.gt)
    if isinstance(kind, inspect.LiteralType):
        return _Rule(pl.String, words=tuple(str(value) for value in kind.values))
    return None


_RULES = _rules()
