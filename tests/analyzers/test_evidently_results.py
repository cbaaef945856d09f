"""Evidently's result and back; ``evidently_result.json`` is what Evidently 0.7.23 wrote of two small frames."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from analyzers.world import World, day, from_day, made
from scipy import stats

from watchkeeper.analyzers.drift import chi_squared, hellinger, jensen_shannon, kolmogorov_smirnov, psi, wasserstein
from watchkeeper.analyzers.evidently_mode import compare
from watchkeeper.analyzers.evidently_results import DATASET, readings_of, result
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.findings import Window

THEIRS = json.loads(Path(__file__).with_name("evidently_result.json").read_text())
SPAN = Window(day(0), day(7))
ALL = (chi_squared, hellinger, jensen_shannon, kolmogorov_smirnov, psi, wasserstein)


def test_every_number_of_theirs_becomes_a_reading_under_a_name_of_its_own() -> None:
    readings, left_out = readings_of(THEIRS, "s", "m", SPAN)
    found = {(one.metric, one.subject): one.value for one in readings}
    assert found["evidently.value_drift.psi", "x"] == 0.9826176647706759
    assert found["evidently.value_drift.jensen_shannon_distance", "c"] == 0.3841970980074682
    assert found["evidently.value_drift.k_s_p_value", "x"] == 4.98054948987324e-35
    assert found["evidently.drifted_columns_count.share", DATASET] == 1.0
    assert found["evidently.row_count", DATASET] == 500
    assert found["evidently.quantile_value.0_5", "x"] == pytest.approx(1, abs=0.2)
    assert len(readings) == len(found), "no two numbers share a name"
    assert left_out == ("UniqueValueCount(column=c)",), "it holds values, with how often each came"
    [one] = [one for one in readings if one.metric == "evidently.value_drift.psi"]
    assert (one.analyzer, one.reference, one.window, one.as_of) == ("evidently", 0.1, SPAN, SPAN.end)


@pytest.mark.parametrize("found", [[], {"metrics": 1}, {"metrics": [1]}, {"metrics": [{"config": {}}]}, {}])
def test_what_is_no_result_is_refused(found: object) -> None:
    with pytest.raises(InputError, match="no result of Evidently"):
        readings_of(found, "s", "m", SPAN)


def test_a_metric_without_a_number_is_named() -> None:
    one = {"metric_name": "Odd()", "config": {"type": "evidently:metric_v2:Odd"}, "value": {"a": [1]}}
    assert readings_of({"metrics": [one]}, "s", "m", SPAN) == ((), ("Odd()",))


def told() -> tuple[dict[str, Any], World]:
    moved = pl.when(from_day(18)).then(pl.col("temp") + 8).otherwise(pl.col("temp")).alias("temp")
    world = World().load(made(days=30).with_columns(moved)).with_reference()
    rows = [
        {name: getattr(one, name) for name in ("metric", "subject", "value", "reference", "n", "as_of")}
        for method in ALL
        for one in world.evaluate(method.ANALYZER, day(27)).readings
    ]
    missing = {
        "metric": "missing_share",
        "subject": "temp",
        "value": 0.25,
        "reference": 0.0,
        "n": 400,
        "as_of": day(27),
    }
    return result([*rows, missing]), world


def test_ours_has_their_form_and_says_what_they_would() -> None:
    found, _ = told()
    ours = {one["metric_name"].partition("(")[0] for one in found["metrics"]}
    assert ours == {"DriftedColumnsCount", "ValueDrift", "MissingValueCount"}
    for one in found["metrics"]:
        [theirs, *_] = [t for t in THEIRS["metrics"] if t["config"]["type"] == one["config"]["type"]]
        assert one.keys() == theirs.keys()
        assert one["config"].keys() >= theirs["config"].keys() - {"tests"}
    drifts = {
        (o["config"]["column"], o["config"]["method"]): o["value"] for o in found["metrics"] if "method" in o["config"]
    }
    assert drifts["temp", "PSI"] > 0.5
    assert drifts["temp", "K-S p_value"] < 1e-30
    assert drifts["distance", "K-S p_value"] > 0.001
    assert drifts["temp", "chi-square p_value"] < 1e-30
    [missing] = [one["value"] for one in found["metrics"] if "MissingValueCount" in one["metric_name"]]
    assert missing == {"count": 100.0, "share": 0.25}
    again, left_out = readings_of(json.loads(json.dumps(found)), "s", "m", SPAN)
    assert left_out == ()
    assert {one.value for one in again if one.metric == "evidently.value_drift.psi"} == {
        value for (_, method), value in drifts.items() if method == "PSI"
    }


def test_ours_are_near_theirs_on_the_same_rows() -> None:
    found, _ = told()
    frame = made(days=30)
    reference = frame.filter(~from_day(14))["temp"].to_numpy()
    now = frame.filter(from_day(20) & ~from_day(27))["temp"].to_numpy() + 8
    drifts = {o["config"]["method"]: o["value"] for o in found["metrics"] if "temp,method" in o["metric_name"]}
    assert drifts["Jensen-Shannon distance"] == pytest.approx(compare("jensenshannon", reference, now), rel=0.15)
    assert drifts["Hellinger distance"] == pytest.approx(compare("hellinger", reference, now), rel=0.15)
    assert drifts["Wasserstein distance (normed)"] == pytest.approx(compare("wasserstein", reference, now), rel=0.15)
    largest = stats.ks_2samp(now, reference, method="asymp")
    assert np.log(drifts["K-S p_value"]) == pytest.approx(np.log(largest.pvalue), rel=0.1)


@pytest.mark.skipif(find_spec("evidently") is None, reason="evidently is not installed: watchkeeper[evidently]")
def test_the_fixture_is_of_the_installed_release() -> None:
    import importlib.metadata  # noqa: PLC0415

    assert importlib.metadata.version("evidently").startswith("0.7.")
