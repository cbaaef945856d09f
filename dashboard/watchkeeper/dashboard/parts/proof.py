"""What proves an incident: the course of its reading, the rows behind it, what changed, and the frozen numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import cast

import streamlit as st

from watchkeeper.dashboard import asked, cached, charts, problem, rows, series, state, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.charts import Limit, Line, Mark, Unit
from watchkeeper.dashboard.client import Client
from watchkeeper.dashboard.parts import cards, inputs

HEIGHT = 220
NEAR = timedelta(days=3)
"""A change this close to the onset is a candidate for its cause."""
METRICS = {
    "unseen_share": "Share of rows with a value never seen before",
    "missing_share": "Share of rows without a value",
    "out_of_range_share": "Share of rows outside the reference's range",
    "error_rate": "Share of wrong answers",
    "accuracy_gap": "Accuracy that came true, less what was estimated",
    "strength": "Strength of the change",
    "psi": "Drift (PSI)",
    "jensen_shannon": "Drift (Jensen-Shannon)",
    "burn_rate": "Burn rate of the error budget",
    "slo_budget_left": "Error budget left",
    "cost_per_request": "Cost per request",
    "cost_per_success": "Cost per useful answer",
}
HOW = "The value of each window, at the window's end. The band is its 95 % interval, the dashed line the reference."
STRENGTH = "How strong the evidence was on each day. From 1 on it is told: so much the budget of false alerts allows."
HAPPENED = {
    "opened": "opened", "fired": "told", "joined": "joined by another finding", "context": "context",
    "updated": "told again", "escalated": "became worse", "returned": "came back", "quiet": "one condition went quiet",
    "not_visible": "no longer visible", "resolved": "resolved", "acknowledged": "acknowledged", "feedback": "feedback",
    "held": "not told", "repeated": "told again, as nobody acknowledged", "passed_on": "told to the next receiver",
    "snoozed": "snoozed",
}  # fmt: skip

MAIN = {"opened", "fired", "updated", "escalated", "joined", "resolved", "acknowledged", "feedback"} | {
    "held", "passed_on", "snoozed",
}  # fmt: skip
"""The moments that are shown at once; notices that come and go are folded away."""


def charts_of(found: asked.Evidence) -> None:
    """Show the leading reading over time, and the histogram of what it is about."""
    finding = found.story.leading
    if finding is None:
        return
    subject = finding.subject
    bins = [one for one in found.bins if one.feature == subject]
    left, right = st.columns([3, 2]) if bins else (st.container(), None)
    with left:
        _course(found, finding)
    if right is not None:
        with right.container(border=True, gap="xsmall", height="stretch"):
            question = "How is it spread in the finding's window (colour) and in the reference (grey)?"
            cards.heading(fmt.literal(subject), question, inputs.HOW)
            inputs.histogram(subject, bins, inputs.new_values(finding), troubled=True, height=HEIGHT)


def _course(found: asked.Evidence, finding: rows.Finding) -> None:
    """Draw the finding's reading with its interval, the reference as a line, and the onset."""
    metric, subject = asked.course_of(finding)
    name = METRICS.get(metric, metric.replace("_", " "))
    title, question = f"{name}: {fmt.literal(subject)}", "When did it leave what is usual?"
    course = sorted((one for one in found.readings if one.value is not None), key=lambda one: one.window_end)
    if not course:
        cards.nothing(title, question, "Its course is not stored; the finding itself is below.")
        return
    marks = [Mark(fmt.epoch_ms(found.onset), "onset", strong=True)]
    marks += [Mark(fmt.epoch_ms(change.ts), change.title or change.kind) for change in found.changes]
    band = [
        (fmt.epoch_ms(one.window_end), one.lower, one.upper)
        for one in series.strided(course)
        if one.lower is not None and one.upper is not None
    ]
    usual = Limit(finding.reference, "reference") if finding.reference is not None else None
    unit, how = unit_of(finding), HOW
    if metric == "strength":  # not on the scale of what the finding is about
        usual, unit, how = Limit(1.0, "told from here"), Unit.PLAIN, STRENGTH
    line = Line("observed", series.strided(series.reading_points(course)), "trouble")
    spec = charts.over_time([line], found.span, unit, limit=usual, marks=marks, band=band, height=HEIGHT)
    cards.chart(title, question, how, spec, f"{title}: {unit.words(line.last)} now.")


def unit_of(finding: rows.Finding) -> Unit:
    """Say how a finding's numbers are written."""
    if finding.unit in {"share", "ratio"}:
        return Unit.SHARE
    if finding.unit == "ms":
        return Unit.MILLISECONDS
    return Unit.MONEY if len(finding.unit) == 3 and finding.unit.isupper() else Unit.PLAIN


def other_findings(story: rows.IncidentStory) -> None:
    """List every finding of the incident, the leading one first; notices are folded away."""
    with st.container(border=True, gap="small"):
        how = "What alerts comes first. Notices are context: they alone never alert."
        cards.heading("Findings", "What else was found, and how sure is that?", how)
        for finding in story.findings:
            if finding.alerting:
                _finding(finding)
        context = [finding for finding in story.findings if not finding.alerting]
        if context:
            with st.expander(f"{fmt.plural(len(context), 'notice')} beside it"):
                for finding in context:
                    _finding(finding)
        if not story.findings:
            st.caption("None is stored.")


def _finding(finding: rows.Member) -> None:
    quiet = "" if finding.active else " :gray[(no longer)]"
    why = fmt.literal(" · ".join((finding.severity, measured(finding), verdict.how_sure(finding))))
    st.markdown(f"{fmt.literal(finding.summary or finding.metric)}{quiet}  \n:small[:gray[{why}]]")


def measured(finding: rows.Finding) -> str:
    """Say what was measured, how exactly, and against what."""
    unit = unit_of(finding)
    words = unit.words(finding.observed)
    if finding.interval is not None:
        words += f" ({unit.words(finding.interval[0])} to {unit.words(finding.interval[1])})"
    return words + (f", reference {unit.words(finding.reference)}" if finding.reference is not None else "")


def changes(found: asked.Evidence, now: datetime) -> None:
    """List what was changed on purpose near the onset: candidates, never proof."""
    with st.container(border=True, gap="small"):
        how = f"Changes that were sent to /v1/changes, within {fmt.duration(NEAR)} of the onset."
        cards.heading("What else changed then", "Candidates for a cause, not proof.", how)
        near = [one for one in found.changes if abs(one.ts - found.onset) <= NEAR]
        for change in sorted(near, key=lambda one: abs(one.ts - found.onset)):
            apart = fmt.duration(abs(change.ts - found.onset))
            side = "before" if change.ts <= found.onset else "after"
            what = " ".join(filter(None, (change.kind, change.title, change.version)))
            st.markdown(f"{fmt.literal(what)}  \n:small[:gray[{apart} {side} the onset, {fmt.clock(change.ts, now)}]]")
        if not near:
            st.caption("Nothing that anyone told us of. Changes are sent to `/v1/changes`.")


def examples(story: rows.IncidentStory) -> None:
    """Show single predictions: from the incident, or any by its id."""
    with st.container(border=True, gap="small"):
        how = "Everything stored about one prediction: what was asked and said, what came true, who looked at it."
        cards.heading("Predictions", "What does a single one look like?", how)
        chosen = state.asked_for().get("prediction", "")
        with st.container(horizontal=True, gap="xsmall"):
            for identity in story.examples[:6]:
                kind = "secondary" if identity != chosen else "primary"
                st.button(
                    fmt.literal(identity),
                    type=kind,
                    on_click=state.choose,
                    kwargs={"prediction": identity},
                    key=f"p-{identity}",
                )
        typed = st.text_input("Prediction id", value=chosen, placeholder="the id that the service sent")
        if typed:
            state.choose(prediction=typed)
            with problem.told():
                _story(cached.answer(Client.prediction, typed))


def _story(story: dict[str, object]) -> None:
    for part, content in story.items():
        found = cast("list[object]", content) if isinstance(content, list) else [content]
        known = [cast("dict[str, object]", row) for row in found if isinstance(row, dict) and row]
        if known:
            st.markdown(f"**{fmt.literal(part.replace('_', ' '))}**")
        for row in known:
            cards.pairs({name: value for name, value in row.items() if value is not None})


def course(story: rows.IncidentStory, now: datetime) -> None:
    """Show the timeline, and who was told."""
    with st.container(border=True, gap="small"):
        cards.heading("Timeline", "What happened, and who was told?", "Times are UTC.")
        main = [moment for moment in story.timeline if moment.what in MAIN]
        told = [(one.at or one.created_at or story.opened_at, _told(one)) for one in story.deliveries]
        _listed([*((moment.at, _happened(moment)) for moment in main), *told], now)
        if len(main) < len(story.timeline):
            with st.expander(f"All {len(story.timeline)} moments"):
                _listed([(moment.at, _happened(moment)) for moment in story.timeline], now)
        if story.text:
            with st.expander("The message as it was sent"):
                st.code(story.text, language=None, wrap_lines=True)


def _listed(lines: Sequence[tuple[datetime, str]], now: datetime) -> None:
    ordered = sorted(lines, key=itemgetter(0))
    st.markdown("  \n".join(f":gray[{fmt.literal(fmt.clock(at, now))}] {words}" for at, words in ordered))


def _happened(moment: rows.Moment) -> str:
    words = HAPPENED.get(moment.what, moment.what.replace("_", " "))
    by = f" by {moment.actor}" if moment.actor else ""
    said = moment.detail.get("summary") or moment.detail.get("word") or ""
    subjects = moment.detail.get("subjects")
    if not said and isinstance(subjects, list):
        said = ", ".join(map(str, cast("list[object]", subjects)))
    return fmt.literal(f"{words}{by}{f': {said}' if said else ''}")


def _told(delivery: rows.Delivery) -> str:
    tries = f" after {fmt.plural(delivery.attempts, 'attempt')}" if delivery.attempts > 1 else ""
    words = f"message ({delivery.transition}) to {delivery.receiver}: {delivery.state}{tries}"
    if delivery.state == "delivered":
        return fmt.literal(words)
    return ":orange[:material/warning:] " + fmt.literal(f"{words} ({delivery.error})" if delivery.error else words)


def snapshots(story: rows.IncidentStory) -> None:
    """Show the frozen inputs of each finding: its numbers recompute from them."""
    with st.expander("Frozen evidence (JSON): the numbers recompute from it", icon=":material/lock:"):
        for finding in story.findings:
            st.caption(fmt.literal(f"{finding.analyzer} · {finding.metric} · {finding.subject}"))
            frozen = {
                "observed": finding.observed, "interval": finding.interval, "reference": finding.reference,
                "test": finding.evidence.test, "p_value": finding.evidence.p_value, "n": finding.evidence.n,
                "grade": finding.evidence.grade, "snapshot": finding.evidence.snapshot,
            }  # fmt: skip
            st.code(json.dumps(frozen, indent=1), language=None, wrap_lines=True, height=240)
