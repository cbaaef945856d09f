"""Model: how one model does. Rate, errors, duration, quality, cost and inputs on one time axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import streamlit as st

from watchkeeper.dashboard import asked, cached, charts, problem, rows, series, state, summary, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.charts import Limit, Line, Mark, Tone, Unit
from watchkeeper.dashboard.parts import cards, closer, inputs
from watchkeeper.dashboard.series import Key
from watchkeeper.dashboard.views import start

REFRESH = 30
MODEL, WINDOW = "chosen_model", "chosen_window"
LABELS = 100
"""Pixels beside each plot for its labels: the same everywhere, so that the time axes agree."""
WINDOW_NAMES = {"7d": "7 d", "28d": "28 d", "90d": "90 d", "all": "all"}


@dataclass(frozen=True)
class View:
    """What every chart of the page needs."""

    key: Key
    head: asked.Head
    found: asked.Model
    incidents: tuple[rows.Incident, ...]
    marks: tuple[Mark, ...]
    currency: str

    def chart(
        self,
        title: str,
        question: str,
        how: str,
        lines: Sequence[Line],
        unit: Unit,
        limit: Limit | None = None,
        least_top: float = 0.0,
        otherwise: str = "Nothing in this window.",
    ) -> None:
        """Show lines on the time axis that all charts of the page share."""
        if not any(line.points for line in lines):
            cards.nothing(title, question, otherwise)
            return
        spec = charts.over_time(
            lines,
            self.found.span,
            unit,
            limit=limit,
            marks=self.marks,
            currency=self.currency,
            least_top=least_top,
            room=LABELS,
        )
        ends = "; ".join(f"{line.name} {unit.words(line.last, self.currency)}" for line in lines)
        cards.chart(title, question, how, spec, f"{title} of {self.key[1]}. Now: {ends}.")


def page() -> None:
    """Show the page; it looks again by itself."""
    _look()


@st.fragment(run_every=REFRESH)
def _look() -> None:
    with problem.told():
        head = cached.answer(asked.head)
        if head.status.empty:
            start.empty()
            return
        known = {(row.service, row.model): row for row in cached.answer(asked.models, head.status.now)}
        key, window = _chosen(known)
        first = known[key].first_ts or head.status.now - asked.FLEET
        found = cached.answer(asked.model, *key, asked.WINDOWS[window], head.status.now, first, closer.ANALYZERS)
        _show(head, key, found)


def _chosen(known: dict[Key, rows.Overview]) -> tuple[Key, str]:
    """Let the reader choose model and window; the choice stands in the URL."""
    names = series.names(known)
    params = state.asked_for()
    keys = list(known)
    asked_for = state.model_of(params, names)
    before = asked_for or keys[0]
    state.show(MODEL, before)
    state.show(WINDOW, state.window_of(params))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = st.selectbox("Model", keys, format_func=" · ".join, width=320, key=MODEL, on_change=_choose_model)
        window = st.segmented_control(
            "Window", list(asked.WINDOWS), format_func=cards.choice_of(WINDOW_NAMES), required=True, key=WINDOW,
            on_change=_choose_window,
        )  # fmt: skip
    if asked_for is None and (wanted := params.get("model") or params.get("service")):
        st.warning(f"There is no model {fmt.literal(wanted)}: this is {fmt.literal(' · '.join(key))}.")
    return key, window or state.DEFAULT_WINDOW


def _choose_model() -> None:
    state.choose(model=state.model_text(cast("Key", st.session_state[MODEL])), service=None, feature=None)


def _choose_window() -> None:
    state.choose(window=str(st.session_state[WINDOW]))


def _show(head: asked.Head, key: Key, found: asked.Model) -> None:
    status, owner = head.status, verdict.owners(head.declared).get(key[0])
    overview = found.overview
    st.title(fmt.literal(key[0] if key[0] == key[1] else f"{key[0]} · {key[1]}"), anchor=False)
    parts = [
        f"version {overview.model_version}" if overview and overview.model_version else "",
        f"by {overview.provider}" if overview and overview.provider else "",
        f"owned by {owner.owner}" if owner and owner.owner else "no declared owner",
        fmt.days(*found.span),
        verdict.completeness(status),
    ]
    st.caption(fmt.literal(" · ".join(part for part in parts if part)))
    incidents = verdict.of_model(head.incidents, key)
    worst = incidents[0] if incidents else None
    if worst is not None and head.worst is not None and head.worst.id == worst.id:
        worst = head.worst
    if worst is not None:
        cards.sentence(verdict.of_incident(worst, status.now, len(incidents) - 1))
    view = View(key, head, found, tuple(incidents), _marks(found, worst), verdict.currency(head.declared))
    _numbers(view)
    for pair in ((_rate, _errors), (_duration, _budget), (_quality, _cost)):
        for column, chart in zip(st.columns(2), pair, strict=True):
            with column:
                chart(view)
    closer.show(found.looks)
    inputs.show(found, incidents, view.marks, worst if isinstance(worst, rows.IncidentStory) else None)


def _marks(found: asked.Model, worst: rows.Incident | None) -> tuple[Mark, ...]:
    """Mark what was changed on purpose, and where the worst open incident began."""
    marks = [Mark(fmt.epoch_ms(change.ts), change.title or change.kind) for change in found.changes]
    if worst is not None:
        marks.append(Mark(fmt.epoch_ms(worst.began), "onset", strong=True))
    return tuple(marks)


def _numbers(view: View) -> None:
    now, before = view.found.overview, view.found.before
    if now is None:
        return
    errors = series.share(now.errors, now.requests)
    cost, cost_before = _costs(view)
    errors_before = series.share(before.errors, before.requests) if before else None
    change = fmt.points(errors - errors_before) if errors is not None and errors_before is not None else None
    with st.grid(5, min_column_width=150):
        cards.number(
            "Requests",
            fmt.number(now.requests or 0.0),
            fmt.relative(now.requests, before and before.requests),
            "All of this window, against the window of the same length before.",
        )
        cards.number("Failed requests", fmt.percent(errors), change, "Requests with status error, as a share of all.")
        cards.number(
            "p95 latency",
            fmt.milliseconds(now.latency_p95_ms),
            fmt.relative(now.latency_p95_ms, before and before.latency_p95_ms),
            "At most 1 % off.",
        )
        cards.number_beside(
            "Wrong answers",
            *_wrong(view.found.quality),
            how="Among the answers whose outcome is known by now. Young outcomes may differ from late ones.",
        )
        cards.number(
            "Cost per 1k requests", fmt.money(None if cost is None else cost * 1000, view.currency),
            fmt.relative(cost, cost_before),
            "Sent by the service, or from the declared prices.",
        )  # fmt: skip
    if now.rows is not None and now.requests is not None and now.rows != now.requests:
        st.caption(
            f"The service samples: requests, failures, latency and cost are estimated from {fmt.number(now.rows)} rows "
            "that came, each by its weight. Answers and inputs are of those rows."
        )


def _wrong(days: Sequence[rows.Quality]) -> tuple[str, str | None]:
    """Say how many answers were wrong, and how many outcomes that rests on."""
    made, known = sum(day.predictions or 0 for day in days), sum(day.known or 0 for day in days)
    wrong = series.share(
        sum(day.wrong or 0 for day in days), sum((day.wrong or 0) + (day.correct or 0) for day in days)
    )
    return fmt.percent(wrong), f"{fmt.percent(series.share(known, made))} of outcomes known" if known else None


def _rate(view: View) -> None:
    found, now = view.found, view.found.span[1]
    points = series.traffic_line(found.traffic, _rate_of(found.step, now), found.step, found.span)
    how = f"Predictions and requests an hour, in steps of {fmt.duration(found.step)}."
    view.chart("Rate", "How much is asked of it?", how, [Line("per hour", points, "ink")], Unit.COUNT)


def _rate_of(step: timedelta, now: datetime) -> Callable[[rows.Traffic], float]:
    return lambda row: series.rate_per_hour(row, step, now)


def _errors(view: View) -> None:
    kinds = {"failed": "errors", "too late": "late", "failed checks": "check_failures"}
    found = view.found
    lines = [
        Line(
            words,
            series.traffic_line(found.traffic, _share_of(name), found.step, found.span),
            "ink" if name == "errors" else "context",
        )
        for words, name in kinds.items()
        if name == "errors" or any(getattr(row, name) for row in found.traffic)
    ]
    how = "Shares of all requests: with status error, used after the answer was needed, and with a failed check."
    view.chart("Errors", "How many requests fail?", how, lines, Unit.SHARE, least_top=0.01)


def _share_of(name: str) -> Callable[[rows.Traffic], float | None]:
    return lambda row: series.share(cast("float | None", getattr(row, name)), row.requests)


def _duration(view: View) -> None:
    found, slow = view.found, any(summary.ABOUT_LATENCY & set(one.subjects) for one in view.incidents)
    quantiles = {"p99": "latency_p99_ms", "p95": "latency_p95_ms", "p50": "latency_p50_ms"}
    lines = [
        Line(
            words,
            series.traffic_line(found.traffic, _number(name), found.step, found.span),
            "context" if words != "p95" else "trouble" if slow else "ink",
        )
        for words, name in quantiles.items()
    ]
    promised = series.latency_limit(view.head.declared.objectives, view.key)
    how = (
        "Percentiles of each step, from logarithmic buckets: at most 1 % off. The objective is the service's strictest."
    )
    limit = Limit(promised, "objective") if promised else None
    view.chart("Duration", "How long do the slower requests take?", how, lines, Unit.MILLISECONDS, limit)


def _number(name: str) -> Callable[[rows.Traffic], float | None]:
    return lambda row: cast("float | None", getattr(row, name))


def _budget(view: View) -> None:
    troubled = {subject for incident in view.incidents for subject in incident.subjects}
    courses: dict[str, list[rows.Reading]] = {}
    for reading in view.found.budgets:
        courses.setdefault(reading.subject, []).append(reading)
    short = series.without_prefix(courses)
    lines = [
        Line(
            short[name],
            series.strided(series.reading_points(course)),
            "trouble" if name in troubled or (course[-1].value or 0.0) < 0 else "ink",
        )
        for name, course in courses.items()
    ]
    how = "1 minus the used share of what each objective allows to go wrong in its window. Below 0 % it is missed."
    view.chart(
        "Error budget left",
        "How much may still go wrong?",
        how,
        lines,
        Unit.SHARE,
        least_top=1.0,
        otherwise="No objective is declared for this service.",
    )


def _quality(view: View) -> None:
    found = series.quality(view.found.states)
    drifted = any("error" in one.subjects for one in view.incidents)
    lines = [Line("final", found.final, "trouble" if drifted else "ink")] if found.final else []
    lines += [Line("partly known", found.partial, "muted", faint=True)] if found.partial else []
    lines += [Line("estimated", found.estimated, "context", faint=True)] if found.estimated else []
    how = (
        "Wrong answers in the week that ends with each day. Final: nearly all outcomes that will come are known, by "
        "their usual delay. Dashed: partly known, which may still change and alerts nobody while it is immature, and "
        "what the scores lead one to expect meanwhile."
    )
    question = "How often is it wrong, and how final is that?"
    view.chart("Quality", question, how, lines, Unit.SHARE, otherwise="Too few outcomes are known in this window.")
    if view.found.delays:
        st.caption(fmt.literal(" ".join(series.delay_words(view.found.delays))))


def _costs(view: View) -> tuple[float | None, float | None]:
    """Give the cost of a request now and before: as sent, else as read from the declared prices (first, last)."""
    sent = summary.cost_per_request(view.found.overview)
    if sent is not None:
        return sent, summary.cost_per_request(view.found.before)
    read = [one.value for one in sorted(view.found.costs, key=lambda one: one.window_end) if one.value is not None]
    return (read[-1], read[0]) if read else (None, None)


def _cost(view: View) -> None:
    found = view.found
    sent = series.traffic_line(found.traffic, summary.cost_per_request, found.step, found.span)
    known = sent if any(value is not None for _, value in sent) else series.reading_points(found.costs)
    points = tuple((at, None if value is None else value * 1000) for at, value in known)
    tone: Tone = "trouble" if any("cost" in one.subjects for one in view.incidents) else "ink"
    how = "As the service sent it, in steps; else from its tokens and the declared prices, over seven days."
    view.chart(
        "Cost per 1k requests", "What does a thousand requests cost?", how,
        [Line("cost", series.strided(points), tone)] if points else [], Unit.MONEY,
        otherwise="No cost is known: send `cost` or token counts, and declare prices.",
    )  # fmt: skip
