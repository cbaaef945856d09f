"""The inputs of a model against their reference: small multiples, the most moved first, and one feature in full."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from watchkeeper.dashboard import asked, charts, histograms, rows, series, state, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.charts import Limit, Line, Mark, Unit
from watchkeeper.dashboard.parts import cards

FIRST_SHOWN = 12
HOW = (
    "Grey: the reference. Colour: this window. PSI is the population stability index over the last seven days; "
    "about 0.02 is chance, over 0.2 is much. It is shown and alerts nobody: the verdict decides, against the kept "
    "first days."
)


def show(
    found: asked.Model,
    incidents: Sequence[rows.Incident],
    marks: Sequence[Mark],
    worst: rows.IncidentStory | None = None,
) -> None:
    """Show every input, the one that the URL names in full before the others."""
    st.subheader("Inputs", anchor=False)
    st.caption("How have the inputs, the score and the prediction moved from their reference?", help=HOW)
    bins: dict[str, list[rows.Bin]] = defaultdict(list)
    for one in found.bins:
        bins[one.feature].append(one)
    if not bins:
        st.caption("This model has no reference yet: it is kept after the first days of traffic.")
        return
    if against := found.bins[0].against:
        st.caption(f"Compared with {fmt.literal(against)}.")
    if worst is not None and not found.unseen:
        named = [new for finding in worst.findings for new in new_values(finding)]
        found = replace(found, unseen=tuple(rows.Unseen(feature=new.feature, value=new.value) for new in named))
    drift: dict[str, list[rows.Reading]] = defaultdict(list)
    for reading in sorted(found.drift, key=lambda one: one.window_end):
        drift[reading.subject].append(reading)
    troubled = verdict.troubled(incidents, worst)
    order = sorted(bins, key=lambda name: (name not in troubled, -_psi(drift[name]), name))
    chosen = state.asked_for().get("feature")
    if chosen and chosen not in bins:
        st.warning(f"There is no input {fmt.literal(chosen)} in this window.")
    if chosen in bins:
        _in_full(chosen, found, bins[chosen], drift[chosen], chosen in troubled, marks)
        st.button("Close", type="tertiary", icon=":material/close:", on_click=state.choose, kwargs={"feature": None})
        order.remove(chosen)
    with st.grid(3, min_column_width=250):
        for name in order[:FIRST_SHOWN]:
            _card(name, found, bins[name], _psi(drift[name]), name in troubled)
    if len(order) > FIRST_SHOWN:
        with st.expander(f"{len(order) - FIRST_SHOWN} more, moved less"), st.grid(3, min_column_width=250):
            for name in order[FIRST_SHOWN:]:
                _card(name, found, bins[name], _psi(drift[name]), name in troubled)


def _psi(course: Sequence[rows.Reading]) -> float:
    return (course[-1].value or 0.0) if course else 0.0


def _card(name: str, found: asked.Model, bins: Sequence[rows.Bin], psi: float, troubled: bool) -> None:
    with st.container(border=True, gap="xsmall", height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            name_of = f"**{fmt.literal(name)}**"
            st.button(name_of, key=f"input-{name}", type="tertiary", on_click=state.choose, kwargs={"feature": name})
            _chip(psi, troubled)
        _shown(name, found, bins, troubled)
        if words := _beside(name, found):
            st.caption(words)


def _chip(psi: float, troubled: bool) -> None:
    st.badge(
        f"PSI {psi:.2f}", color="orange" if troubled else "gray", icon=":material/warning:" if troubled else None,
        help="An open incident names it." if troubled else None,
    )  # fmt: skip


def _shown(name: str, found: asked.Model, bins: Sequence[rows.Bin], troubled: bool, height: int = 130) -> None:
    new = [one for one in found.unseen if one.feature == name]
    histogram(name, bins, new, troubled=troubled, height=height)


def histogram(name: str, bins: Sequence[rows.Bin], new: Sequence[rows.Unseen], *, troubled: bool, height: int) -> None:
    """Show how one feature is spread, now and in the reference."""
    bars, numeric = series.bars(bins, new)
    if not bars:
        st.caption("No values in this window.")
        return
    draw = histograms.histogram if numeric else histograms.categories
    most = max(bars, key=lambda bar: abs(bar.now - bar.reference))
    alt = (
        f"{name} now against its reference. Moved most: {most.label}, "
        f"{fmt.percent(most.now)} now, {fmt.percent(most.reference)} in the reference."
    )
    cards.draw(draw(bars, trouble=troubled, height=height), alt)


def new_values(finding: rows.Finding) -> list[rows.Unseen]:
    """Name the new value that a finding's snapshot holds."""
    value, many = finding.evidence.snapshot.get("value"), finding.evidence.snapshot.get("value_rows")
    if not isinstance(value, str) or not isinstance(many, int | float):
        return []
    return [rows.Unseen(feature=finding.subject, value=value, n=float(many))]


def _beside(name: str, found: asked.Model) -> str:
    """Say what no bar shows: new values by name, and what is missing, not a number, or out of range."""
    words: list[str] = []
    new = [one for one in found.unseen if one.feature == name]
    if new:
        listed = ", ".join(f"{one.value} ({fmt.number(one.n)})" if one.n else one.value for one in new[:5])
        words.append(f"never seen before: {listed}{' …' if len(new) > 5 else ''}")
    stats = next((one for one in found.features if one.feature == name), None)
    if stats is not None and stats.rows:
        for what, many in (
            ("missing", stats.missing), ("not a number", stats.nan), ("infinite", stats.infinite),
            ("of the wrong type", stats.mismatched), ("below the range", stats.below), ("above the range", stats.above),
        ):  # fmt: skip
            if many and many / stats.rows >= 0.001:
                words.append(f"{fmt.percent(many / stats.rows)} {what}")
        if stats.unseen and not any(one.n for one in new):
            words.append(f"{fmt.percent(stats.unseen / stats.rows)} never seen before")
    return fmt.literal("; ".join(words))


def _in_full(
    name: str,
    found: asked.Model,
    bins: Sequence[rows.Bin],
    course: Sequence[rows.Reading],
    troubled: bool,
    marks: Sequence[Mark],
) -> None:
    """Show one feature large: its distribution, and the course of its drift."""
    left, right = st.columns(2)
    with left.container(border=True, gap="xsmall", height="stretch"):
        cards.heading(fmt.literal(name), "How is it spread now (colour) and in the reference (grey)?", HOW)
        _shown(name, found, bins, troubled, height=180)
        if words := _beside(name, found):
            st.caption(words)
    with right:
        title, question = f"Drift of {fmt.literal(name)}", "How far has it moved from the reference, over time (PSI)?"
        if not course:
            cards.nothing(title, question, "Not measured in this window.")
            return
        line = Line("PSI", series.reading_points(course), "trouble" if troubled else "ink")
        spec = charts.over_time([line], found.span, Unit.PLAIN, limit=Limit(series.DRIFT_MUCH, "much"), marks=marks)
        cards.chart(title, question, HOW, spec, f"{title}, now {fmt.number(line.last)}.")
