"""Get started: how the first event gets in. It turns into the dashboard when it arrives."""

from __future__ import annotations

import streamlit as st

from watchkeeper.dashboard import asked, cached, problem, rows, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.client import Client, server_key, server_url
from watchkeeper.dashboard.parts import cards
from watchkeeper.schemas.errors import WatchkeeperError

LOOK_AGAIN = 3
"""Seconds between two looks for the first event."""

SDK = """\
import watchkeeper_sdk as wk

wk.init("{url}", service="checkout")
event_id = wk.log_prediction(model="fraud", prediction=True, score=0.93, features={{"amount": 12.5}})

wk.log_outcome(event_id, False)  # when it is known what was true, from anywhere
"""
CURL = """\
curl {url}/v1/predictions{key} -H 'Content-Type: application/x-ndjson' \\
  -d '{{"id": "a-1", "service": "checkout", "model": "fraud", "prediction": true}}'
"""


def page() -> None:
    """Show the page by itself, reachable at any time."""
    st.title("Get started", anchor=False)
    ways()


def empty() -> None:
    """Show the page in place of the dashboard, until the first event is there."""
    st.title("Get started", anchor=False)
    _waiting()
    ways()


def ways() -> None:
    """Show the four ways in, the shortest first."""
    url = address()
    with st.grid(2, min_column_width=320):
        _way(
            "See it work",
            "Nine months of real flights with one quiet fault, replayed through the real ingest. Nothing to set up.",
            "watchkeeper demo",
        )
        _way(
            "Look at what you already have",
            "A Parquet, CSV or NDJSON file of past predictions and outcomes.",
            f"watchkeeper import FILE --service checkout --model fraud --url {url}",
        )
        _way(
            "From a Python service",
            "`pip install ./sdk` from the repository. It has no dependencies and never blocks or fails the service.",
            SDK.format(url=url),
        )
        _way(
            "From anything that speaks HTTP",
            "200 means that the event is on disk.",
            CURL.format(url=url, key=' -H "Authorization: Bearer $WATCHKEEPER_API_KEY"' if server_key() else ""),
        )
    if server_key():
        st.caption("The server asks for a key: set `WATCHKEEPER_API_KEY` to one where you run any of these.")
    st.caption("Then: declare owners, objectives and prices in `watchkeeper.d/`, and run `watchkeeper apply`.")


def address() -> str:
    """Give the address for services and people: what the server calls itself, else the one that this page asks.

    Those differ where server and pages run in containers: the pages reach it by a name that nobody else knows.
    """
    try:
        said = cached.answer(Client.status).public_url
    except WatchkeeperError:
        said = ""
    return said.rstrip("/") or server_url()


def _way(title: str, words: str, code: str) -> None:
    with st.container(border=True, height="stretch", gap="small"):
        st.markdown(f"**{title}**  \n:small[:gray[{words}]]")
        st.code(code.strip(), language=None, wrap_lines=True)


@st.fragment(run_every=LOOK_AGAIN)
def _waiting() -> None:
    """Look for the first event, and show the dashboard as soon as it is there."""
    with problem.told():
        cached.forget()
        head = cached.answer(asked.head)
        if not head.status.empty:
            st.rerun()
        if head.incidents:
            cards.sentence(verdict.fleet(head, None))
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            if head.status.rejected:
                st.badge("Turned away", icon=":material/warning:", color="orange")
                st.markdown(_turned_away(head.status.rejected, cached.answer(Client.rejects)))
            else:
                st.badge("Waiting", icon=":material/hourglass_empty:", color="gray")
                st.markdown(
                    f"No event has come to `{address()}` yet. This page turns into the dashboard at the first one."
                )


def _turned_away(many: int, found: rows.Rejects) -> str:
    """Say that events came and why none can be used, so that nobody waits for what has come already."""
    first = found.reasons[0] if found.reasons else None
    why = ""
    if first is not None:
        field = f"`{first.field}`: " if first.field else ""
        why = f" The most frequent reason: {field}{fmt.literal(first.reason)}."
    return f"{fmt.plural(many, 'event')} came and none could be used.{why} See them with `watchkeeper rejects list`."
