"""What an analyzer says: one finding a subject and window, with the evidence to recompute it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


STRONGER = ", stronger"
"""In the name of a metric: the same again, so much larger that who was told of it is told once more."""
SURER = ", surer"
"""In the name of a metric: the same again, as large as it was told and better proven. Nobody is told of that."""


class Severity(StrEnum):
    """How loud: a page wakes someone, a ticket waits for the morning, a notice is only shown."""

    PAGE = "page"
    TICKET = "ticket"
    NOTICE = "notice"

    @property
    def alerts(self) -> bool:
        """Whether a person is told."""
        return self is not Severity.NOTICE


class DataState(StrEnum):
    """What the numbers rest on; never folded into "ok"."""

    OK = "ok"
    PARTIAL = "partial"
    STALE = "stale"
    ABSENT = "absent"
    EVALUATOR_ERROR = "evaluator_error"


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open span [start, end) that a number speaks of, in UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """End minus start."""
        return self.end - self.start

    def before(self, length: timedelta) -> Window:
        """Give the window of that length that ends where this one starts."""
        return Window(self.start - length, self.start)


@dataclass(frozen=True, slots=True)
class Impact:
    """What it costs: money a day, and the words that say on what that rests."""

    per_day: float
    currency: str
    basis: str


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """How the error budget of an objective stood when a finding spoke of it.

    ``bad`` is the share of bad events over ``over``, ``interval`` its 95 % interval; ``burn`` is that share over the
    one that the target allows: 1 is just on budget. ``burn_limit`` is the burn from which it is told, where there is
    one. ``left`` is the share of the budget that is left, below 0 once overspent; at this burn it is gone at
    ``gone_at`` (None: it is gone already, or lasts for the whole period). Misleads where an hour
    is not like those that follow.
    """

    objective: str
    target: float
    over: Window
    bad: float
    interval: tuple[float, float]
    burn: float
    left: float
    gone_at: datetime | None = None
    burn_limit: float | None = None


SPOKEN = {"ok": "failed requests", "checks": "failed checks", "attempts": "retries"}
"""Subjects that are fields of events and say little as the name of what is wrong; messages and pages say these."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why to believe it.

    ``snapshot`` holds the inputs of the calculation: ``observed`` recomputes from it bit for bit.
    ``p_value`` is corrected for everything that was tested beside it. Grades: A corrected p < 1e-6 and n >= 1000,
    B corrected p < 1e-3, C corrected p < 0.05 or a rule without a test, D few rows.
    """

    test: str
    n: int
    p_value: float | None = None
    grade: str = "C"
    snapshot: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about one subject in one window, as known at ``as_of``.

    ``metric`` is what was measured ("unseen_share", "psi", "error_rate", "burn_rate", ...), ``subjects`` the ranked
    names of what it is about, the most likely cause first ("carrier", "segment:UA", "latency", "error", ...).
    ``active`` False says that the condition no longer holds: it lets an open incident resolve. ``examples`` are the
    ids of a few predictions that show it, for a person to look at; the numbers rest on all rows of the window.
    ``budget`` belongs to findings about objectives.
    ``labels`` are for routing, beside those that every alert has: ``slo``, ``environment``; what changes from time
    to time is no label.
    """

    analyzer: str
    service: str
    model: str
    metric: str
    subjects: tuple[str, ...]
    window: Window
    as_of: datetime
    observed: float
    severity: Severity
    summary: str
    evidence: Evidence
    model_version: str | None = None
    interval: tuple[float, float] | None = None
    reference: float | None = None
    effect: float | None = None
    unit: str = ""
    impact: Impact | None = None
    since: datetime | None = None
    maturity: float | None = None
    data_state: DataState = DataState.OK
    active: bool = True
    examples: tuple[str, ...] = ()
    budget: ErrorBudget | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def subject(self) -> str:
        """The first name of the ranking, or the metric itself."""
        return self.subjects[0] if self.subjects else self.metric

    @property
    def fingerprint(self) -> str:
        """Identify what it is about, over time: 16 hex digits of (analyzer, service, model, metric, subject)."""
        parts = (self.analyzer, self.service, self.model, self.metric, self.subject)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]

    @property
    def key(self) -> str:
        """Identify this very statement, so that an evaluation may be repeated without harm."""
        parts = (
            self.fingerprint,
            self.window.start.isoformat(),
            self.window.end.isoformat(),
            self.as_of.isoformat(),
        )
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
