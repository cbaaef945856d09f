"""Charts are valid Vega-Lite, name no colour, and can be read in both themes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import util
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from watchkeeper.dashboard import charts, histograms
from watchkeeper.dashboard.charts import Limit, Line, Mark, Unit
from watchkeeper.dashboard.histograms import Bar
from watchkeeper.dashboard.launch import ENTRY

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SPAN = (NOW - timedelta(days=7), NOW)
THEME = tomllib.loads((ENTRY.parent / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
COLOUR = re.compile(r"#[0-9a-f]{3,8}\b|rgba?\(|hsla?\(", re.IGNORECASE)


def points(base: float, slope: float = 0.0, gap: int | None = None) -> tuple[tuple[int, float | None], ...]:
    start = int(SPAN[0].timestamp() * 1000)
    return tuple((start + place * 21_600_000, None if place == gap else base + slope * place) for place in range(28))


SPECS: dict[str, charts.Spec] = {
    "calm": charts.over_time([Line("a", points(0.4)), Line("b", points(0.41))], SPAN, Unit.SHARE, kind="models"),
    "trouble": charts.over_time(
        [
            Line("a", points(0.4)), Line("bad", points(0.4, 0.02, gap=9), "trouble"),
            Line("young", points(0.3), "muted", faint=True),
        ],
        SPAN, Unit.SHARE, limit=Limit(1.0, "objective"), least_top=1.2, room=100,
        marks=[Mark(points(0)[n][0], f"change {n}", strong=n == 9) for n in (3, 9, 20, 26)],
        band=[(at, 0.1, 0.9) for at, _ in points(0)],
    ),
    "empty": charts.over_time([], SPAN, Unit.MONEY, currency="EUR"),
    "negative": charts.over_time([Line("budget", points(1, -0.1))], SPAN, Unit.SHARE),
    "year": charts.over_time([Line("a", points(900))], (NOW - timedelta(days=365), NOW), Unit.MILLISECONDS),
    "numeric": histograms.histogram([Bar(str(n), n / 10, 0.1, n, n + 1.0) for n in range(5)], trouble=False),
    "names": histograms.categories([Bar("JBU (new)", 0.16, 0.0, unseen=True), Bar("B6", 0.0, 0.16)], trouble=True),
}  # fmt: skip


@cache
def schema() -> dict[str, Any]:
    spec = util.find_spec("altair")
    assert spec is not None
    assert spec.origin is not None
    path = next(Path(spec.origin).parent.glob("vegalite/*/schema/vega-lite-schema.json"))
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SPECS)
def test_charts_are_valid_vega_lite(name: str) -> None:
    jsonschema.Draft7Validator(schema()).validate(SPECS[name])


@pytest.mark.parametrize("name", SPECS)
def test_charts_name_tones_not_colours(name: str) -> None:
    text = json.dumps(SPECS[name])
    assert not COLOUR.search(text)
    for encoding in encodings(SPECS[name]):
        if "color" in encoding:
            assert encoding["color"]["scale"]["domain"] == list(charts.TONES)
            assert encoding["color"].get("datum", charts.TONES[0]) in charts.TONES


@pytest.mark.parametrize("name", SPECS)
def test_every_encoded_field_is_in_the_data(name: str) -> None:
    spec = SPECS[name]
    for layer in spec["layer"]:
        rows = layer.get("data", spec.get("data"))["values"]
        made = {step["as"] for step in layer.get("transform", [])}
        for channel in layer["encoding"].values():
            for one in channel if isinstance(channel, list) else [channel]:
                if "field" in one and rows and channel is not layer["encoding"].get("tooltip"):
                    assert one["field"] in made | {key for row in rows for key in row}


def encodings(spec: charts.Spec) -> Iterator[dict[str, Any]]:
    for layer in spec["layer"]:
        yield layer["encoding"]


def labels(spec: charts.Spec) -> list[dict[str, Any]]:
    return next(
        layer["data"]["values"]
        for layer in spec["layer"]
        if layer["mark"]["type"] == "text" and layer["encoding"]["x"] == {"value": "width"}
    )


def test_what_is_in_trouble_carries_a_bold_name() -> None:
    rows = {row["w"]: row["tone"] for row in labels(SPECS["trouble"])}
    assert rows == {"bad": "trouble-text", "young": "muted", "a": "muted", "objective": "muted"}


def test_quiet_lines_that_end_together_share_a_label() -> None:
    assert [row["w"] for row in labels(SPECS["calm"])] == ["2 models"]


def test_no_two_labels_at_the_end_of_lines_overlap() -> None:
    lines = [Line(f"model {n}", points(0.5 + n / 1000), "ink") for n in range(8)]
    spec = charts.over_time(lines, SPAN, Unit.SHARE, limit=Limit(0.5, "limit"), height=180)
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    depths = sorted(180 * (high - row["y"]) / (high - low) for row in labels(spec))
    assert len(depths) == 9
    assert all(after - before >= charts.LABEL_GAP - 1e-6 for before, after in pairwise(depths))


def test_a_null_breaks_a_line_and_stays_in_the_data() -> None:
    layer = next(one for one in SPECS["trouble"]["layer"] if one["mark"]["type"] == "line")
    assert sum(row["v"] is None for row in layer["data"]["values"]) == 1
    assert len({row["s"] for row in layer["data"]["values"]}) == 3


def test_the_axis_leaves_room_for_the_words_of_changes() -> None:
    spec = SPECS["trouble"]
    _, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    top = 1.2 * 1.06
    assert (high - top) / high * charts.HEIGHT == pytest.approx(charts.MARKS_NAMED * charts.LANE)


# -- the themes


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_palette_has_a_colour_for_each_tone_that_can_be_seen(name: str) -> None:
    theme = THEME[name]
    tones = dict(zip(charts.TONES, theme["chartCategoricalColors"], strict=True))
    for words in ("ink", "muted", "trouble-text"):
        assert contrast(tones[words], theme["backgroundColor"]) >= 4.5, words
    for line in ("context", "current", "trouble", "limit"):
        assert contrast(tones[line], theme["backgroundColor"]) >= 2.95, line


@pytest.mark.parametrize("name", ["light", "dark"])
def test_texts_and_buttons_have_contrast(name: str) -> None:
    theme = THEME[name]
    for background in (theme["backgroundColor"], theme["secondaryBackgroundColor"]):
        for words in ("textColor", "linkColor", "codeTextColor", "grayTextColor", "orangeTextColor"):
            assert contrast(theme[words], background) >= 4.5, (words, background)
    assert contrast("#ffffff", theme["primaryColor"]) >= 4.5, "white words on the primary button"
    assert contrast(theme["orangeTextColor"], theme["orangeBackgroundColor"]) >= 4.5
    assert contrast(theme["grayTextColor"], theme["grayBackgroundColor"]) >= 4.5
