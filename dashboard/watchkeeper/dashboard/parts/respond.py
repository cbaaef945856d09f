"""What a person does about an incident: take it on, and say whether the alert was of any use."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from watchkeeper.dashboard import cached, problem, rows
from watchkeeper.dashboard import format as fmt

WORDS = {
    "acted_on": ("Acted on", "Something was done about it."),
    "known": ("Known", "True, but known already."),
    "noise": ("Noise", "Nothing was wrong."),
    "wrong_threshold": ("Wrong threshold", "True, but too small to be told."),
}
NAME, REASON = "respond_name", "respond_reason"


def show(story: rows.IncidentStory, now: datetime) -> None:
    """Show the buttons, and what was said before."""
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            if story.acknowledged_by is None and story.open:
                acknowledge(story)
            elif story.acknowledged_by is not None:
                at = f" {fmt.clock(story.acknowledged_at, now)}" if story.acknowledged_at else ""
                st.badge(
                    fmt.literal(f"Acknowledged by {story.acknowledged_by}{at}"),
                    icon=":material/person_check:",
                    color="gray",
                )
            st.caption("Was the alert of use?", width="content")
            for word, (label, meaning) in WORDS.items():
                if st.button(label, key=f"say-{word}", help=meaning):
                    _say(story, word)
        with st.container(horizontal=True):
            st.text_input("Your name", key=NAME, persist_state="session", width=180, placeholder="optional")
            st.text_input("Why", key=REASON, placeholder="optional: helps to set the analyzer right")
        for said in story.feedback[-3:]:
            reason = f": {said.reason}" if said.reason else ""
            words = WORDS.get(said.word, (said.word,))[0]
            st.caption(fmt.literal(f"{words}, says {said.by or 'someone'} {fmt.clock(said.at, now)}{reason}"))


def acknowledge(incident: rows.Incident, *, small: bool = False) -> None:
    """Show the one primary button."""
    key = f"acknowledge-{incident.id}"
    help_text = "Says that someone is on it. What is new is still told."
    if not st.button("Acknowledge", key=key, type="secondary" if small else "primary", help=help_text):
        return
    with problem.told():
        cached.client().acknowledge(incident.id, _name())
        cached.forget()
        st.rerun()


def next_steps(story: rows.IncidentStory) -> str:
    """Say what to do next: the runbook, and what to fall back on."""
    steps: list[str] = []
    if story.runbook:
        steps.append(f"[Runbook](<{story.runbook}>)" if _is_address(story.runbook) else fmt.literal(story.runbook))
    if story.fallback:
        steps.append(f"Fall back on: {fmt.literal(story.fallback)}")
    return "  \n".join(steps) or "No runbook or fallback is declared. Start with the subjects and the changes below."


def words_of(incident: rows.Incident) -> str:
    """Give the last word that someone said of it."""
    return WORDS.get(incident.feedback[-1].word, ("",))[0].lower() if incident.feedback else ""


def _is_address(text: str) -> bool:
    return text.startswith(("https://", "http://")) and not any(char in text for char in "<>\n ")


def _say(story: rows.IncidentStory, word: str) -> None:
    with problem.told():
        cached.client().feedback(story.id, word, st.session_state.get(REASON) or None, _name())
        cached.forget()
        st.toast(f"Noted: {WORDS[word][0].lower()}.", icon=":material/check:")
        st.rerun()


def _name() -> str | None:
    return str(st.session_state.get(NAME) or "").strip() or None
