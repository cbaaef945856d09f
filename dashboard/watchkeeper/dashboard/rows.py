"""What the server answers, as typed frozen rows: the same names as on the wire (see docs/http-api.md).

A field that a server does not send is None (or empty); a field that is not listed here is ignored.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")
Time = Annotated[datetime, Meta(tz=True)]
Count = float | None
"""A count of a query: null where a model sent nothing in the span."""


class Row(Struct, frozen=True):
    """One object of an answer."""


class Answer(Struct, Generic[T], frozen=True):
    """The rows of one named query."""

    rows: tuple[T, ...]


class ServiceStatus(Row, frozen=True, kw_only=True):
    """What came in from one service."""

    accepted: int = 0
    loaded: int = 0
    rejected: int = 0
    duplicates: int = 0
    dropped_by_clients: int = 0
    last_ts: Time | None = None


class Note(Row, frozen=True, kw_only=True):
    """Something that a reader of the numbers must know, such as which part of a demo is made."""

    title: str
    lines: tuple[str, ...] = ()


class Status(Row, frozen=True, kw_only=True):
    """What was taken in, how complete it is, and the server's clock (in a replay: the newest event)."""

    now: Time
    version: str = ""
    public_url: str = ""
    complete_to: Time | None = None
    evaluated_to: Time | None = None
    accepted: int = 0
    loaded: int = 0
    rejected: int = 0
    dropped_by_clients: int | None = None
    completeness: float | None = None
    lag_seconds: float | None = None
    waiting_halves: int = 0
    halves: dict[str, int] = {}
    services: dict[str, ServiceStatus] = {}
    notes: tuple[Note, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether no event was ever loaded."""
        return self.loaded == 0


class Overview(Row, frozen=True, kw_only=True):
    """One model of one service over the asked span."""

    service: str
    model: str
    model_version: str | None = None
    provider: str | None = None
    rows: Count = None
    requests: Count = None
    errors: Count = None
    late: Count = None
    check_failures: Count = None
    tokens_input: Count = None
    tokens_output: Count = None
    cost: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    first_ts: Time | None = None
    last_ts: Time | None = None


class Traffic(Row, frozen=True, kw_only=True):
    """One model of one service in one bucket of time."""

    bucket: Time
    service: str
    model: str
    requests: Count = None
    errors: Count = None
    late: Count = None
    check_failures: Count = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    cost: float | None = None


class Quality(Row, frozen=True, kw_only=True):
    """Predictions of one bucket, and what is known of their outcomes by now."""

    bucket: Time
    predictions: Count = None
    known: Count = None
    correct: Count = None
    wrong: Count = None
    true_positive: Count = None
    false_positive: Count = None
    false_negative: Count = None
    true_negative: Count = None


class QualityState(Row, frozen=True, kw_only=True):
    """How wrong a model was in one week: estimated, partial, final, or waiting for outcomes."""

    window_end: Time
    state: str
    wrong_share: float | None = None
    estimated: float | None = None
    predictions: Count = None
    known: Count = None
    maturity: float | None = None
    immature: bool = False
    final_at: Time | None = None


class LabelDelay(Row, frozen=True, kw_only=True):
    """The share of a source's outcomes that are known so many days after the prediction; source None: all sources."""

    source: str | None = None
    days: int
    share: float
    outcomes: Count = None


class Reading(Row, frozen=True, kw_only=True):
    """One number that an analyzer wrote: a value with its interval, and the reference it is compared with."""

    metric: str
    service: str
    model: str | None = None
    subject: str = ""
    analyzer: str = ""
    window_start: Time | None = None
    window_end: Time
    as_of: Time | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    n: Count = None
    maturity: float | None = None
    reference: float | None = None


class Bin(Row, frozen=True, kw_only=True):
    """One bin of one feature: how many rows now, how many in the reference. Bins below 0 are no values."""

    feature: str
    bin: int
    kind: str = ""
    label: str | None = None
    lower: float | None = None
    upper: float | None = None
    n: Count = None
    reference_n: Count = None
    against: str = ""


class Feature(Row, frozen=True, kw_only=True):
    """What one input was like over the asked span, beside its histogram."""

    feature: str
    kind: str = ""
    rows: Count = None
    missing: Count = None
    nan: Count = None
    infinite: Count = None
    mismatched: Count = None
    unseen: Count = None
    below: Count = None
    above: Count = None
    min: float | None = None
    max: float | None = None


class Change(Row, frozen=True, kw_only=True):
    """Something that someone changed on purpose."""

    ts: Time
    kind: str
    title: str = ""
    service: str | None = None
    model: str | None = None
    version: str | None = None
    url: str | None = None


class System(Row, frozen=True, kw_only=True):
    """An AI system that someone owns."""

    name: str
    services: tuple[str, ...] = ()
    owner: str | None = None
    description: str | None = None
    fallback: str | None = None
    runbook: str | None = None
    contact: str | None = None


class Sli(Row, frozen=True, kw_only=True, rename="camel"):
    """Which requests are good."""

    measure: str
    max_ms: float | None = None
    model: str | None = None


class Objective(Row, frozen=True, kw_only=True):
    """The share of good requests that a service promises over a rolling span of days."""

    name: str
    service: str
    sli: Sli
    target: float
    days: float
    description: str | None = None


class PriceTable(Row, frozen=True, kw_only=True):
    """Prices in force; the dashboard needs their currency alone."""

    currency: str | None = None


class Declared(Row, frozen=True, kw_only=True):
    """What people declared in files."""

    systems: tuple[System, ...] = ()
    objectives: tuple[Objective, ...] = ()
    prices: tuple[PriceTable, ...] = ()


class Impact(Row, frozen=True, kw_only=True):
    """What it costs a day, and on what that rests."""

    per_day: float
    currency: str = "USD"
    basis: str = ""


class Verdict(Row, frozen=True, kw_only=True):
    """What someone said of an incident."""

    at: Time
    word: str
    reason: str | None = None
    by: str | None = None


class Incident(Row, frozen=True, kw_only=True):
    """One thing that is (or was) wrong with one service, in one sentence."""

    id: str
    service: str
    model: str | None = None
    title: str = ""
    state: str = "firing"
    data_state: str = "ok"
    severity: str | None = None
    episode: int = 1
    subjects: tuple[str, ...] = ()
    cost: str = ""
    impact: Impact | None = None
    owner: str | None = None
    onset: Time | None = None
    opened_at: Time
    fired_at: Time | None = None
    resolved_at: Time | None = None
    acknowledged_by: str | None = None
    acknowledged_at: Time | None = None
    held_by: tuple[str, ...] = ()
    feedback: tuple[Verdict, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it still holds."""
        return self.state in {"pending", "firing"}

    @property
    def began(self) -> datetime:
        """When what its first finding says began: often before it was noticed."""
        return self.onset or self.opened_at

    @property
    def noticed(self) -> datetime:
        """When somebody was told, or could have been."""
        return self.fired_at or self.opened_at


class Incidents(Row, frozen=True, kw_only=True):
    """A list of incidents."""

    incidents: tuple[Incident, ...] = ()


class Span(Row, frozen=True, kw_only=True):
    """The half-open span that a finding speaks of."""

    start: Time
    end: Time


class Proof(Row, frozen=True, kw_only=True):
    """Why to believe a finding: the test, how many rows, the corrected p-value, a grade A to D, and the inputs."""

    test: str = ""
    n: int | None = None
    p_value: float | None = None
    grade: str | None = None
    snapshot: dict[str, object] = {}


class Finding(Row, frozen=True, kw_only=True):
    """One statement of one analyzer."""

    metric: str
    analyzer: str = ""
    subjects: tuple[str, ...] = ()
    window: Span | None = None
    as_of: Time | None = None
    since: Time | None = None
    observed: float | None = None
    interval: tuple[float, float] | None = None
    reference: float | None = None
    effect: float | None = None
    unit: str = ""
    severity: str = "notice"
    summary: str = ""
    evidence: Proof = Proof()
    maturity: float | None = None
    impact: Impact | None = None

    @property
    def subject(self) -> str:
        """The first name of the ranking, or the metric itself."""
        return self.subjects[0] if self.subjects else self.metric


class Member(Finding, frozen=True, kw_only=True):
    """The latest finding about one condition of an incident.

    ``alerting`` False: a notice that is only context. ``active`` False: the condition no longer holds.
    """

    alerting: bool = True
    active: bool = True


class Moment(Row, frozen=True, kw_only=True):
    """One line of an incident's timeline."""

    at: Time
    what: str
    actor: str | None = None
    detail: dict[str, object] = {}


class Delivery(Row, frozen=True, kw_only=True):
    """One message to one receiver: waiting, delivered, or dead (refused for good)."""

    receiver: str
    state: str
    transition: str = ""
    attempts: int = 0
    created_at: Time | None = None
    at: Time | None = None
    error: str | None = None


class IncidentStory(Incident, frozen=True, kw_only=True):
    """An incident with everything that proves it."""

    text: str = ""
    contact: str | None = None
    runbook: str | None = None
    fallback: str | None = None
    findings: tuple[Member, ...] = ()
    timeline: tuple[Moment, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def leading(self) -> Member | None:
        """The finding that says best what is wrong."""
        return self.findings[0] if self.findings else None


class Unseen(Row, frozen=True, kw_only=True):
    """A value that the reference never held, and how many rows have it."""

    feature: str
    value: str
    n: Count = None


class SplitRow(Row, frozen=True, kw_only=True):
    """One value of a segment column: what its share of the traffic and its own error make of the error's change."""

    dim: str
    value: str
    cause: str | None = None
    reference_n: Count = None
    n: Count = None
    reference_rate: float | None = None
    rate: float | None = None
    mix: float = 0.0
    mix_lower: float = 0.0
    mix_upper: float = 0.0
    inside: float = 0.0
    inside_lower: float = 0.0
    inside_upper: float = 0.0
    total: float = 0.0
    metric: str = "error_rate"

    @property
    def share(self) -> bool:
        """Whether the error is a share of the answers."""
        return self.metric == "error_rate"


class TelemetryGroup(Row, frozen=True, kw_only=True):
    """The clients of one service, site and version: what they logged, and what became of it."""

    service: str
    site: str = ""
    version: str = ""
    state: str
    clients: int = 0
    online: int = 0
    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    dropped: int = 0
    missing: int = 0
    pending: int = 0
    overdue: int = 0
    last_seen: Time | None = None


class ExpectedSite(Row, frozen=True, kw_only=True):
    """One declared expectation: a site of a service, or (site None) the whole service."""

    service: str
    site: str | None = None
    expect_every_seconds: float
    state: str
    last_seen: Time | None = None
    offline_since: Time | None = None

    @property
    def every(self) -> timedelta:
        """The longest silence that is expected."""
        return timedelta(seconds=self.expect_every_seconds)


class Telemetry(Row, frozen=True, kw_only=True):
    """Who sends, and whoever is expected to."""

    now: Time
    groups: tuple[TelemetryGroup, ...] = ()
    expected: tuple[ExpectedSite, ...] = ()


class RejectReason(Row, frozen=True, kw_only=True):
    """One reason for which events were turned away, and how many."""

    kind: str
    reason: str
    n: int
    service: str | None = None
    field: str | None = None


class Rejects(Row, frozen=True, kw_only=True):
    """What was turned away and not sent again since."""

    reasons: tuple[RejectReason, ...] = ()
