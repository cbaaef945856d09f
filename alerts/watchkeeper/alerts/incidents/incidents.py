"""When is something one incident, when does it begin and end, and when are people told again? Pure.

inactive → pending → firing → resolved. One incident a (service, model): while it is open, every other finding about
the same service and model joins it. People are told when it fires, when it gets more severe than they were told,
when a first subject appears that they were not told of, when an analyzer says that a known one is much larger, and
when it is resolved. Nothing else makes a sound. Errors, calibration and outcomes that turn round are one matter: what
of it comes within two weeks of what was told is the same fault.

Misleads when two unrelated faults of one model overlap: they are told as one incident, the second as an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from watchkeeper.alerts.incidents.urgency import LOUDNESS, loudest, ranked
from watchkeeper.schemas.findings import STRONGER, SURER, DataState, Finding, Json, Severity
from watchkeeper.store.control.records import Incident, Member, Phase

SILENT = "seen"
"""The kind of a step that changes what is known, and is no news for the timeline."""

OFFLINE = "data.silence"
"""The analyzer that says who is silent; the subject is the silent place itself."""

ONE_MATTER = frozenset({"error", "calibration", "outcome"})
"""Subjects that ask in three ways whether answers come true: one fault shows in all of them, on near days."""
SAME_FAULT = timedelta(days=14)

BLIND = frozenset({DataState.STALE, DataState.ABSENT, DataState.EVALUATOR_ERROR})
"""Data states in which "not active" says nothing: the condition could not be looked at."""

WORST_FIRST = (
    DataState.EVALUATOR_ERROR,
    DataState.ABSENT,
    DataState.STALE,
    DataState.PARTIAL,
    DataState.OK,
)


OwnTimes = Callable[[Incident, Member], tuple[timedelta | None, timedelta | None]]
"""How long a condition must hold, and how long its incident outlives it, where that is not as usual."""


def no_own_times(_incident: Incident, _member: Member) -> tuple[timedelta | None, timedelta | None]:
    """Leave everything as usual."""
    return None, None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a condition must hold before it fires, and how long it must be quiet before it is over.

    ``quiet`` ends what nobody looks at any more. ``keep_page`` and ``keep_ticket`` keep an incident open after its
    last condition went away, so that one which comes and goes around its threshold is told once, not each time.
    """

    hold: timedelta = timedelta(0)
    quiet: timedelta = timedelta(days=7)
    keep_page: timedelta = timedelta(hours=1)
    keep_ticket: timedelta = timedelta(days=7)
    own: OwnTimes = no_own_times

    def holds(self, incident: Incident, member: Member) -> timedelta:
        """Give how long this condition must hold before it is told."""
        own, _ = self.own(incident, member)
        return self.hold if own is None else own

    def keep(self, incident: Incident) -> timedelta:
        """Give how long an incident outlives its last condition: the longest of its conditions' own times, if any."""
        if incident.state is Phase.PENDING:
            return timedelta(0)
        own = [keep for member in incident.alerting if (keep := self.own(incident, member)[1]) is not None]
        if own:
            return max(own)
        return self.keep_page if incident.told_severity is Severity.PAGE else self.keep_ticket


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one incident, as a line for its timeline; ``causes`` are the fingerprints to tell of."""

    incident: Incident
    at: datetime
    kind: str
    detail: dict[str, Json] = field(default_factory=dict[str, Json])
    causes: tuple[str, ...] = ()

    @property
    def tell(self) -> bool:
        """Whether people are told."""
        return self.kind in {"fired", "updated", "resolved"}


Evaluated = Callable[[Member], datetime]
"""How far the analyzer of a member has come: what it has not looked at cannot have become quiet."""


def evaluate(
    last: Incident | None, findings: Iterable[Finding], now: datetime, timing: Timing, evaluated: Evaluated
) -> list[Step]:
    """Give every change that these findings about one service and model make, and that time alone makes, in order.

    ``last`` is the newest episode. The order of the findings does not matter; each time of evaluation is settled
    by itself, so that a year at once ends as a year day by day.
    """
    steps: list[Step] = []
    ordered = sorted(findings, key=lambda finding: (finding.as_of, not finding.active, _strength(finding)))
    for as_of, group in groupby(ordered, key=lambda finding: finding.as_of):
        for finding in group:
            steps += advance(steps[-1].incident if steps else last, finding)
        steps += settle(steps[-1].incident if steps else last, as_of, timing, evaluated)
    return steps + settle(steps[-1].incident if steps else last, now, timing, evaluated)


def advance(state: Incident | None, finding: Finding) -> list[Step]:
    """Take one finding in: open an episode, join the open one, or mark one of its members quiet."""
    if state is None or not state.open:
        return _open(state, finding)
    known = _member(state, finding.fingerprint)
    if known is None:
        return _join(state, finding) if finding.active else []
    if finding.as_of < known.last_at:
        return []
    return _again(state, known, finding) if finding.active else _quieten(state, known, finding)


def settle(state: Incident | None, now: datetime, timing: Timing, evaluated: Evaluated) -> list[Step]:
    """Fire, tell of what is new, or end the incident, as it stands at ``now``."""
    if state is None or not state.open:
        return []
    now = max(now, state.opened_at)
    steps: list[Step] = []
    for member in state.members:
        if member.active and min(now, evaluated(member)) - member.held_at >= timing.quiet:
            state = _with_member(state, replace(member, active=False))
            steps.append(Step(state, now, "quiet", {"fingerprint": member.fingerprint, "subject": member.subject}))
    going_on = [member for member in state.alerting if member.active]
    if not going_on:
        calm_since = max((member.held_at for member in state.alerting), default=state.opened_at)
        return [*steps, _end(state, now)] if now - calm_since >= timing.keep(state) else steps
    ripe = [member for member in going_on if now - member.first_at >= timing.holds(state, member)]
    return steps + _tell(state, now, ripe) if ripe else steps


def _open(last: Incident | None, finding: Finding) -> list[Step]:
    known = None if last is None else _member(last, finding.fingerprint)
    old_news = known is not None and finding.as_of <= known.last_at
    if not finding.active or not finding.severity.alerts or old_news:
        return []
    # An episode counts once it fired: what was pending and went away is taken up again.
    fresh = last is None or last.state is Phase.RESOLVED
    episode = 1 if last is None else last.episode + fresh
    # An analyzer that lags behind may find something from before the last end; time never goes back here.
    opened_at = max(finding.as_of, last.resolved_at) if last and last.resolved_at else finding.as_of
    incident = Incident(finding.service, finding.model, episode, Phase.PENDING, opened_at, (_new_member(finding),))
    return [Step(_with_data_state(incident), opened_at, "opened", _said(finding))]


def _join(state: Incident, finding: Finding) -> list[Step]:
    joined = replace(state, members=(*state.members, _new_member(finding)))
    kind = "joined" if finding.severity.alerts else "context"
    return [Step(_with_data_state(joined), finding.as_of, kind, _said(finding))]


def _again(state: Incident, known: Member, finding: Finding) -> list[Step]:
    louder = LOUDNESS[finding.severity] > LOUDNESS[known.severity]
    begins_anew = not known.active and _told_as(known) not in state.told_subjects
    changed = replace(
        known,
        first_at=finding.as_of if begins_anew else known.first_at,
        subjects=finding.subjects,
        severity=finding.severity if louder else known.severity,
        grade=min(known.grade, finding.evidence.grade),
        effect=finding.effect,
        last_key=finding.key,
        last_at=finding.as_of,
        held_at=finding.as_of,
        active=True,
        data_state=finding.data_state,
        labels=finding.labels,
    )
    kind = "escalated" if louder else SILENT if known.active else "returned"
    return [Step(_with_member(state, changed), finding.as_of, kind, _said(finding))]


def _quieten(state: Incident, known: Member, finding: Finding) -> list[Step]:
    blind = finding.data_state in BLIND
    changed = replace(
        known,
        last_at=finding.as_of,
        held_at=finding.as_of if blind else known.held_at,
        active=known.active and blind,
        data_state=finding.data_state,
    )
    news = known.data_state not in BLIND if blind else known.active
    kind = SILENT if not news else "not_visible" if blind else "quiet"
    return [Step(_with_member(state, changed), finding.as_of, kind, _said(finding))]


def _end(state: Incident, now: datetime) -> Step:
    calm = tuple(replace(member, active=False) for member in state.members)
    if state.state is Phase.PENDING:
        return Step(replace(state, state=Phase.INACTIVE, members=calm), now, "subsided")
    resolved = replace(state, state=Phase.RESOLVED, members=calm, resolved_at=now, told=state.told + 1)
    return Step(resolved, now, "resolved", causes=tuple(member.fingerprint for member in ranked(calm)))


def _tell(state: Incident, now: datetime, going_on: list[Member]) -> list[Step]:
    known = -1 if state.told_severity is None else LOUDNESS[state.told_severity]
    untold = [
        member
        for member in ranked(going_on)
        if LOUDNESS[member.severity] > known
        or not (_told_as(member) in state.told_subjects or _same_fault(state, member) or _was_named(state, member))
    ]
    if not untold:
        return []
    loud = loudest(going_on)
    told = replace(
        state,
        state=Phase.FIRING,
        fired_at=state.fired_at or now,
        told=state.told + 1,
        told_severity=loud if LOUDNESS[loud] > known else state.told_severity,
        told_subjects=tuple(dict.fromkeys([*state.told_subjects, *map(_told_as, untold)])),
    )
    kind = "fired" if state.state is Phase.PENDING else "updated"
    return [Step(told, now, kind, {"subjects": [*told.told_subjects]}, tuple(member.fingerprint for member in untold))]


def _told_as(member: Member) -> str:
    """Name what people were told of: who knows that a site loses events does not know that it is offline."""
    if member.analyzer == OFFLINE:
        return f"{member.subject} (offline)"
    _, mark, times = member.metric.partition(STRONGER)
    return f"{member.subject}{mark}{times}"


def _same_fault(state: Incident, member: Member) -> bool:
    """Whether it is another measure of what people were told of (as strong), and began within days of that."""
    return member.subject in ONE_MATTER and any(
        other.subject in ONE_MATTER
        and _told_as(other) in state.told_subjects
        and (STRONGER in other.metric) >= (STRONGER in member.metric)
        and LOUDNESS[other.severity] >= LOUDNESS[member.severity]
        and abs(member.first_at - other.first_at) <= SAME_FAULT
        for other in state.alerting
    )


def _was_named(state: Incident, member: Member) -> bool:
    """Whether it is no larger than it was, and people were told its name behind another."""
    return SURER in member.metric and any(
        member.subject in other.subjects and _told_as(other) in state.told_subjects for other in state.alerting
    )


def _member(state: Incident, fingerprint: str) -> Member | None:
    return next((member for member in state.members if member.fingerprint == fingerprint), None)


def _with_member(state: Incident, changed: Member) -> Incident:
    members = tuple(changed if member.fingerprint == changed.fingerprint else member for member in state.members)
    return _with_data_state(replace(state, members=members))


def _with_data_state(state: Incident) -> Incident:
    known = {member.data_state for member in state.members if member.active} or {DataState.OK}
    return replace(state, data_state=next(one for one in WORST_FIRST if one in known))


def _new_member(finding: Finding) -> Member:
    return Member(
        fingerprint=finding.fingerprint,
        analyzer=finding.analyzer,
        metric=finding.metric,
        subjects=finding.subjects,
        severity=finding.severity,
        grade=finding.evidence.grade,
        effect=finding.effect,
        first_key=finding.key,
        last_key=finding.key,
        first_at=finding.as_of,
        last_at=finding.as_of,
        held_at=finding.as_of,
        data_state=finding.data_state,
        labels=finding.labels,
    )


def _strength(finding: Finding) -> tuple[int, str, float, str]:
    return (-LOUDNESS[finding.severity], finding.evidence.grade, -abs(finding.effect or 0.0), finding.key)


def _said(finding: Finding) -> dict[str, Json]:
    return {
        "finding": finding.key,
        "fingerprint": finding.fingerprint,
        "severity": finding.severity.value,
        "subject": finding.subject,
        "summary": finding.summary,
    }
