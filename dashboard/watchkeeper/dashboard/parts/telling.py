"""Why was I told, or not? By alert its rule and routes, what keeps it back, what it waits for; each message's fate."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import streamlit as st

from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard import told
from watchkeeper.dashboard.parts import cards

HOW = (
    "Routes, silences and inhibitions are those of now; what was in force when a message went out is on the timeline. "
    "The same in a terminal: `watchkeeper why` with the incident's id."
)
ICONS: Mapping[str, str] = {
    "told": ":material/check:", "waiting": ":material/hourglass_top:", "held": ":material/volume_off:",
    "muted": ":material/volume_off:", "over": ":material/done_all:", "delivered": ":material/check:",
    "dead": ":material/error:",
}  # fmt: skip
REASONS = {
    "fired": "it fired", "updated": "something new", "resolved": "it was over", "repeat": "nobody acknowledged: again",
    "escalated": "nobody acknowledged: passed on", "acknowledged": "it was acknowledged",
}  # fmt: skip
TROUBLE = frozenset({"held", "muted", "dead"})
SHOWN = 6
"""Alerts that are shown at once; the rest is folded away."""


def show(found: told.Why, now: datetime) -> None:
    """Show who was told and why, and who was not and why not."""
    with st.container(border=True, gap="small"):
        cards.heading("Why were you told, or not?", "Which rule, which route, what keeps it back, which attempt?", HOW)
        st.markdown(fmt.literal(found.sentence))
        alerting = [one for one in found.alerts if one.alerts]
        for alert in alerting[:SHOWN]:
            _alert(alert, found, now)
        rest = [*alerting[SHOWN:], *(one for one in found.alerts if not one.alerts)]
        if rest:
            notices = sum(not one.alerts for one in rest)
            told_of = f"{fmt.plural(notices, 'notice')}, of which nobody is told" if notices else ""
            more = f"{fmt.plural(len(rest) - notices, 'more alert')}" if len(rest) > notices else ""
            with st.expander(" · ".join(filter(None, (more, told_of)))):
                for alert in rest:
                    _alert(alert, found, now)
        if found.messages:
            st.markdown("  \n".join(["Messages", *(_message(message, now) for message in found.messages)]))


def _alert(alert: told.AlertWhy, found: told.Why, now: datetime) -> None:
    quiet = "" if alert.firing else " :gray[(not now)]"
    lines = [f"{fmt.literal(alert.rule)}{quiet}"]
    lines += [_small(f"{ICONS['waiting']} {fmt.literal(alert.waiting_for)}")] if alert.waiting_for else []
    shown = {route.words for route in alert.routes}
    lines += [
        _small(f"{ICONS['held']} {fmt.literal(hold.words)}{_until(hold.until, now)}", trouble=True)
        for hold in alert.suppressed_by
        if not any(hold.words in words for words in shown)
    ]
    lines += [_route(route, found) for route in alert.routes if route.words != alert.waiting_for]
    if not alert.routes and alert.alerts:
        lines.append(_small(f"{ICONS['held']} no route matches its labels: nobody is told", trouble=True))
    if alert.labels and alert.alerts:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
        lines.append(_small(f"Labels: {fmt.literal(labels)}"))
    st.markdown("  \n".join(lines))


def _route(route: told.RouteWhy, found: told.Why) -> str:
    missed = route.state == "told" and not found.reached(route.receiver)
    state = "not delivered" if missed else route.state
    words = route.words if route.words.startswith(state) else f"{state}, {route.words}"
    icon = ICONS["dead"] if missed else ICONS.get(route.state, "")
    trouble = missed or route.state in TROUBLE
    return _small(f"{icon} {fmt.literal(f'{route.path} → {route.receiver}: {words}')}", trouble=trouble)


def _message(message: told.MessageWhy, now: datetime) -> str:
    tried = f" after {fmt.plural(message.attempts, 'attempt')}" if message.attempts > 1 else ""
    again = f", next attempt {fmt.clock(message.next_attempt_at, now)}" if message.next_attempt_at else ""
    state = {"dead": "refused for good", "waiting": "on its way"}.get(message.state, message.state)
    if message.state == "waiting" and message.attempts:
        state, tried = "not delivered yet", f" after {fmt.plural(message.attempts, 'attempt')}"
    why = REASONS.get(message.reason, message.reason)
    words = f"{fmt.clock(message.at, now)} to {message.receiver}, as {why}: {state}{tried}{again}"
    trouble = message.state == "dead" or (message.state == "waiting" and message.attempts > 0)
    said = f" ({message.answer})" if message.answer else ""
    icon = ICONS["dead"] if trouble else ICONS.get(message.state, ICONS["waiting"])
    return _small(f"{icon} {fmt.literal(words + said)}", trouble=trouble)


def _until(at: datetime | None, now: datetime) -> str:
    return f", until {fmt.clock(at, now)}" if at else ""


def _small(words: str, *, trouble: bool = False) -> str:
    return f":small[:{'orange' if trouble else 'gray'}[{words}]]"
