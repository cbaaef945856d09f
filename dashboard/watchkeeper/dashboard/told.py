"""Why people were told of an incident, or were not, as the server answers it: typed frozen rows, and one sentence.

Routes, silences and inhibitions are those of now; what was in force when a message went out stands on the timeline.
"""

from __future__ import annotations

from msgspec import field

from watchkeeper.dashboard.rows import Row, Time


class Hold(Row, frozen=True, kw_only=True):
    """What keeps an alert back: a silence, an inhibition, maintenance, a snooze, broken telemetry."""

    kind: str
    words: str
    until: Time | None = None


class RouteWhy(Row, frozen=True, kw_only=True):
    """One route that an alert takes: told, waiting, held, muted or over, and why."""

    path: str
    receiver: str
    state: str
    words: str = ""
    group: str = ""
    told_at: Time | None = None
    next_at: Time | None = None
    escalates_at: Time | None = None


class AlertWhy(Row, frozen=True, kw_only=True):
    """One alert: the rule that found it, what keeps it back, and its routes. A notice has none."""

    rule: str
    firing: bool = True
    labels: dict[str, str] = field(default_factory=dict[str, str])
    waiting_for: str | None = None
    suppressed_by: tuple[Hold, ...] = ()
    routes: tuple[RouteWhy, ...] = ()

    @property
    def alerts(self) -> bool:
        """Whether people are told of such a one at all."""
        return self.labels.get("severity") != "notice"


class MessageWhy(Row, frozen=True, kw_only=True):
    """One message, and how its delivery stands: ``answer`` is what the receiver said last."""

    receiver: str
    state: str
    at: Time
    reason: str = ""
    attempts: int = 0
    next_attempt_at: Time | None = None
    answer: str = ""


class Why(Row, frozen=True, kw_only=True):
    """Everything about who was told, and who was not."""

    state: str = ""
    alerts: tuple[AlertWhy, ...] = ()
    messages: tuple[MessageWhy, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """Name the receivers that a message reached, in the order of their first one."""
        return tuple(dict.fromkeys(one.receiver for one in self.messages if one.state == "delivered"))

    def reached(self, receiver: str) -> bool:
        """Whether a message reached a receiver; of several addresses, one of them. Without any message: nothing failed.

        >>> from datetime import UTC, datetime
        >>> at = datetime(2026, 1, 1, tzinfo=UTC)
        >>> Why(messages=(MessageWhy(receiver="pair@2", state="delivered", at=at),)).reached("pair")
        True
        """
        of_it = [one for one in self.messages if receiver in {one.receiver, one.receiver.rpartition("@")[0]}]
        return not of_it or any(one.state == "delivered" for one in of_it)

    @property
    def sentence(self) -> str:
        """Say who was told, and if nobody was, why not.

        >>> Why(messages=(), alerts=(AlertWhy(rule="drift.psi/psi on carrier: ticket"),)).sentence
        'Nobody was told: no route matches its labels.'
        """
        failing = tuple(dict.fromkeys(one.receiver for one in self.messages if one.receiver not in self.told))
        missed = f" Not reached: {', '.join(failing)}." if failing else ""
        if self.told:
            return f"Told to {', '.join(self.told)}.{missed}"
        if failing:
            return f"Nobody was reached so far: the message for {', '.join(failing)} did not arrive."
        routes = [route for alert in self.alerts for route in alert.routes]
        held = next((route for route in routes if route.state in {"held", "muted"}), None)
        waiting = next((route for route in routes if route.state == "waiting"), None)
        if held is not None:
            return f"Nobody was told: {held.words}."
        if waiting is not None:
            return f"Nobody was told yet: {waiting.words}."
        if routes:
            return "Nobody was told: it was over before anybody had to be."
        alerting = any(alert.alerts for alert in self.alerts)
        return "Nobody was told: " + ("no route matches its labels." if alerting else "notices are told to nobody.")
