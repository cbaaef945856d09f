"""What a notifier gets: one change of one incident for one receiver, finished, with nothing left to look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from watchkeeper.schemas.findings import ErrorBudget, Impact, Severity

Transition = Literal["fired", "updated", "acknowledged", "resolved"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One condition of the incident. ``fingerprint`` stays the same from firing to resolved, over all episodes.

    ``labels`` are all those by which it is routed and grouped. ``observed`` with its ``interval`` stands against
    ``reference``, all in ``unit``, and rests on ``n`` rows; ``budget`` is the error budget of the objective that it is
    about.
    """

    fingerprint: str
    analyzer: str
    metric: str
    subject: str
    severity: Severity
    summary: str
    description: str
    starts_at: datetime
    ends_at: datetime | None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    observed: float | None = None
    interval: tuple[float, float] | None = None
    reference: float | None = None
    unit: str = ""
    n: int | None = None
    budget: ErrorBudget | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What an older message would have said: this one stands for it."""

    transition: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Notification:
    """One message. ``key`` is its idempotency key: a receiver that gets the same key twice may drop the second.

    ``title`` is the first line of ``text``. ``new`` holds the fingerprints that this message is sent for. ``history``
    is what it stands for besides itself, ``late_seconds`` how much too late it goes out, ``receipt`` what the receiver
    called the last message about the same incident, ``respond_url`` the signed address where people answer: the sender
    fills these in, and ``sent_at``. ``reason`` is fired, updated, resolved, repeat or escalated. The group is what is
    told together: it may hold several incidents, of which ``incident_id`` is the first, and more alerts than are listed
    (``truncated``). ``since``, ``impact``, ``budgets``, ``examples`` and ``last_change`` are what the text says of the
    loudest incident, for systems that do not read text; ``impact`` None: what it costs is not known.
    """

    key: str
    receiver: str
    transition: Transition
    incident_id: str
    service: str
    model: str
    severity: Severity
    title: str
    text: str
    subjects: tuple[str, ...]
    new: tuple[str, ...]
    alerts: tuple[Alert, ...]
    at: datetime
    evidence_url: str
    external_url: str
    owner: str | None = None
    contact: str | None = None
    runbook: str | None = None
    fallback: str | None = None
    actor: str | None = None
    history: tuple[Told, ...] = ()
    late_seconds: float = 0.0
    receipt: str | None = None
    respond_url: str | None = None
    sent_at: datetime | None = None
    reason: str = ""
    group_key: str = ""
    group_labels: dict[str, str] = field(default_factory=dict[str, str])
    truncated: int = 0
    since: datetime | None = None
    impact: Impact | None = None
    budgets: tuple[ErrorBudget, ...] = ()
    examples: tuple[str, ...] = ()
    last_change: str | None = None


class Notifier(Protocol):
    """Brings a message to where a person sees it.

    It may have two more words for itself: ``every_step`` True, where each change must go out by itself, however late
    (else the newest one tells of those before); ``acknowledgements`` True, where it wants to know who took it on.
    """

    def notify(self, notification: Notification) -> str | None:
        """Deliver, or say why not; give what the receiver calls the message, where that is needed again.

        Raises:
            DeliveryError: not delivered; ``retryable`` says whether another attempt is sensible, ``retry_after``
                how many seconds the receiver wants to be left alone, ``unsure`` that it may have arrived.

        """
        ...


@runtime_checkable
class Repeats(Protocol):
    """A notifier whose receiver keeps nothing: it is told again and again what still holds."""

    def repeat(self, standing: Sequence[Notification], now: datetime) -> None:
        """Tell of all that is open, or ended a moment ago."""
        ...


@runtime_checkable
class Beats(Protocol):
    """A notifier that takes heartbeats."""

    def heartbeat(self, name: str, now: datetime, said: str) -> None:
        """Tell the receiver that all is moving; DeliveryError where that fails."""
        ...


def wants(notifier: object, what: Literal["every_step", "acknowledgements"]) -> bool:
    """Whether a notifier says this word for itself."""
    return bool(getattr(notifier, what, False))
