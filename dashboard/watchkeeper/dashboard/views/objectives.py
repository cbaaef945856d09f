"""Objectives: are the promises kept, what is left of each budget, and what is not known? A wall, and one in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import streamlit as st
from streamlit import column_config as column

from watchkeeper.dashboard import asked, cached, charts, links, problem, promises, rows, series, state, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.charts import Limit, Line, Unit
from watchkeeper.dashboard.parts import cards
from watchkeeper.dashboard.views import start

if TYPE_CHECKING:
    from watchkeeper.dashboard.views.fleet import Clicked

REFRESH = 30
OPEN = "open_objective"
WORDS = {
    "exhausted": "Budget spent", "burning": "Burning", "slow_burn": "Creeping up", "no_data": "No data",
    "not_measurable": "Not measurable", "ok": "Kept",
}  # fmt: skip
TROUBLE = frozenset({"exhausted", "burning", "slow_burn"})
OF = {"Occurrences": "of all events", "Timeslices": "of all time slices"}
GATES = {"open": "Deployments may go on.", "closed": "Deployments wait.", "unknown": "Nobody knows."}
HEALTH = {
    "missing": "No fallback is named", "unwatched": "not a service that reports here, so not watched",
    "unproven": "no request in 28 days: not proven", "failing": "fails itself", "ok": "well in the last day",
}  # fmt: skip


def page() -> None:
    """Show the page; it looks again by itself."""
    _look()


@st.fragment(run_every=REFRESH)
def _look() -> None:
    with problem.told():
        found = cached.answer(asked.objectives)
        if found.status.empty:
            start.empty()
        else:
            _show(found)


def _show(found: asked.Promised) -> None:
    wanted = state.asked_for().get("slo")
    chosen = next((one for one in found.slos.slos if one.name == wanted), None)
    st.title("Objectives", anchor=False)
    st.caption(f"{verdict.completeness(found.status)} · updates every {REFRESH}{fmt.THIN}s")
    cards.sentence(_verdict(found.slos.slos))
    if chosen is not None:
        _detail(chosen, found)
        st.button("Close", type="tertiary", icon=":material/close:", on_click=state.choose, kwargs={"slo": None})
    elif wanted:
        st.warning(f"There is no objective {fmt.literal(wanted)}: these are all that are in force.")
    _wall(found)


def _verdict(slos: Sequence[promises.Slo]) -> verdict.Verdict:
    """Say the worst in one sentence."""
    bad = [one for one in slos if one.state in TROUBLE]
    unknown = [one for one in slos if one.state in {"no_data", "not_measurable"}]
    facts = f"{fmt.plural(len(slos), 'objective')}, {len(unknown)} of them not known" if unknown else ""
    if not bad:
        kept = len(slos) - len(unknown)
        return verdict.Verdict("Healthy" if kept else "Quiet", f"{kept} of {len(slos)} objectives are kept.", facts)
    worst = bad[0]
    left = "" if worst.budget_left is None else f", {_left(worst.budget_left)}"
    more = f"; {len(bad) - 1} more in trouble" if len(bad) > 1 else ""
    what = f"{WORDS[worst.state].lower()}{left}"
    if worst.state == "exhausted" and worst.budget_left is not None:
        what = _left(worst.budget_left)
    said = f"{fmt.literal(worst.name)} of **{fmt.literal(worst.service)}**: {what}{more}."
    return verdict.Verdict("Over budget" if worst.state == "exhausted" else "Degrading", said, facts)


def _wall(found: asked.Promised) -> None:
    slos = found.slos.slos
    cards.heading(
        "All objectives", "Which promise is worst off?", "The worst first: spent, burning, creeping, unknown."
    )
    st.dataframe(  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's
        [_cells(one) for one in slos],
        hide_index=True,
        height="content" if len(slos) <= 15 else 36 * 16,
        alt=f"Objectives: {len(slos)}",
        column_config={
            "state": column.MultiselectColumn(
                "State", options=list(WORDS.values()), width=110,
                color=["orange" if state in TROUBLE else "gray" for state in WORDS],
            ),
            "objective": column.TextColumn("Objective", width=165),
            "service": column.TextColumn("Service", width=100),
            "kept": column.TextColumn("Kept (interval)", width=165),
            "promised": column.TextColumn("Promised", width=66),
            "left": column.ProgressColumn(
                "Budget left", format=f"%.0f{fmt.THIN}%%", min_value=0, max_value=100, color="gray", width=110
            ),
            "gate": column.TextColumn("Gate", width=64, help="May deployments go on? open, closed, or nobody knows."),
            "open": column.ButtonColumn("", key=OPEN, type="tertiary", width=56),
        },
    )  # fmt: skip
    clicked = cast("Clicked | None", st.session_state.get(OPEN))
    if clicked is not None and clicked.row < len(slos):
        links.go(links.OBJECTIVES, {"slo": slos[clicked.row].name})


def _cells(one: promises.Slo) -> dict[str, object]:
    return {
        "state": [WORDS.get(one.state, one.state)],
        "objective": one.name,
        "service": one.service,
        "kept": _kept(one),
        "promised": _exact(one.target),
        "left": None if one.budget_left is None else 100 * one.budget_left,
        "gate": one.gate,
        "open": "Open",
    }


def _left(share: float) -> str:
    """Say what is left of a budget.

    >>> _left(0.4), _left(-0.14)
    ('40\u2009% of its budget is left', 'its budget is overspent by 14\u2009%')
    """
    if share < 0:
        return f"its budget is overspent by {fmt.percent(-share)}"
    return f"{fmt.percent(share)} of its budget is left"


def _exact(share: float) -> str:
    """Write a share as near to 1 as promises are: 99.95 % is not 100 %.

    >>> _exact(0.9995), _exact(0.95), _exact(1.0)
    ('99.95\u2009%', '95\u2009%', '100\u2009%')
    """
    return f"{100 * share:.4g}{fmt.THIN}%"


def _kept(one: promises.Slo) -> str:
    if one.sli is None or one.sli_lower is None or one.sli_upper is None:
        return fmt.UNKNOWN
    return f"{_exact(one.sli)} ({100 * one.sli_lower:.4g} to {100 * one.sli_upper:.4g})"


def _detail(one: promises.Slo, found: asked.Promised) -> None:
    st.subheader(fmt.literal(one.name), anchor=False)
    said = f"{fmt.literal(fmt.ended(one.description))} " if one.description else ""
    st.caption(f"{said}{fmt.literal(_promise(one))}")
    with st.grid(4, min_column_width=165):
        cards.number("Promised", _exact(one.target), None, _promise(one))
        how = "The share of good events in the window. The interval is Wilson's, 95 %."
        cards.number("Kept", fmt.UNKNOWN if one.sli is None else _exact(one.sli), None, how)
        how = "1 minus the used share of what may be bad. Below 0 % the objective is missed."
        left = fmt.UNKNOWN if one.budget_left is None else fmt.percent(one.budget_left)
        cards.number("Error budget left", left, None, how)
        how = "May a deployment go on? The budget policy says, or the budget: `watchkeeper gate` asks for a pipeline."
        cards.number_beside("Gate", one.gate, GATES.get(one.gate), how)
    _budget(one, found)
    _burns(one)
    _facts(one, found)


def _promise(one: promises.Slo) -> str:
    zone = f", calendar of {one.zone}" if one.zone else ", rolling"
    what = OF.get(one.method, f"by {one.method}")
    span = f"{fmt.days(one.start, one.end)}{zone}"
    return f"Promised: {_exact(one.target)} {what}, {span}; about {fmt.number(one.per_hour)} events an hour."


def _budget(one: promises.Slo, found: asked.Promised) -> None:
    title, question = "Error budget", "What share of the budget is left over time?"
    course = _course(one, found)
    if not course:
        cards.nothing(title, question, "Nothing was kept yet: readings come every quarter of an hour.")
        return
    line = Line(one.name, series.reading_points(course), "trouble" if one.state in TROUBLE else "context")
    spec = charts.over_time([line], found.span, Unit.SHARE, limit=Limit(0.0, "spent"), kind="budgets")
    alt = f"Error budget of {one.name} over 28 days. Now: {Unit.SHARE.words(line.last)}."
    cards.chart(title, question, "1 minus the used share of what the objective allows to go wrong.", spec, alt)


def _course(one: promises.Slo, found: asked.Promised) -> list[rows.Reading]:
    return [reading for reading in found.budgets if reading.subject == one.name and reading.service == one.service]


def _burns(one: promises.Slo) -> None:
    how = "1 is just on budget. A rule fires when the whole interval and a shorter window are over its limit."
    cards.heading("Burn rate", "How fast does the budget go, by window?", how)
    if not one.burn:
        st.caption("Nothing was counted in the window.")
        return
    st.dataframe(  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's
        [
            {
                "window": burn.window,
                "burn": f"{burn.burn:.2g} ({burn.lower:.2g} to {burn.upper:.2g})",
                "alerts from": f"{burn.limit:.3g}",
                "events": burn.n,
                "alert": burn.severity,
                "now": "fires" if burn.fires else "quiet" if burn.can_fire else "can never fire",
            }
            for burn in one.burn
        ],
        hide_index=True,
        alt=f"Burn rates: {len(one.burn)}",
    )


def _facts(one: promises.Slo, found: asked.Promised) -> None:
    with st.grid(2, min_column_width=260):
        why = [*map(fmt.literal, one.reasons)]
        if one.n:
            allowed = fmt.number(one.budget_allowed)
            why.append(f"{fmt.number(one.bad)} of {fmt.number(one.n)} were bad, {allowed} may be")
        if one.exhausted_at is not None and (one.budget_left or 0.0) > 0:
            why.append(f"at the last day's rate the budget is gone {fmt.clock(one.exhausted_at, found.slos.as_of)} UTC")
        cards.fact(
            f"{WORDS.get(one.state, one.state)}: why, and what is not known", "  \n".join(why) or "Nothing to add."
        )
        named = f"{fmt.literal(one.fallback.rstrip('.'))} — " if one.fallback else ""
        cards.fact("Fallback", f"{named}{HEALTH.get(one.fallback_health, one.fallback_health)}.")
        steps = [
            f"{'**due** ' if step.due else ''}at {fmt.percent(step.at)}: {step.do.replace('_', ' ')}"
            + (f" — {fmt.literal(step.what)}" if step.what else "")
            for step in one.policy
        ]
        cards.fact("Budget policy", "  \n".join(steps) or "None is declared: the gate closes when the budget is spent.")
        left_out = [
            f"{fmt.clock(work.start, one.end)} to {fmt.clock(work.end, one.end)}: "
            f"{fmt.literal(work.reason)} ({fmt.literal(work.author)})"
            for work in one.planned
        ]
        cards.fact("Left out as planned work", "  \n".join(left_out) or "Nothing.")
        if one.restated:
            lines = [
                f"told {fmt.clock(was.told_at, one.end)}: {fmt.percent(was.told_left)}, "
                f"by now {fmt.percent(was.now_left)}"
                for was in one.restated
            ]
            cards.fact("Restated, as outcomes came late", "  \n".join(lines))
