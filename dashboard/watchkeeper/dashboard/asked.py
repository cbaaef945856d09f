"""What each page asks, in one burst of concurrent questions."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from watchkeeper.dashboard import promises, rows
from watchkeeper.dashboard.client import Asked, Client
from watchkeeper.schemas.errors import NotFound

DAY = timedelta(days=1)
FLEET = timedelta(days=7)
BUDGET_SHOWN = timedelta(days=28)
NEWEST = timedelta(days=2)
"""What is evaluated daily was evaluated within this time."""
WINDOWS: dict[str, timedelta | None] = {
    "7d": timedelta(days=7), "28d": timedelta(days=28), "90d": timedelta(days=90), "all": None,
}  # fmt: skip
STEPS = (timedelta(hours=1), timedelta(hours=6), DAY, timedelta(days=7))
MOST_STEPS = 100
BEFORE, AFTER = timedelta(days=7), timedelta(days=2)
"""How much of the time around an incident its evidence shows."""

T = TypeVar("T")

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Head:
    """What every page starts from: the clock and completeness, what was declared, what is wrong now.

    Where nothing is, ``lately`` holds what was, within the days that Fleet health shows.
    """

    status: rows.Status
    declared: rows.Declared
    incidents: tuple[rows.Incident, ...]
    worst: rows.IncidentStory | None = None
    lately: tuple[rows.Incident, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What was sent, what arrived, and what was turned away."""

    status: rows.Status
    ledger: rows.Telemetry
    rejects: rows.Rejects


@dataclass(frozen=True, slots=True)
class Promised:
    """The objectives, and the course of their budgets."""

    status: rows.Status
    slos: promises.Slos
    span: Span
    budgets: tuple[rows.Reading, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """All models over seven days: the last day, the seven, the seven before, and the course of each number."""

    span: Span
    step: timedelta
    day: tuple[rows.Overview, ...]
    week: tuple[rows.Overview, ...]
    before: tuple[rows.Overview, ...]
    traffic: tuple[rows.Traffic, ...]
    drift: tuple[rows.Reading, ...]
    budgets: tuple[rows.Reading, ...]
    errors: tuple[rows.Reading, ...]
    costs: tuple[rows.Reading, ...]
    changes: tuple[rows.Change, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """One model over a window."""

    span: Span
    step: timedelta
    overview: rows.Overview | None
    before: rows.Overview | None
    traffic: tuple[rows.Traffic, ...]
    quality: tuple[rows.Quality, ...]
    drift: tuple[rows.Reading, ...]
    budgets: tuple[rows.Reading, ...]
    costs: tuple[rows.Reading, ...]
    bins: tuple[rows.Bin, ...]
    features: tuple[rows.Feature, ...]
    unseen: tuple[rows.Unseen, ...]
    changes: tuple[rows.Change, ...]
    states: tuple[rows.QualityState, ...]
    delays: tuple[rows.LabelDelay, ...]
    looks: Mapping[str, tuple[rows.Reading, ...]] = field(default_factory=dict[str, "tuple[rows.Reading, ...]"])
    """The newest readings of the analyzers that are shown as tables, by analyzer."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One incident, and the numbers around its onset."""

    story: rows.IncidentStory
    span: Span
    onset: datetime
    readings: tuple[rows.Reading, ...]
    bins: tuple[rows.Bin, ...]
    changes: tuple[rows.Change, ...]
    split: tuple[rows.SplitRow, ...] = ()


def head(client: Client) -> Head:
    """Ask for what every page starts from; of the worst incident everything, as a list cuts its sentence short."""
    status, declared = client.later(client.status), client.later(client.declared)
    incidents = [one for one in client.incidents("open") if one.open]
    if incidents:
        return Head(status.result(), declared.result(), tuple(incidents), client.incident(incidents[0].id))
    begin = status.result().now - FLEET
    over = (one for one in client.incidents("resolved") if one.resolved_at is not None and one.resolved_at >= begin)
    return Head(status.result(), declared.result(), (), lately=tuple(over))


def telemetry(client: Client) -> Heard:
    """Ask for the ledger of telemetry."""
    status, ledger = client.later(client.status), client.later(client.telemetry)
    rejects = client.rejects()
    return Heard(status.result(), ledger.result(), rejects)


def objectives(client: Client) -> Promised:
    """Ask how every objective stands, and how each budget went over four weeks."""
    status, slos = client.later(client.status), client.slos()
    span = (slos.as_of - BUDGET_SHOWN, slos.as_of)
    asking = {"start": span[0], "end": _after(span[1]), "metric": "slo_budget_left"}
    return Promised(status.result(), slos, span, client.query(rows.Reading, "readings", asking))


def fleet(client: Client, now: datetime) -> Fleet:
    """Ask for all models."""
    span = (now - FLEET, now)
    step = step_of(span)
    ask = _Asking(client, {"start": span[0], "end": now})
    known = {"end": _after(now)}
    day = ask(rows.Overview, "overview", {"start": now - DAY})
    traffic = ask(rows.Traffic, "traffic", {"start": aligned(span[0], step), "step": _seconds(step)})
    week = ask(rows.Overview, "overview")
    drift = ask(rows.Reading, "readings", known | {"metric": "psi"})
    budgets = ask(rows.Reading, "readings", known | {"metric": "slo_budget_left"})
    before = ask(rows.Overview, "overview", {"start": span[0] - FLEET, "end": span[0]})
    errors = ask(rows.Reading, "readings", known | {"metric": "error_rate"})
    costs = ask(rows.Reading, "readings", known | {"metric": "cost_per_request", "start": span[0] - DAY})
    changes = ask(rows.Change, "changes", known)
    return Fleet(
        span, step, day.result(), week.result(), before.result(), traffic.result(), drift.result(), budgets.result(),
        errors.result(), costs.result(), changes.result(),
    )  # fmt: skip


def models(client: Client, now: datetime) -> tuple[rows.Overview, ...]:
    """List every model that ever sent something, with what it did in the last seven days."""
    return client.query(rows.Overview, "overview", {"start": now - FLEET, "end": now})


def model(
    client: Client,
    service: str,
    name: str,
    window: timedelta | None,
    now: datetime,
    first: datetime,
    looked_at: tuple[str, ...] = (),
) -> Model:
    """Ask for one model over a window that ends now; a window of None goes back to its first event.

    ``looked_at`` names the analyzers whose newest readings are shown as tables.
    """
    span = (min(max(first, now - window) if window is not None else first, now - DAY), now)
    step = step_of(span)
    slow = max(step, DAY)
    ask = _Asking(client, {"start": span[0], "end": now, "service": service, "model": name})
    known = {"end": _after(now)}
    traffic = ask(rows.Traffic, "traffic", {"start": aligned(span[0], step), "step": _seconds(step)})
    overview = ask(rows.Overview, "overview")
    before = ask(rows.Overview, "overview", {"start": span[0] - (now - span[0]), "end": span[0]})
    quality = ask(rows.Quality, "quality", {"start": aligned(span[0], slow), "step": _seconds(slow)})
    drift = ask(rows.Reading, "readings", known | {"metric": "psi"})
    budgets = ask(rows.Reading, "readings", known | {"metric": "slo_budget_left", "model": None})
    costs = ask(rows.Reading, "readings", known | {"metric": "cost_per_request", "subject": "cost"})
    changes = ask(rows.Change, "changes", known | {"model": None})
    bins = ask(rows.Bin, "histogram")
    features = ask(rows.Feature, "features")
    unseen = client.later(_unseen, client, ask.always)
    states = ask(rows.QualityState, "quality_states")
    delays = ask(rows.LabelDelay, "label_delay")
    newest = known | {"start": now - NEWEST}
    looks = {one: ask(rows.Reading, "readings", newest | {"analyzer": one}) for one in looked_at}
    return Model(
        span, step, _of(overview.result(), name), _of(before.result(), name), traffic.result(), quality.result(),
        drift.result(), budgets.result(), costs.result(), bins.result(), features.result(), unseen.result(),
        changes.result(), states.result(), delays.result(), {one: found.result() for one, found in looks.items()},
    )  # fmt: skip


def evidence(client: Client, identity: str, now: datetime) -> Evidence:
    """Ask for one incident, then for what surrounds its onset."""
    story = client.incident(identity)
    finding = story.leading
    onset = story.began
    end = min(now, (story.resolved_at or now) + AFTER)
    span = (min(onset - BEFORE, end - BEFORE), end)
    ask = _Asking(client, {"start": span[0], "end": _after(end), "service": story.service, "model": story.model})
    changes = ask(rows.Change, "changes", {"model": None})
    if finding is None:
        return Evidence(story, span, onset, (), (), changes.result())
    metric, subject = course_of(finding)
    readings = ask(rows.Reading, "readings", {"metric": metric, "subject": subject})
    if finding.window is None or story.model is None:
        return Evidence(story, span, onset, readings.result(), (), changes.result())
    of_window = {"start": finding.window.start, "end": finding.window.end, "feature": finding.subject}
    bins = ask(rows.Bin, "histogram", of_window)
    split = _split(ask, story)
    return Evidence(story, span, onset, readings.result(), bins.result(), changes.result(), split)


def _split(ask: _Asking, story: rows.IncidentStory) -> tuple[rows.SplitRow, ...]:
    """Ask where the error comes from, over the week that the first finding about outcomes ends with."""
    about = next((one for one in story.findings if one.window and any(map(_of_outcomes, one.subjects))), None)
    if about is None or about.window is None:
        return ()
    end = about.window.end
    window = {"start": min(about.window.start, end - FLEET), "end": end, "as_of": about.as_of}
    return ask(rows.SplitRow, "split", window).result()


def _of_outcomes(subject: str) -> bool:
    return subject in {"error", "outcome", "calibration"} or subject.startswith("segment:")


def course_of(finding: rows.Finding) -> tuple[str, str]:
    """Give metric and subject of the readings behind a finding: those of a burn rate are by objective and window.

    >>> day = rows.Span(start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 1, 4, tzinfo=UTC))
    >>> course_of(rows.Finding(metric="burn_rate fast", subjects=("latency",), window=day))
    ('burn_rate', 'fast 3d')
    >>> course_of(rows.Finding(metric="psi", subjects=("carrier",)))
    ('psi', 'carrier')
    >>> course_of(rows.Finding(metric="strength, stronger (2)", subjects=("carrier",)))
    ('strength', 'carrier')
    """
    metric, _, objective = finding.metric.partition(",")[0].partition(" ")
    if not objective or finding.window is None:
        return metric, finding.subject
    hours = round((finding.window.end - finding.window.start) / timedelta(hours=1))
    return metric, f"{objective} {hours // 24}d" if hours % 24 == 0 else f"{objective} {hours}h"


def step_of(span: Span) -> timedelta:
    """Choose the step that gives a line at most ``MOST_STEPS`` points.

    >>> now = datetime(2026, 11, 21, tzinfo=UTC)
    >>> [str(step_of((now - timedelta(days=days), now))) for days in (1, 7, 28, 90, 365)]
    ['1:00:00', '6:00:00', '1 day, 0:00:00', '1 day, 0:00:00', '7 days, 0:00:00']
    """
    return next((step for step in STEPS if (span[1] - span[0]) / step <= MOST_STEPS), STEPS[-1])


def aligned(start: datetime, step: timedelta) -> datetime:
    """Give the start of the bucket that holds ``start``, so that no bucket is cut short at the left.

    >>> aligned(datetime(2026, 11, 21, 9, 40, tzinfo=UTC), timedelta(hours=3)).isoformat()
    '2026-11-21T09:00:00+00:00'
    """
    seconds = _seconds(step)
    return datetime.fromtimestamp(int(start.timestamp()) // seconds * seconds, UTC)


class _Asking:
    """Ask named queries beside each other, each with the parameters that all share and its own."""

    def __init__(self, client: Client, always: Asked) -> None:
        self.client = client
        self.always = always

    def __call__(self, row: type[T], name: str, more: Asked | None = None) -> Future[tuple[T, ...]]:
        return self.client.later(self.client.query, row, name, {**self.always, **(more or {})})


def _unseen(client: Client, params: Asked) -> tuple[rows.Unseen, ...]:
    """Ask which values are new; a server that cannot name them still counts them (``features``)."""
    try:
        return client.query(rows.Unseen, "unseen", params)
    except NotFound:
        return ()


def _of(found: tuple[rows.Overview, ...], model_name: str) -> rows.Overview | None:
    return next((row for row in found if row.model == model_name), None)


def _after(now: datetime) -> datetime:
    """Give an end that includes what carries exactly the time of now."""
    return now + timedelta(seconds=1)


def _seconds(step: timedelta) -> int:
    return int(step.total_seconds())
