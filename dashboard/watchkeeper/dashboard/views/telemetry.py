"""Telemetry: do we hear everything? What was sent and what arrived, who is silent, what was turned away and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from watchkeeper.dashboard import asked, cached, problem, rows, verdict
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.parts import cards
from watchkeeper.dashboard.views import start

REFRESH = 30
"""Seconds between two looks."""
WORDS = {"ok": "Heard", "partial": "Part missing", "offline": "Offline", "never": "Never heard"}

HALVES = {
    "waiting": "wait for each other",
    "joined": "met: one prediction each",
    "no_response": "a request whose response never came",
    "no_request": "a response whose request never came",
    "duplicate": "sent again",
    "late": "came after the other was told alone: kept as rejects",
}


def page() -> None:
    """Show the page; it looks again by itself."""
    _look()


@st.fragment(run_every=REFRESH)
def _look() -> None:
    with problem.told():
        heard = cached.answer(asked.telemetry)
        if heard.status.empty:
            start.empty()
        else:
            _show(heard)


def _show(heard: asked.Heard) -> None:
    st.title("Telemetry", anchor=False)
    st.caption(
        f"{verdict.completeness(heard.status)} · counts since the server's data began · "
        f"updates every {REFRESH}{fmt.THIN}s"
    )
    cards.sentence(verdict.heard(heard.ledger))
    _numbers(heard)
    _expected(heard.ledger)
    _groups(heard.ledger)
    _halves(heard.status)
    _rejects(heard.rejects)


def _numbers(heard: asked.Heard) -> None:
    groups, status = heard.ledger.groups, heard.status
    with st.grid(4, min_column_width=165):
        booked = sum(group.sent for group in groups)
        how = "Logged by clients of the SDK, by their own count. Other senders keep no book."
        cards.number("Logged by clients", fmt.number(booked) if groups else fmt.UNKNOWN, None, how)
        how = "Answered with 200 and so on disk, from every sender."
        cards.number("Arrived", fmt.number(status.accepted), None, how)
        lost = sum(group.dropped + group.missing for group in groups)
        how = "Given up by clients, by their own count, or answered for and not here. What is overdue may still come."
        cards.number_beside("Lost", fmt.number(lost) if groups else fmt.UNKNOWN, _overdue(groups), how)
        how = "Turned away with a reason and kept: they can be listed, corrected and sent again."
        cards.number("Rejected", fmt.number(status.rejected), None, how)


def _overdue(groups: Sequence[rows.TelemetryGroup]) -> str | None:
    late = sum(group.overdue for group in groups)
    return f"{fmt.number(late)} overdue" if late else None


def _expected(ledger: rows.Telemetry) -> None:
    how = "A System with `sites` and `expectEvery` in `watchkeeper.d` says who must be heard of, and how often."
    cards.heading("Expected", "Who must be heard of, and is?", how)
    if not ledger.expected:
        st.caption("Nobody is declared: a service or site that falls silent for good is told only by its own numbers.")
        return
    _table(
        [
            {
                "state": WORDS.get(one.state, one.state),
                "service": one.service,
                "site": one.site or "all",
                "expected every": fmt.duration(one.every),
                "last heard": _when(one.last_seen, ledger.now),
                "offline since": _when(one.offline_since, ledger.now),
            }
            for one in sorted(ledger.expected, key=lambda one: (one.state == "ok", one.service, one.site or ""))
        ],
        "Expected sites",
    )


def _groups(ledger: rows.Telemetry) -> None:
    how = "Each client numbers its events and tells its book with each request; the server sets its own against it."
    cards.heading("Clients", "What did each service, site and version send, and what of it is here?", how)
    if not ledger.groups:
        st.caption("No client that keeps a book has sent anything yet: that is the SDK and its forwarder.")
        return
    _table(
        [
            {
                "state": WORDS.get(group.state, group.state),
                "service": group.service or fmt.UNKNOWN,
                "site": group.site or fmt.UNKNOWN,
                "version": group.version or fmt.UNKNOWN,
                "clients": f"{group.online} of {group.clients} online",
                "logged": group.sent,
                "arrived": group.accepted,
                "rejected": group.rejected,
                "dropped": group.dropped,
                "missing": group.missing,
                "waiting": group.pending + group.overdue,
                "last heard": _when(group.last_seen, ledger.now),
            }
            for group in sorted(ledger.groups, key=lambda one: (one.state == "ok", one.service, one.site))
        ],
        "Clients by service, site and version",
    )


def _halves(status: rows.Status) -> None:
    """Show what came of requests and responses that come apart; nothing where no sender logs so."""
    found = {"waiting": status.waiting_halves, **status.halves}
    if not any(found.values()):
        return
    how = "KServe and Seldon log them apart. A half waits for `ingest.join_seconds`, then it is told alone."
    cards.heading("Requests and responses", "Which came apart, and did they meet?", how)
    _table(
        [{"halves": number, "what became of them": HALVES.get(fate, fate)} for fate, number in found.items() if number],
        "Requests and responses that came apart",
    )


def _rejects(found: rows.Rejects) -> None:
    how = "`watchkeeper rejects list` shows the rows, `export` and `replay` correct them and send them again."
    cards.heading("Turned away", "What could not be used, and why?", how)
    if not found.reasons:
        st.caption("Nothing is open.")
        return
    _table(
        [
            {
                "events": reason.n,
                "kind": reason.kind,
                "service": reason.service or fmt.UNKNOWN,
                "field": reason.field or fmt.UNKNOWN,
                "reason": reason.reason,
            }
            for reason in found.reasons
        ],
        "Rejects by reason",
    )


def _table(cells: Sequence[dict[str, object]], about: str) -> None:
    st.dataframe(  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's
        list(cells), hide_index=True, height="content" if len(cells) <= 15 else 36 * 16, alt=f"{about}: {len(cells)}"
    )


def _when(moment: datetime | None, now: datetime) -> str:
    return fmt.UNKNOWN if moment is None else f"{fmt.clock(moment, now)} UTC"
