"""Every chart, as a plain Vega-Lite dict.

No colour is named here: a mark names its *tone*, and the theme in force gives the tones their colours
(``chartCategoricalColors`` in ``.streamlit/config.toml``, by place), so a chart is as readable in the dark.
Orange means trouble and nothing else does; what is orange carries a bold label too, since colour alone tells some
readers nothing. Time is UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal

from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.placement import spread

Spec = dict[str, object]
Tone = Literal["ink", "muted", "context", "current", "trouble", "trouble-text", "reference", "band", "limit"]
TONES: tuple[Tone, ...] = (
    "ink", "muted", "context", "current", "trouble", "trouble-text", "reference", "band", "limit",
)  # fmt: skip

HEIGHT = 180
TEXT_SIZE = 12
LABEL_GAP = 15
LABEL_WIDTH = 118
LANE = 15
MARKS_NAMED = 3
TOLD = 12
"""So many lines are listed under the pointer, the worst first."""
AXIS_WIDTH = 44
LEADER = 12
"""Pixels between the end of the plot and a label; a thin line crosses them from the value to its label."""


class Unit(StrEnum):
    """What a value is, and thereby how it is written."""

    SHARE = "share"
    MILLISECONDS = "ms"
    COUNT = "count"
    MONEY = "money"
    PLAIN = "plain"

    def words(self, value: float | None, currency: str = "USD") -> str:
        """Write one value.

        >>> Unit.SHARE.words(0.94), Unit.COUNT.words(48000)
        ('94\\u2009%', '48\\u2009k')
        """
        if self is Unit.SHARE:
            return fmt.percent(value)
        if self is Unit.MILLISECONDS:
            return fmt.milliseconds(value)
        return fmt.money(value, currency) if self is Unit.MONEY else fmt.number(value)


_AXIS_WORDS = {
    Unit.SHARE: "format(datum.value * 100, '.4~g') + '\u2009%'",
    Unit.MILLISECONDS: (
        "datum.value >= 10000 ? format(datum.value / 1000, '.3~g') + '\u2009s' "
        ": format(datum.value, '.4~g') + '\u2009ms'"
    ),
    Unit.COUNT: "datum.value >= 10000 ? format(datum.value / 1000, '.3~g') + '\u2009k' : format(datum.value, '.4~g')",
    Unit.MONEY: "'{symbol}' + format(datum.value, '.4~g')",
    Unit.PLAIN: "format(datum.value, '.3~g')",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One series: points of (milliseconds since 1970, value); a value of None breaks the line.

    A ``faint`` line is dashed, for numbers that may still change.
    """

    name: str
    points: tuple[tuple[int, float | None], ...]
    tone: Tone = "context"
    faint: bool = False

    @property
    def last(self) -> float | None:
        """The last value that is known."""
        return next((value for _, value in reversed(self.points) if value is not None), None)


@dataclass(frozen=True, slots=True)
class Limit:
    """One horizontal line that means something, such as an objective."""

    value: float
    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment, such as a deploy; ``strong`` for the onset of trouble."""

    at: int
    words: str
    strong: bool = False


def over_time(
    lines: Sequence[Line],
    span: tuple[datetime, datetime],
    unit: Unit,
    *,
    limit: Limit | None = None,
    marks: Sequence[Mark] = (),
    band: Sequence[tuple[int, float, float]] = (),
    least_top: float = 0.0,
    height: int = HEIGHT,
    room: int = 0,
    kind: str = "others",
    currency: str = "USD",
) -> Spec:
    """Draw lines over time, each named at its end, with one limit and the moments at which something changed.

    ``band`` holds (time, lower, upper), such as the interval of each value. ``least_top`` keeps a quiet line from
    filling the chart. Zero is always in sight. ``room`` reserves so many pixels for the labels, whatever they need, so
    that the time axes of charts above each other agree. ``kind`` is what quiet lines are called together.
    """
    start, end = fmt.epoch_ms(span[0]), fmt.epoch_ms(span[1])
    shown = sorted(dict.fromkeys(mark for mark in marks if start <= mark.at <= end), key=lambda mark: mark.at)
    low, high = _domain(lines, limit, band, least_top)
    lanes = min(len(shown), MARKS_NAMED)
    high += (high - low) * lanes * LANE / (height - lanes * LANE)
    layers: list[Spec] = [_frame(span, (low, high), unit, currency, room)]
    if band:
        layers.append(_band(band))
    if limit is not None:
        layers.append(_rule_across(limit.value))
    layers += _marks(shown, start + (end - start) * 6 // 10)
    layers.append(_lines(lines))
    layers += _labels(lines, limit, (low, high), height, room, kind)
    layers.append(_hover(lines, unit, currency))
    return layered(layers, height)


# -- parts


AXIS_TONE: Mapping[str, object] = {"labelColor": {"expr": "scale('color', 'muted')"}, "labelFontSize": TEXT_SIZE}


def layered(layers: list[Spec], height: int) -> Spec:
    """Put layers into one chart that fills its frame; labels beside the plot are given their room."""
    return {
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 0, "right": 2, "top": 4, "bottom": 2},
        "layer": layers,
    }


def tone_of(field: str) -> Spec:
    """Take the tone from a column of the data."""
    return {"field": field, "type": "nominal", "scale": {"domain": list(TONES)}, "legend": None}


def measured(field: str) -> Spec:
    """Read a number from a column."""
    return {"field": field, "type": "quantitative"}


def _t() -> Spec:
    return {"field": "t", "type": "temporal"}


def tips_of(titles: Mapping[str, str]) -> list[Spec]:
    """Show these columns under the pointer, by their titles."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in titles.items()]


def _domain(
    lines: Sequence[Line], limit: Limit | None, band: Sequence[tuple[int, float, float]], least_top: float
) -> tuple[float, float]:
    values = [value for line in lines for _, value in line.points if value is not None]
    values += [edge for _, *edges in band for edge in edges]
    values += [limit.value] if limit is not None else []
    high = max([least_top, *values])
    return min([0.0, *values]), (high * 1.06 if high > 0 else 1.0)


def _frame(span: tuple[datetime, datetime], domain: tuple[float, float], unit: Unit, currency: str, room: int) -> Spec:
    """Carry both axes and reserve the room for labels, invisible itself: other layers need only name their fields."""
    days = (span[1] - span[0]) / timedelta(days=1)
    words, every = _ticks(days)
    ends = [moment.astimezone(UTC).isoformat() for moment in span]
    return {
        "data": {"values": [{"t": fmt.epoch_ms(span[0]), "v": domain[0], "tone": "ink"}]},
        "mark": {"type": "rule", "opacity": 0, "tooltip": None},
        "encoding": {
            "x2": {"value": {"expr": f"width + {room}"}},
            "x": _t() | {
                "title": None, "scale": {"type": "utc", "domain": ends},
                "axis": {"format": words, "tickCount": every, "grid": False, "labelPadding": 6, **AXIS_TONE},
            },
            "y": measured("v") | {
                "title": None, "scale": {"domain": list(domain), "nice": False, "zero": False},
                "axis": {
                    "tickCount": 4, "labelPadding": 6,
                    "labelExpr": _AXIS_WORDS[unit].replace("{symbol}", fmt.symbol(currency)),
                    "minExtent": AXIS_WIDTH, "maxExtent": AXIS_WIDTH, **AXIS_TONE,
                },
            },
            "color": tone_of("tone"),
        },
    }  # fmt: skip


def _ticks(days: float) -> tuple[str, Spec]:
    if days <= 2:
        return "%H:%M", {"interval": "hour", "step": 6}
    if days <= 15:
        return "%a %-d", {"interval": "day", "step": 1 if days <= 8 else 2}
    if days <= 45:
        return "%-d %b", {"interval": "week", "step": 1}
    return ("%b" if days <= 400 else "%b %Y"), {"interval": "month", "step": 1 if days <= 400 else 3}


def _lines(lines: Sequence[Line]) -> Spec:
    """All lines as one layer, those in trouble on top: fewer layers are drawn sooner."""
    widths = {"context": 1.3, "trouble": 2.4}
    drawn = sorted(lines, key=lambda line: (line.tone == "trouble", line.tone != "context"))
    rows = [
        {"t": at, "v": _short(value), "s": place, "tone": line.tone, "w": widths.get(line.tone, 1.8), "f": line.faint}
        for place, line in enumerate(drawn)
        for at, value in line.points
    ]
    return {
        "data": {"values": rows},
        "mark": {
            "type": "line", "strokeJoin": "round", "strokeCap": "round", "tooltip": None,
            "strokeWidth": {"expr": "datum.w"}, "strokeDash": {"expr": "datum.f ? [2, 4] : [1, 0]"},
        },
        "encoding": {
            "x": _t(), "y": measured("v"), "color": tone_of("tone"), "detail": {"field": "s", "type": "nominal"},
        },
    }  # fmt: skip


def _band(band: Sequence[tuple[int, float, float]]) -> Spec:
    return {
        "data": {"values": [{"t": at, "v": _short(low), "u": _short(high), "tone": "band"} for at, low, high in band]},
        "mark": {"type": "area", "tooltip": None},
        "encoding": {"x": _t(), "y": measured("v"), "y2": {"field": "u"}, "color": tone_of("tone")},
    }


def _rule_across(value: float) -> Spec:
    return {
        "data": {"values": [{"v": value, "tone": "limit"}]},
        "mark": {"type": "rule", "strokeDash": [5, 4], "strokeWidth": 1.2, "tooltip": None},
        "encoding": {"y": measured("v"), "color": tone_of("tone")},
    }


def _marks(marks: Sequence[Mark], turn: int) -> list[Spec]:
    """A line at each moment; a few carry their words, each in a lane of its own, so that none covers another.

    Words stand to the right of their line (after ``turn`` to its left) and are cut at the edge of the plot. Each line
    begins at its own lane, so that few lines cross words.
    """
    if not marks:
        return []
    chosen = sorted(marks, key=lambda mark: (mark.strong, mark.at), reverse=True)[:MARKS_NAMED]
    left = sorted((mark for mark in chosen if mark.at <= turn), key=lambda mark: mark.at)
    right = sorted((mark for mark in chosen if mark.at > turn), key=lambda mark: -mark.at)
    lanes = {mark: lane for lane, mark in enumerate([*left, *right])}
    rows = [
        {
            "t": mark.at, "w": mark.words, "y": lanes.get(mark, len(lanes)) * LANE, "s": mark.strong,
            "tone": "ink" if mark.strong else "muted", "n": mark in lanes, "r": mark.at > turn,
        }
        for mark in marks
    ]  # fmt: skip
    lane: Spec = {"field": "y", "type": "quantitative", "scale": None}
    rule: Spec = {"type": "rule", "strokeWidth": {"expr": "datum.s ? 1.6 : 1"}}
    rule["strokeDash"] = {"expr": "datum.s ? [1, 0] : [2, 3]"}
    words: Spec = {"type": "text", "baseline": "top", "dy": 1, "fontSize": TEXT_SIZE, "tooltip": None}
    words |= {
        "fontWeight": {"expr": "datum.s ? 600 : 400"}, "align": {"expr": "datum.r ? 'right' : 'left'"},
        "dx": {"expr": "datum.r ? -5 : 5"},
        "limit": {"expr": "max((datum.r ? scale('x', datum.t) : width - scale('x', datum.t)) - 8, 40)"},
    }  # fmt: skip
    place: Spec = {"x": _t(), "y": lane, "color": tone_of("tone")}
    told = [row for row in rows if row["n"]]
    return [
        {
            "data": {"values": rows},
            "mark": rule,
            "encoding": place | {"y2": {"value": "height"}, "tooltip": tips_of({"w": "change"})},
        },
        {"data": {"values": told}, "mark": words, "encoding": place | {"text": {"field": "w"}}},
    ]


def _labels(
    lines: Sequence[Line], limit: Limit | None, domain: tuple[float, float], height: int, room: int, kind: str
) -> list[Spec]:
    """Name each line at its end and the limit at its height, moved apart, a thin leader from value to label."""
    low, high = domain
    ends: list[tuple[str, float, Tone]] = [
        (line.name, height * (high - line.last) / (high - low), _label_tone(line))
        for line in lines
        if line.last is not None
    ]
    wanted = [end for end in ends if end[2] != "muted"] + _together([end for end in ends if end[2] == "muted"], kind)
    if limit is not None:
        wanted.append((limit.name, height * (high - limit.value) / (high - low), "muted"))
    if not wanted:
        return []
    placed = spread([depth for _, depth, _ in wanted], LABEL_GAP, LABEL_GAP / 2, height - LABEL_GAP / 2)

    def value(depth: float) -> float:
        return high - depth / height * (high - low)

    rows = [
        {"w": words, "v": value(depth), "y": value(moved), "tone": tone, "leader": "muted"}
        for (words, depth, tone), moved in zip(wanted, placed, strict=True)
    ]
    layers: list[Spec] = [
        {
            "data": {"values": rows},
            "mark": {"type": "rule", "strokeWidth": 0.8, "tooltip": None},
            "encoding": {
                "x": {"value": "width"}, "x2": {"value": {"expr": f"width + {LEADER}"}},
                "y": measured("v"), "y2": {"field": "y"}, "color": tone_of("leader"),
            },
        }
    ]  # fmt: skip
    layers.append(
        {
            "data": {"values": rows},
            "mark": {
                "type": "text", "align": "left", "baseline": "middle", "dx": LEADER + 4,
                "limit": room - LEADER - 4 if room else LABEL_WIDTH, "fontSize": TEXT_SIZE, "tooltip": None,
                "fontWeight": {"expr": "datum.tone === 'trouble-text' ? 700 : 400"},
            },
            "encoding": {"x": {"value": "width"}, "y": measured("y"), "text": {"field": "w"}, "color": tone_of("tone")},
        }
    )  # fmt: skip
    return layers


def _label_tone(line: Line) -> Tone:
    return "trouble-text" if line.tone == "trouble" else "muted" if line.tone in {"context", "muted"} else "ink"


def _together(ends: Sequence[tuple[str, float, Tone]], kind: str) -> list[tuple[str, float, Tone]]:
    """Give quiet lines that end side by side one label: their number; the names are under the pointer."""
    groups: list[list[tuple[str, float, Tone]]] = []
    for end in sorted(ends, key=lambda end: end[1]):
        if groups and end[1] - groups[-1][0][1] < LABEL_GAP * 0.7:
            groups[-1].append(end)
        else:
            groups.append([end])
    return [
        (group[0][0] if len(group) == 1 else f"{len(group)} {kind}", sum(end[1] for end in group) / len(group), "muted")
        for group in groups
    ]


def _hover(lines: Sequence[Line], unit: Unit, currency: str) -> Spec:
    """Show every named value of the moment under the pointer, beside a thin line."""
    named = sorted(lines, key=lambda line: (line.tone == "context", -(line.last or 0.0)))[:TOLD]
    values: dict[int, Spec] = {}
    for place, line in enumerate(named):
        for at, value in line.points:
            if value is not None:
                row = values.setdefault(
                    at, {"t": at, "tone": "muted", "w": f"{datetime.fromtimestamp(at / 1000, UTC):%a %-d %b %H:%M}"}
                )
                row[f"s{place}"] = unit.words(value, currency)
    titles = {"w": "UTC"} | {f"s{place}": line.name for place, line in enumerate(named)}
    return {
        "data": {"values": [values[at] for at in sorted(values)]},
        "params": [
            {
                "name": "hover",
                "select": {"type": "point", "on": "pointerover", "clear": "pointerout", "nearest": True},
            }
        ],
        "mark": {"type": "rule", "strokeWidth": 1},
        "encoding": {
            "x": _t(), "color": tone_of("tone"), "tooltip": tips_of(titles),
            "opacity": {"condition": {"param": "hover", "empty": False, "value": 0.6}, "value": 0},
        },
    }  # fmt: skip


def _short(value: float | None) -> float | None:
    """Keep five significant digits: a pixel knows no more, and the page is lighter."""
    return None if value is None else float(f"{value:.5g}")
