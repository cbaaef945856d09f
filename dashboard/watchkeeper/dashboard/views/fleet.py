"""Fleet health: is everything all right? One sentence, four numbers, every model, the worst first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, cast

import streamlit as st

from watchkeeper.dashboard import asked, cached, charts, links, problem, rows, series, state, summary, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.charts import Limit, Line, Mark, Unit
from watchkeeper.dashboard.client import Client
from watchkeeper.dashboard.parts import cards
from watchkeeper.dashboard.summary import ModelRow
from watchkeeper.dashboard.views import start

REFRESH = 30
"""Seconds between two looks."""
NOT_YET = "not analyzed yet"
OPEN, FIRST = "fleet_open", "fleet_first"
HEAD_START = 0.45
"""Seconds, on the first visit of a session only."""


class Clicked(Protocol):
    """What Streamlit tells of a click in the table."""

    row: int


def page() -> None:
    """Show the page; it looks again by itself."""
    _look()


@st.fragment(run_every=REFRESH)
def _look() -> None:
    with problem.told():
        head = cached.answer(asked.head)
        if head.status.empty:
            start.empty()
        else:
            _show(head)


def _show(head: asked.Head) -> None:
    """Show the sentence before the numbers are there: an open incident needs none of them."""
    status = head.status
    st.title("Fleet health", anchor=False)
    parts = (
        fmt.plural(len(status.services), "service"), f"last {asked.FLEET.days} days", verdict.completeness(status),
        verdict.usefulness(cached.answer(Client.alert_quality)), f"updates every {REFRESH}{fmt.THIN}s",
    )  # fmt: skip
    st.caption(" · ".join(parts))
    if head.incidents:
        cards.sentence(verdict.fleet(head, None))
    numbers = cached.answer(asked.fleet, status.now)
    if not head.incidents:
        cards.sentence(verdict.fleet(head, numbers))
    models = summary.models(head, numbers)
    first = st.session_state.get(FIRST, True)
    _numbers(head, numbers, models)
    table = st.container()
    marks = [Mark(fmt.epoch_ms(change.ts), change.title or change.kind) for change in numbers.changes]
    _let_draw(first)
    left, right = st.columns(2)
    with left:
        _latency(numbers, models, marks)
    with right:
        _drift(numbers, models, marks, late=verdict.behind(status))
    with table:
        _let_draw(first)
        _table(head, models)
    st.session_state[FIRST] = False
    if unknown := verdict.not_known(head, numbers):
        st.caption(f":material/help: **Not known:** {fmt.literal('; '.join(unknown))}.")
    cards.notes(status.notes)


def _let_draw(first: bool) -> None:
    """Let the browser draw what it has before it gets more: else all charts are done late, together."""
    if first:
        time.sleep(HEAD_START)


def _numbers(head: asked.Head, numbers: asked.Fleet, models: Sequence[ModelRow]) -> None:
    late = NOT_YET if verdict.behind(head.status) else None
    with st.grid(4, min_column_width=165):
        _requests(numbers)
        _worst_latency(numbers, models)
        _worst_budget(models, late or "no objective")
        _cost(models, verdict.currency(head.declared), late or "no price")


def _requests(numbers: asked.Fleet) -> None:
    whole = sum(row.requests or 0 for row in numbers.week)
    before = sum(row.requests or 0 for row in numbers.before)
    course = summary.requests_course(numbers)
    st.metric(
        f"Requests, {asked.FLEET.days} days", fmt.number(whole), fmt.relative(whole, before), delta_color="off",
        delta_description="vs week before" if before else None, border=True,
        chart_data=series.thinned(course), help="All predictions and LLM requests of all services, errors included.",
    )  # fmt: skip


def _worst_latency(numbers: asked.Fleet, models: Sequence[ModelRow]) -> None:
    worst = max((m for m in models if m.share_now is not None), key=lambda m: m.share_now or 0.0, default=None)
    how = (
        "The 95th percentile of the last 24 h, divided by the latency objective: above 100 % the objective is missed. "
        "The change is against all 7 days. "
        "Percentiles come from logarithmic buckets and are at most 1 % off."
    )
    if worst is None:
        _unknown("p95 latency, worst", "no latency objective", how)
        return
    week = next((row.latency_p95_ms for row in numbers.week if (row.service, row.model) == worst.key), None)
    change = (worst.share_now or 0.0) - week / worst.limit if week is not None and worst.limit else None
    st.metric(
        "p95 vs objective, worst", fmt.percent(worst.share_now), None if change is None else fmt.points(change),
        delta_color="orange" if worst.slow else "off", delta_description=fmt.literal(worst.name), border=True,
        chart_data=series.thinned([value for _, value in worst.share]), help=how,
    )  # fmt: skip


def _worst_budget(models: Sequence[ModelRow], otherwise: str) -> None:
    worst = min((m for m in models if m.budget is not None), key=lambda m: m.budget or 0.0, default=None)
    how = (
        "The error budget is what an objective allows to go wrong over its window. Left is 1 minus the share that is "
        "used; below 0 % the objective is missed. The change is over 7 days."
    )
    if worst is None:
        _unknown("Error budget left, worst", otherwise, how)
        return
    course = [value for _, value in worst.budget_course if value is not None]
    trouble = (worst.budget or 0.0) < 0 or bool(worst.incidents)
    st.metric(
        "Error budget left, worst", fmt.percent(worst.budget), fmt.points(course[-1] - course[0]),
        delta_color="orange" if trouble else "off", delta_description=fmt.literal(worst.name), border=True,
        chart_data=series.thinned(course), help=how,
    )  # fmt: skip


def _cost(models: Sequence[ModelRow], currency: str, otherwise: str) -> None:
    now, course = summary.fleet_cost(models)
    priced = sum(model.per_thousand is not None for model in models)
    how = (
        f"Cost of the {priced} of {len(models)} models whose cost is known, over their requests: as the services sent "
        "it, or from tokens and the declared prices."
    )
    if now is None:
        _unknown("Cost per 1k requests", otherwise, how)
        return
    change = fmt.relative(course[-1], course[0]) if len(course) > 1 else None
    st.metric(
        "Cost per 1k requests", fmt.money(now, currency), change, delta_color="off",
        delta_description="in 7 days" if change else None, border=True, chart_data=series.thinned(course), help=how,
    )  # fmt: skip


def _unknown(label: str, why: str, how: str) -> None:
    st.metric(label, fmt.UNKNOWN, why, delta_color="off", delta_arrow="off", border=True, height="stretch", help=how)


def _table(head: asked.Head, models: Sequence[ModelRow]) -> None:
    """Show every model, the worst first; the last column opens it."""
    symbol = fmt.symbol(verdict.currency(head.declared))
    column = st.column_config
    st.dataframe(  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's
        [_cells(model) for model in models],
        hide_index=True,
        height="content" if len(models) <= 15 else 36 * 16,
        placeholder=fmt.UNKNOWN,
        alt=f"{len(models)} models, the worst first: " + "; ".join(f"{m.name} {m.state}" for m in models[:10]),
        column_config={
            "state": column.MultiselectColumn(
                "State", options=list(verdict.STATES), help=verdict.STATES_HELP, width=96,
                color=[verdict.tone_of(word) for word in verdict.STATES],
            ),
            "service": column.TextColumn("Service", width=140),
            "model": column.TextColumn("Model", width=110),
            "budget": column.ProgressColumn(
                "Error budget left", format=f"%.0f{fmt.THIN}%%", min_value=0, max_value=100, color="gray", width=130,
                help="The service's objective that has least left.",
            ),
            "course": column.LineChartColumn(
                "p95, 7 d", color="gray", y_min=0.4, y_max=1.8, width=110, help="Relative to its median of the week."
            ),
            "p95": column.NumberColumn("p95, 24 h", format=f"%.0f{fmt.THIN}ms", width=80),
            "drift": column.NumberColumn(
                "Drift", format="%.2f", width=60,
                help="Largest PSI of any input, the score or the prediction. From 0.2 on it is much; it alerts nobody.",
            ),
            "error": column.TextColumn(
                "Wrong answers", width=130, help="Share of wrong answers, and how many outcomes are known."
            ),
            "cost": column.NumberColumn(f"{symbol} / 1k", format=f"{symbol}%.2f", width=70),
            "open": column.ButtonColumn("", key=OPEN, type="tertiary", width=60),
        },
    )  # fmt: skip
    clicked = cast("Clicked | None", st.session_state.get(OPEN))
    if clicked is not None and clicked.row < len(models):
        links.go(links.MODEL, state.parameters(model=models[clicked.row].key))


def _cells(model: ModelRow) -> dict[str, object]:
    return {
        "state": [model.state],
        "service": model.key[0],
        "model": model.key[1],
        "budget": None if model.budget is None else model.budget * 100,
        "course": series.relative_to_median([value for _, value in model.latency]),
        "p95": model.p95,
        "drift": model.drift_now,
        "error": _error(model.error),
        "cost": model.per_thousand,
        "open": "Open",
    }


def _error(reading: rows.Reading | None) -> str | None:
    if reading is None:
        return None
    known = f" · {fmt.percent(reading.maturity)} known" if reading.maturity is not None else ""
    return f"{fmt.percent(reading.value)}{known}"


def _latency(numbers: asked.Fleet, models: Sequence[ModelRow], marks: Sequence[Mark]) -> None:
    title, question = "Latency against its objective", "How close is each model's p95 to what its service promises?"
    promised = [model for model in models if model.share]
    if not promised:
        cards.nothing(title, question, "No service has declared a latency objective.")
        return
    lines = [Line(model.name, model.share, "trouble" if model.slow else "context") for model in promised]
    spec = charts.over_time(lines, numbers.span, Unit.SHARE, limit=Limit(1.0, "objective"), marks=marks, kind="models")
    how = "p95 of every 6 h, divided by the latency that the service's objective promises."
    cards.chart(title, question, how, spec, _alt(title, lines, Unit.SHARE))


def _drift(numbers: asked.Fleet, models: Sequence[ModelRow], marks: Sequence[Mark], *, late: bool) -> None:
    title, question = "Largest input drift", "Which model's inputs have moved most from their reference (PSI)?"
    moving = [model for model in models if model.drift]
    if not moving:
        why = "No model has a reference yet: it is kept after the first days of traffic."
        cards.nothing(title, question, "Not analyzed yet." if late else why)
        return
    lines = [
        Line(
            f"{model.name} · {model.drift[-1].subject}" if model.drifted else model.name,
            series.reading_points(model.drift), "trouble" if model.drifted else "context",
        )
        for model in moving
    ]  # fmt: skip
    spec = charts.over_time(
        lines, numbers.span, Unit.PLAIN, limit=Limit(series.DRIFT_MUCH, "much"), marks=marks, kind="models"
    )
    how = (
        "The population stability index of the feature that moved most, over seven days against the kept reference. "
        "Inputs move with seasons: PSI by itself alerts nobody, the verdict decides."
    )
    cards.chart(title, question, how, spec, _alt(title, lines, Unit.PLAIN))


def _alt(title: str, lines: Sequence[Line], unit: Unit) -> str:
    ends = "; ".join(f"{line.name} {unit.words(line.last)}" for line in lines)
    return f"{title}, last 7 days. Now: {ends}."
