"""How a feature is spread now, against its reference: plain Vega-Lite dicts, tones as in ``charts.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.charts import AXIS_TONE, TEXT_SIZE, Spec, Tone, layered, measured, tips_of, tone_of


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin: its share of the rows now and in the reference; ``unseen`` if the reference never had it."""

    label: str
    now: float
    reference: float
    lower: float = 0.0
    upper: float = 0.0
    unseen: bool = False


def histogram(bars: Sequence[Bar], *, trouble: bool, height: int = 130) -> Spec:
    """Draw a numeric feature: the reference as a grey hill, now as an outline over it."""
    tone: Tone = "trouble" if trouble else "current"
    end = Bar("", 0.0, 0.0, bars[-1].upper, bars[-1].upper)
    rows = [
        {
            "l": b.lower, "u": b.upper, "n": b.now, "r": b.reference, "tone": tone, "was": "reference",
            "b": b.label, "wn": fmt.percent(b.now), "wr": fmt.percent(b.reference),
        } for b in (*bars, end)
    ]  # fmt: skip
    top = max((max(bar.now, bar.reference) for bar in bars), default=0.0) or 1.0
    x: Spec = {
        "field": "l", "type": "quantitative", "title": None,
        "scale": {"domain": [bars[0].lower, bars[-1].upper], "nice": False, "zero": False},
        "axis": {"tickCount": 4, "grid": False, "labelPadding": 4, **AXIS_TONE},
    }  # fmt: skip
    y: Spec = {"field": "r", "type": "quantitative", "axis": None, "scale": {"domain": [0, top * 1.05], "nice": False}}
    hill: Spec = {"type": "area", "interpolate": "step-after", "tooltip": None}
    now: Spec = {"x": measured("l"), "y": measured("n"), "color": tone_of("tone")}
    tips = tips_of({"b": "value", "wn": "now", "wr": "reference"})
    layers: list[Spec] = [
        {"mark": hill, "encoding": {"x": x, "y": y, "color": tone_of("was")}},
        {"mark": hill | {"opacity": 0.22}, "encoding": now},
        {"mark": hill | {"type": "line", "strokeWidth": 1.6}, "encoding": now},
        {
            "mark": {"type": "rect", "opacity": 0},
            "encoding": {"x": measured("l"), "x2": {"field": "u"}, "tooltip": tips},
        },
    ]
    return layered(layers, height) | {"data": {"values": rows}}


def categories(bars: Sequence[Bar], *, trouble: bool, height: int = 130) -> Spec:
    """Draw a feature of names: a row each, the reference as a broad grey bar, now as a narrow one on it."""
    top = max((max(bar.now, bar.reference) for bar in bars), default=0.0) or 1.0
    order = [bar.label for bar in bars]
    thick = max(min(height / max(len(bars), 1) - 6, 16), 6)

    def now_tone(bar: Bar) -> Tone:
        return "trouble" if bar.unseen or (trouble and bar.now == 0 and bar.reference > 0) else "current"

    rows = [
        {
            "c": b.label, "n": b.now, "r": b.reference, "m": max(b.now, b.reference),
            "tone": now_tone(b), "was": "reference", "words": "muted",
            "w": fmt.percent(b.now) if b.now or b.reference < 0.01 else "gone",
            "f": fmt.percent(b.reference) if not b.unseen else "never seen",
        } for b in bars
    ]  # fmt: skip
    y: Spec = {
        "field": "c", "type": "nominal", "title": None, "sort": order,
        "scale": {"paddingInner": 0.25, "paddingOuter": 0.1},
        "axis": {"labelPadding": 8, "labelLimit": 96, "minExtent": 60, "domain": False, "ticks": False, **AXIS_TONE},
    }  # fmt: skip
    x: Spec = {"field": "r", "type": "quantitative", "axis": None, "scale": {"domain": [0, top * 1.22], "nice": False}}
    about = tips_of({"c": "value", "w": "now", "f": "reference"})
    by_name: Spec = {"field": "c", "type": "nominal", "sort": order}
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "height": thick, "cornerRadiusEnd": 2},
            "encoding": {"y": y, "x": x, "color": tone_of("was"), "tooltip": about},
        },
        {
            "mark": {"type": "bar", "height": thick * 0.45, "cornerRadiusEnd": 2},
            "encoding": {"y": by_name, "x": measured("n"), "color": tone_of("tone"), "tooltip": about},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 6, "fontSize": TEXT_SIZE, "tooltip": None},
            "encoding": {
                "y": by_name, "x": measured("m"), "text": {"field": "w"}, "color": tone_of("words"),
            },
        },
    ]  # fmt: skip
    return layered(layers, height) | {"data": {"values": rows}}
