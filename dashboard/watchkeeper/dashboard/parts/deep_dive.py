"""Evidently's page of the window that an incident is about: made on demand, from a sample, by the server."""

from __future__ import annotations

import streamlit as st

from watchkeeper.dashboard import cached, problem, rows

HOW = (
    "At most 10,000 rows of the reference and of the window of the finding, drawn by a hash of their id. "
    "It takes up to minutes and a few MB. Its own thresholds count rows, not days: it calls much drift that is none."
)
_KEPT = "evidently_page"


def show(story: rows.IncidentStory) -> None:
    """Show the button; once the page is made, the one that downloads it."""
    leading = story.leading
    if story.model is None or leading is None or leading.window is None:
        return
    key = f"{story.id}/{leading.window.end.isoformat()}"
    held: tuple[str, bytes] | None = st.session_state.get(_KEPT)
    with st.container(horizontal=True, vertical_alignment="center"):
        if held is not None and held[0] == key:
            st.download_button(
                "Download Evidently's page", held[1], file_name=f"evidently-{story.id}.html", mime="text/html",
                icon=":material/download:", key="evidently-download",
            )  # fmt: skip
        elif st.button("Make Evidently's page", key="evidently-make", icon=":material/lab_profile:", help=HOW):
            with problem.told(), st.spinner("Evidently compares a sample of both windows …"):
                span = leading.window
                page = cached.client().evidently_page(story.service, story.model, span.start, span.end)
                st.session_state[_KEPT] = key, page
                st.rerun()
