"""The routes of objectives, the gate and its exit codes, lint and export."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from analyzers.world import START, World, day
from typer.testing import CliRunner

from watchkeeper.app.cli import cli
from watchkeeper.app.slos import SloReader
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import NotFound
from watchkeeper.schemas.objectives import BudgetStep, BurnRule, Calendar, Fallback, Objective, Sli
from watchkeeper.schemas.openslo_export import export
from watchkeeper.store.control.apply import read


def objective(**more: object) -> Objective:
    given = {"name": "promise", "service": "flights", "sli": Sli(measure="errors"), "target": 0.99, "days": 28} | more
    return Objective(**given)


def world(bad_hours: float, per_hour: int = 60, days: int = 30) -> World:
    n = days * 24 * per_hour
    hours = np.arange(n) / per_hour
    frame = pl.DataFrame(
        {
            "ts": [START.replace(tzinfo=None) + timedelta(hours=float(hour)) for hour in hours],
            "ok": (~((hours >= 500) & (hours < 500 + bad_hours))).astype(int),
        }
    )
    return World(now=day(days)).load(frame)


def reader(made: World, *objectives: Objective, at: int = 30) -> SloReader:
    return SloReader(made.reader, lambda: Declarations(objectives=objectives), lambda: day(at))


def test_states_and_gates_of_a_budget_that_goes() -> None:
    one = objective(budget_policy=[BudgetStep(at=0.8, do="close_gate", what="No deployments.")])
    states = []
    for bad in (0.0, 3.0, 6.0, 8.0):
        slo = reader(world(bad), one).named("promise")
        states.append((slo.state, slo.gate))
        assert slo.sli is not None
        assert slo.sli_lower is not None
        assert slo.sli_lower <= slo.sli <= (slo.sli_upper or 0)
        assert slo.budget_left == pytest.approx(1 - bad / 6.72, abs=0.01)
        assert [step.due for step in slo.policy] == [bad >= 6]
    assert states == [("ok", "open"), ("ok", "open"), ("ok", "closed"), ("exhausted", "closed")]
    answer = reader(world(6.0), one).gate("promise")
    assert answer.reason.endswith("No deployments.")


def test_no_data_is_not_good_news() -> None:
    made = world(0.0)
    assert reader(made, objective(), at=29).gate("promise").gate == "open"
    assert reader(made, objective(service="other")).named("promise").state == "no_data"
    silent = reader(made, objective(), at=33).gate("promise")
    assert (silent.gate, silent.state) == ("unknown", "no_data")


def test_what_cannot_be_measured_says_so_with_advice() -> None:
    slo = reader(world(0.0, per_hour=4), objective(target=0.9995)).named("promise")
    assert slo.state == "not_measurable"
    assert "an hour the budget is" in slo.reasons[0]


def test_the_worst_comes_first_and_our_own_is_among_them() -> None:
    good, bad = objective(name="good", target=0.9), objective(name="bad")
    listed = reader(world(8.0), good, bad).every()
    assert [one.name for one in listed.slos] == ["bad", "watchkeeper-evaluation", "good"]
    assert [one.fallback_health for one in listed.slos] == ["missing"] * 3
    with pytest.raises(NotFound, match="known: bad, good, watchkeeper-evaluation"):
        reader(world(0.0), good, bad).named("x")


EVERYTHING = (
    objective(),
    objective(
        name="months",
        days=365.25 / 12,
        calendar=Calendar(unit="M", count=1, start="2026-01-01 00:00:00", zone="Asia/Tokyo"),
        method="Timeslices",
        slice_target=0.9,
        slice_window="5m",
        sli=Sli(measure="latency", max_ms=300, model="m"),
        rules=[BurnRule(severity="page", long="1h", short="5m", burn=9.0, after="5m")],
        no_data=True,
        targets=["pager"],
        fallback=Fallback(name="rules"),
    ),
    objective(
        name="cost", sli=Sli(measure="cost_per_request", max=0.2), method="Timeslices", slice_window="1d", target=0.9
    ),
)


def test_what_is_exported_is_read_back_the_same(tmp_path: Path) -> None:
    text = yaml.safe_dump_all([export(one) for one in EVERYTHING], sort_keys=False)
    (tmp_path / "slo.yaml").write_text(text)
    again = read(tmp_path)[1].objectives
    for one, back in zip(EVERYTHING, again, strict=True):
        for name in (
            "name",
            "service",
            "sli",
            "target",
            "calendar",
            "method",
            "slice_target",
            "slice_window",
            "no_data",
        ):
            assert getattr(back, name) == getattr(one, name), name
        assert back.days == pytest.approx(one.days)
        assert [(rule.burn, rule.long, rule.after) for rule in back.rules] == [
            (rule.burn, rule.long, rule.after) for rule in one.rules
        ]
        assert (back.fallback and back.fallback.name) == (one.fallback and one.fallback.name)


def test_lint_and_export_commands(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(yaml.safe_dump(export(objective(target=0.9))))
    run = CliRunner().invoke(cli, ["slo", "lint", str(tmp_path), "--json"])
    assert run.exit_code == 0
    assert [one["level"] for one in json.loads(run.output)] == ["note", "note"]
    thin = CliRunner().invoke(cli, ["slo", "lint", str(tmp_path), "--per-hour", "0.1"])
    assert thin.exit_code == 7
    assert "requests an hour the budget is" in thin.output
    written = CliRunner().invoke(cli, ["slo", "export", str(tmp_path)])
    assert yaml.safe_load(written.output)["kind"] == "SLO"


def test_a_gate_that_nobody_answers_is_unknown(tmp_path: Path) -> None:
    asked = CliRunner().invoke(cli, ["gate", "promise", "--url", "http://127.0.0.1:9"], env={"HOME": str(tmp_path)})
    assert asked.exit_code == 2
    assert asked.output.startswith("unknown: no server answers")
