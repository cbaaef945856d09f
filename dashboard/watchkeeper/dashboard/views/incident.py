"""Evidence: one incident with everything that proves it; without an id, the inbox of all incidents."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from watchkeeper.dashboard import asked, cached, problem, rows, state, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.client import Client
from watchkeeper.dashboard.parts import cards, deep_dive, origin, proof, proposals, respond, telling
from watchkeeper.dashboard.views import start

REFRESH = 30
STATES = {"open": "Open", "resolved": "Resolved", "all": "All"}
SHOWN = "chosen_state"
ROWS = 25


def page() -> None:
    """Show the page; it looks again by itself."""
    _look()


@st.fragment(run_every=REFRESH)
def _look() -> None:
    with problem.told():
        params = state.asked_for()
        if identity := params.get("id"):
            _one(identity)
            return
        head = cached.answer(asked.head)
        if head.status.empty:
            start.empty()
        else:
            _inbox(head, params.get("state", "open"))


# -- one incident


def _one(identity: str) -> None:
    away = {"id": None, "prediction": None}
    st.button("All incidents", icon=":material/arrow_back:", type="tertiary", on_click=state.choose, kwargs=away)
    head = cached.answer(asked.head)
    now = head.status.now
    found = cached.answer(asked.evidence, identity, now)
    story = found.story
    st.title(verdict.about(story.service, fmt.ended(verdict.said(story))), anchor=False)
    _badges(story)
    _facts(story, now)
    respond.show(story, now)
    proof.charts_of(found)
    origin.show(found.split)
    deep_dive.show(story)
    left, right = st.columns(2)
    with left:
        proof.other_findings(story)
        proof.examples(story)
    with right:
        proof.changes(found, now)
        proof.course(story, now)
    telling.show(cached.answer(Client.why, identity), now)
    proof.snapshots(story)
    cards.notes(head.status.notes)


def _badges(story: rows.IncidentStory) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        cards.state(verdict.state_of([story]) if story.open else "Resolved")
        st.badge(story.severity or "notice", color="gray", help="page: wakes someone; ticket: waits for the morning")
        if story.data_state != "ok":
            words = f"data {story.data_state.replace('_', ' ')}"
            st.badge(words, color="orange", icon=":material/warning:", help="What the numbers rest on.")
        if story.episode > 1:
            st.badge(f"episode {story.episode}", color="gray", help="It was resolved before and came back.")
        place = " · ".join(filter(None, (story.service, story.model, f"incident {story.id}")))
        st.caption(fmt.literal(place), width="content")


def _facts(story: rows.IncidentStory, now: datetime) -> None:
    """Answer what someone who was just woken asks."""
    began, noticed, ended = story.began, story.noticed, story.resolved_at
    lasted = fmt.duration((ended or now) - began)
    since = f"**{fmt.clock(began, now)} UTC**, {lasted} {'in all' if ended else 'ago'}"
    since += f"  \nnoticed {fmt.duration(noticed - began)} later" if noticed > began else ""
    if ended:
        since += f", over since {fmt.clock(ended, now)}"
    elif story.opened_at < began:
        since += f"  \nincident open since {fmt.clock(story.opened_at, now)}"
    cost = fmt.ended(story.cost or "not known").capitalize()
    if story.impact is not None:
        per_day = fmt.literal(fmt.money(story.impact.per_day, story.impact.currency))
        cost = f"**about {per_day} a day**  \n{fmt.literal(story.impact.basis)}"
    else:
        cost = fmt.literal(cost)
    owner = "nobody: declare a System for this service" if not story.owner else f"**{fmt.literal(story.owner)}**"
    if story.contact:
        owner += f"  \n{fmt.literal(story.contact)}"
    leading = story.leading
    with st.grid(3, min_column_width=230):
        cards.fact("Since", since)
        sure = fmt.literal(verdict.how_sure(leading)) if leading else "see the timeline"
        cards.fact("How sure", sure, verdict.GRADES_HELP)
        cards.fact("What it costs", cost)
        ranked = " → ".join(f"**{fmt.literal(name)}**" for name in verdict.spoken(story.subjects[:6]))
        cards.fact("Look first at", ranked or "the service")
        cards.fact("Who owns it", owner)
        cards.fact("What to do next", respond.next_steps(story))


# -- the inbox


def _inbox(head: asked.Head, chosen: str) -> None:
    st.title("Incidents", anchor=False)
    qualities = cached.answer(Client.alert_quality)
    st.caption(f"{verdict.usefulness(qualities)} · {verdict.completeness(head.status)}")
    proposals.show(qualities)
    state.show(SHOWN, chosen if chosen in STATES else "open")
    wanted = st.segmented_control(
        "State", list(STATES), format_func=cards.choice_of(STATES), required=True, label_visibility="collapsed",
        key=SHOWN, on_change=_choose_state,
    )  # fmt: skip
    found = cached.answer(Client.incidents, wanted or "open")
    if not found:
        st.info("No incident is open." if wanted == "open" else "There is none.", icon=":material/check:")
    for incident in found[:ROWS]:
        _row(incident, head)
    if len(found) > ROWS:
        st.caption(f"{len(found) - ROWS} more are not shown: ask `/v1/incidents` for them.")
    cards.notes(head.status.notes)


def _choose_state() -> None:
    wanted = str(st.session_state[SHOWN])
    state.choose(state=None if wanted == "open" else wanted)


def _row(incident: rows.Incident, head: asked.Head) -> None:
    """Show one incident: its sentence, why, since when, whose, and what can be done at once."""
    now = head.status.now
    full = head.worst if head.worst is not None and head.worst.id == incident.id else incident
    facts = [
        *verdict.times(incident, now),
        f"look first at {', '.join(verdict.spoken(incident.subjects[:3]))}" if incident.subjects else "",
        f"owned by {incident.owner}" if incident.owner else "",
        f"about {fmt.money(incident.impact.per_day, incident.impact.currency)} a day" if incident.impact else "",
        f"acknowledged by {incident.acknowledged_by}" if incident.acknowledged_by else "",
        f"not told: {', '.join(incident.held_by)}" if incident.held_by else "",
        respond.words_of(incident),
    ]
    with st.container(border=True, gap="xsmall"):
        st.markdown(verdict.about(incident.service, fmt.ended(verdict.said(full))))
        with st.container(horizontal=True, vertical_alignment="center"):
            cards.state(verdict.state_of([incident]) if incident.open else "Resolved")
            st.caption(fmt.literal(" · ".join(fact for fact in facts if fact)), width="content")
            st.space("stretch")
            with st.container(horizontal=True, width="content"):  # they stay beside each other
                if incident.open and not incident.acknowledged_by:
                    respond.acknowledge(incident, small=True)
                st.button(
                    "Evidence", key=f"open-{incident.id}", icon=":material/arrow_forward:", icon_position="right",
                    type="tertiary", on_click=state.choose, kwargs={"id": incident.id},
                )  # fmt: skip
