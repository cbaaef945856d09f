"""Pieces that several pages show: a chart in its frame, the notes, an incident in a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard import links, rows, verdict
from watchkeeper.dashboard.charts import Spec

ICONS = {
    "Act now": ":material/notification_important:", "Degrading": ":material/trending_down:",
    "Watching": ":material/visibility:", "Over budget": ":material/trending_down:", "Silent": ":material/volume_off:",
    "Healthy": ":material/check:", "Quiet": ":material/check:", "Resolved": ":material/check:",
}  # fmt: skip

FEW_LINES = 5
"""A note of up to so many lines is shown at once, a longer one folded."""


def heading(title: str, question: str, how: str) -> None:
    """Show a title, the question that the chart below answers, and how it is computed (on hover)."""
    st.markdown(f"**{title}**  \n:small[:gray[{question}]]", help=how)


def chart(title: str, question: str, how: str, spec: Spec, alt: str) -> None:
    """Show a chart in its frame; ``alt`` says in words what it shows, for who cannot see it."""
    with st.container(border=True, gap="xsmall", height="stretch"):
        heading(title, question, how)
        draw(spec, alt)


def draw(spec: Spec, alt: str) -> None:
    """Show a chart without a frame."""
    st.vega_lite_chart(None, spec, alt=alt)  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's


def nothing(title: str, question: str, why: str) -> None:
    """Stand where a chart would, and say why there is none."""
    with st.container(border=True, gap="xsmall", height="stretch"):
        st.markdown(f"**{title}**  \n:small[:gray[{question}]]")
        st.caption(why)


def number(label: str, value: str, change: str | None, how: str) -> None:
    """Show one number, how it changed against the span before, and how it is computed (on hover)."""
    st.metric(
        label, value, change, delta_color="off", border=True, height="stretch", help=how,
        delta_description="vs before" if change else None,
    )  # fmt: skip


def number_beside(label: str, value: str, beside: str | None, how: str) -> None:
    """Show one number and words beside it that are no change, so without an arrow."""
    st.metric(
        label, value, beside, delta_color="off", delta_arrow="off", border=True, height="stretch", help=how
    )  # fmt: skip


def fact(label: str, words: str, how: str | None = None) -> None:
    """Show one answer (Markdown) under what it answers; ``how`` to read it stands on hover."""
    with st.container(border=True, gap="xxsmall", height="stretch"):
        st.caption(label, help=how)
        st.markdown(words)


def pairs(found: Mapping[str, object]) -> None:
    """Show names and values as a plain table."""
    table = [{"name": fmt.literal(name), "value": fmt.literal(str(value))} for name, value in found.items()]
    st.table(  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's
        table, border="horizontal", hide_header=True, hide_index=True
    )


def choice_of(names: Mapping[str, str]) -> Callable[[str], str]:
    """Name the choices of a control in a colour that can be read in both themes, chosen or not."""
    return lambda choice: f":gray[{names[choice]}]"


def state(word: str) -> None:
    """Show a state as a badge: an icon and a word; orange only for trouble."""
    st.badge(word, icon=ICONS.get(word), color=verdict.tone_of(word))


def sentence(said: verdict.Verdict) -> None:
    """Show the one sentence of a page, and below it its state, the facts and the way to the evidence."""
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"#### {said.sentence}", anchors=False)
        with st.container(horizontal=True, vertical_alignment="center"):
            state(said.word)
            if said.facts:
                st.caption(said.facts, width="content")
            if said.incident is not None:
                st.space("stretch")
                links.link(links.INCIDENT, "Evidence", {"id": said.incident.id}, icon=":material/arrow_forward:")


def notes(found: Sequence[rows.Note]) -> None:
    """Show what a reader of the numbers must know, such as which part of a demo is made."""
    for note in found:
        if len(note.lines) > FEW_LINES:
            with st.expander(fmt.literal(note.title), icon=":material/info:"):
                st.caption("  \n".join(fmt.literal(line) for line in note.lines))
        else:
            with st.container(border=True, gap="xxsmall"):
                st.caption(f":material/info: **{fmt.literal(note.title)}**")
                st.caption("  \n".join(fmt.literal(line) for line in note.lines))
