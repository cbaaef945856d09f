"""Composite objectives of OpenSLO v1: read, refused where they make no sense, written, and judged by their parts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from analyzers.world import START, World, day
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.slo import budget, burn_rate
from watchkeeper.analyzers.slo_composite import weighed
from watchkeeper.analyzers.slo_state import state_of
from watchkeeper.app.slo_lint import exported, lint
from watchkeeper.app.slos import told
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Severity
from watchkeeper.schemas.objectives import BudgetStep, Component, Objective, Sli
from watchkeeper.store.control.apply import read


def part(name: str, weight: float | None, target: float = 0.99, **spec: object) -> dict[str, Any]:
    source = {"metricSource": {"type": "watchkeeper", "spec": {"measure": "errors", **spec}}}
    held = {"metadata": {"name": f"{name}-sli"}, "spec": {"ratioMetric": {"counter": True, "good": source}}}
    weighs = {} if weight is None else {"compositeWeight": weight}
    return {"displayName": name, "target": target, "indicator": held, **weighs}


def document(*parts: dict[str, Any], **more: object) -> str:
    spec = {
        "service": "flights",
        "timeWindow": [{"duration": "28d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [*parts],
        **more,
    }
    return yaml.safe_dump({"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "journey"}, "spec": spec})


def folder(at: Path, text: str) -> Path:
    (at / "slo.yaml").write_text(text, encoding="utf-8")
    return at


FAST = {"measure": "latency", "maxMs": 500}
JOURNEY = (part("right", 3), part("fast", None, 0.95, **FAST))


def made(at: Path, *parts: dict[str, Any], **more: object) -> Objective:
    (found,) = read(folder(at, document(*(parts or JOURNEY), **more)))[1].objectives
    return found


def test_it_is_one_objective_with_its_parts(tmp_path: Path) -> None:
    one = made(tmp_path)
    assert (one.name, one.sli.measure, one.days) == ("journey", "composite", 28)
    assert one.target == pytest.approx((3 * 0.99 + 0.95) / 4)
    assert [(each.name, each.weight, each.objective.target) for each in one.components] == [
        ("right", 3, 0.99),
        ("fast", 1, 0.95),
    ]
    assert one.components[1].objective.sli.max_ms == 500
    assert lint(tmp_path)[0]["objective"] == "journey"


def test_without_any_weight_they_are_objectives_of_their_own(tmp_path: Path) -> None:
    parts = (part("right", None), part("fast", None, 0.95, **FAST))
    found = read(folder(tmp_path, document(*parts)))[1].objectives
    assert [one.name for one in found] == ["journey/right", "journey/fast"]


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    one = made(tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    (back,) = read(folder(again, exported(tmp_path)))[1].objectives
    assert (back.target, [each.weight for each in back.components]) == (one.target, [3, 1])
    assert [each.objective.sli for each in back.components] == [each.objective.sli for each in one.components]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((part("right", 1),), "compositeWeight weighs several objectives, each with its indicator: this is one"),
        ((part("right", 0), part("fast", 1)), "compositeWeight must be over 0, not 0"),
        ((part("right", -2), part("fast", 1)), "compositeWeight must be over 0, not -2"),
        ((part("same", 1), part("same", 1)), "two objectives of a composite SLO have one name"),
        ((part("right", 1), part("late", 1, measure="quality")), "measure quality is known late"),
        ((part("right", 1), part("fast", 1, measure="latency")), "latency needs it"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, parts: tuple[dict[str, Any], ...], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        made(tmp_path, *parts)
    assert said in str(refused.value)


def test_our_own_kind_has_no_weights(tmp_path: Path) -> None:
    spec = {
        "service": "flights",
        "sli": {"measure": "errors"},
        "timeWindow": [{"duration": "28d", "isRolling": True}],
        "objectives": [{"target": 0.9, "compositeWeight": 1}, {"target": 0.8}],
    }
    own = {"apiVersion": "watchkeeper/v1", "kind": "Objective", "metadata": {"name": "x"}, "spec": spec}
    with pytest.raises(SettingsError, match="compositeWeight belongs to an SLO of openslo/v1"):
        read(folder(tmp_path, yaml.safe_dump(own)))
    spec |= {"sli": {"measure": "composite"}, "objectives": [{"target": 0.9}]}
    with pytest.raises(SettingsError, match="write one of openslo/v1"):
        read(folder(tmp_path, yaml.safe_dump(own)))


@pytest.fixture(scope="module")
def world() -> World:
    """30 days at 60 requests an hour; in the last two hours every second one fails, and one in ten is slow."""
    n = 30 * 24 * 60
    number = np.arange(n)
    lately = number >= n - 120
    frame = pl.DataFrame(
        {
            "ts": [START.replace(tzinfo=None) + timedelta(minutes=int(minute)) for minute in number],
            "ok": (~(lately & (number % 2 == 0))).astype(int),
            "latency_ms": np.where(lately & (number % 10 == 0), 900.0, 100.0),
        }
    )
    return World(now=day(30)).load(frame)


def test_its_burn_is_what_its_parts_spend_by_weight(world: World, tmp_path: Path) -> None:
    one = made(tmp_path)
    state = state_of(world.reader, Declarations(objectives=(one,)), one, day(30))
    hour = state.over(timedelta(hours=1))
    share = (3 * 0.5 + 0.1) / 4
    assert hour.share == pytest.approx(share)
    assert state.burn(hour) == pytest.approx(share / ((3 * 0.01 + 0.05) / 4))
    assert hour.rows == int(16 / (9 / 60 + 1 / 60))
    whole = 28 * 24 * 60
    assert state.spent == pytest.approx((3 * 60 + 12) / whole / (3 * 0.01 + 0.05))


def test_it_pages_and_names_the_part_that_burns_most(world: World, tmp_path: Path) -> None:
    one = made(tmp_path)
    (found,) = world.findings(burn_rate.ANALYZER, day(30), Declarations(objectives=(one,)))
    assert found.severity is Severity.PAGE
    assert found.subjects == ("composite", "journey", "right", "fast")
    assert found.summary.startswith(
        "flights: 40.0 % of weighted events missed journey in the last 1 h, most of it right (50.0 % bad); "
    )
    assert found.evidence.snapshot["parts"] == {
        "right": {"weight": 3.0, "target": 0.99, "bad": 30, "total": 60},
        "fast": {"weight": 1.0, "target": 0.95, "bad": 6, "total": 60},
    }
    assert found.budget is not None
    assert found.budget.burn == found.observed == burn_rate.ANALYZER.recompute(found.evidence.snapshot)
    assert len(found.examples) == 3


def test_its_budget_has_steps_and_its_page_says_how_the_parts_stand(world: World, tmp_path: Path) -> None:
    one = made(tmp_path)
    (found,) = world.findings(
        budget.ANALYZER,
        day(30),
        Declarations(objectives=(replaced(one, budget_policy=[BudgetStep(at=0.05, do="ticket")]),)),
    )
    assert "weighted events" in found.summary
    slo = told(world.reader, state_of(world.reader, Declarations(objectives=(one,)), one, day(30)))
    assert (slo.measure, slo.state) == ("composite", "burning")
    assert "right (weight 3): 99.85 % good of 40320, target 99 %" in slo.reasons


def test_a_part_without_events_leaves_the_burn_to_the_others() -> None:
    right = component("right", 3, 0.99)
    fast = component("fast", 1, 0.95)
    both = (3 * 0.01 + 0.05) / 4
    found = weighed([(right, Count(2, 100)), (fast, Count(0, 0))], both)
    assert found.share / both == pytest.approx(2.0)
    assert found.rows == 100
    assert weighed([(right, Count(0, 0)), (fast, Count(0, 0))], both) == Count(0, 0)


def component(name: str, weight: float, target: float) -> Component:
    return Component(
        name=name,
        weight=weight,
        objective=Objective(name=name, service="s", sli=Sli(measure="errors"), target=target, days=28),
    )


def replaced(one: Objective, **more: object) -> Objective:
    return type(one)(**{name: getattr(one, name) for name in one.__struct_fields__} | more)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 50), st.integers(1, 5000)), min_size=1, max_size=6))
def test_equal_targets_give_the_mean_share_and_no_more_events_than_there_were(
    parts: list[tuple[float, int, int]],
) -> None:
    counts = [(component("x", weight, 0.9), Count(min(bad, n), n)) for weight, bad, n in parts]
    found = weighed(counts, 0.1)
    mean = sum(one.weight * count.share for one, count in counts) / sum(one.weight for one, _ in counts)
    assert found.share == pytest.approx(mean, abs=1e-9)
    assert 1 <= found.rows <= sum(count.rows for _, count in counts)
    assert 0 <= found.affected <= found.rows
