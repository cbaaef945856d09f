"""Takes findings in: findings, incident changes, messages and watermarks, in one control transaction.

The same evaluation may be recorded again, after a crash say: its findings are there already, so nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.alerts.alertmanager.posted import RESOLVE_TIMEOUT
from watchkeeper.alerts.incidents.incidents import SILENT, Step, Timing, evaluate
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.messages.notices import LastChange
from watchkeeper.alerts.routing.dispatch import Dispatch, no_change_known
from watchkeeper.alerts.routing.labels import RECEIVED
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Finding, Json
from watchkeeper.store.control import findings as stored_findings
from watchkeeper.store.control import incidents as stored_incidents
from watchkeeper.store.control import watermarks
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.records import Incident, IncidentEvent, Member


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """What one record did to one incident: ``kind`` is a word of the timeline, ``receivers`` who will be told."""

    incident: Incident
    kind: str
    at: datetime
    receivers: tuple[str, ...] = ()


def record(
    control: Control,
    findings: Sequence[Finding],
    declarations: Declarations,
    as_of: datetime,
    links: Links,
    *,
    watermarks: Mapping[str, datetime] | None = None,
    last_change: LastChange = no_change_known,
    timing: Timing | None = None,
    waits: bool = False,
    now: datetime | None = None,
    also: Callable[[Transaction], None] | None = None,
) -> list[IncidentChange]:
    """Store one evaluation and everything that follows from it, or nothing of it.

    Call it after every evaluation, also when nothing was found: time alone ends incidents. ``as_of`` is the time of
    evaluation, in a replay not the wall's; ``now`` is the wall's where that is another: messages wait since then.
    ``watermarks`` (by the analyzer's name, as in its findings) are stored in the same transaction; an incident does
    not go quiet past the watermark of the analyzer that found it. ``also`` is done in the same transaction, and
    then time passes for those alone of which there is a finding. ``waits``: news waits to be grouped, and
    ``flush_due`` tells it; a replay, whose clock jumps, tells at once.
    """
    with control.transaction() as tx:
        tx.serialize("intake")
        if also is not None:
            also(tx)
        dispatch = Dispatch(tx, declarations, links, last_change, waits, now)
        timing = timing or timing_of(declarations)
        intake = _Intake(tx, declarations, as_of, dispatch, timing, only_new=also is not None)
        return intake.take(findings, watermarks or {})


def record_news(dispatch: Dispatch, findings: Sequence[Finding], as_of: datetime) -> list[IncidentChange]:
    """Store findings inside the caller's transaction, which is serialized as ``intake`` and has more to write.

    Time passes for those incidents alone of which there is a finding.
    """
    timing = timing_of(dispatch.declared)
    intake = _Intake(dispatch.tx, dispatch.declared, as_of, dispatch, timing, only_new=True)
    return intake.take(findings, {})


def timing_of(declared: Declarations) -> Timing:
    """Give the times that the declared monitors ask for; the most specific monitor that says one counts."""
    said = [one for one in declared.monitors if one.hold is not None or one.keep is not None]

    def own(incident: Incident, member: Member) -> tuple[timedelta | None, timedelta | None]:
        if member.analyzer == RECEIVED:
            return timedelta(0), RESOLVE_TIMEOUT
        fitting = [
            one
            for one in said
            if one.analyzer == member.analyzer
            and one.service in {None, incident.service}
            and one.model in {None, incident.model}
        ]
        fitting.sort(key=lambda one: (one.model is None, one.service is None))
        hold = next((one.hold for one in fitting if one.hold is not None), None)
        return hold, next((one.keep for one in fitting if one.keep is not None), None)

    return Timing(own=own)


class _Intake:
    """One evaluation inside its transaction."""

    def __init__(
        self,
        tx: Transaction,
        declared: Declarations,
        as_of: datetime,
        dispatch: Dispatch,
        timing: Timing,
        *,
        only_new: bool,
    ) -> None:
        self._tx = tx
        self._declared = declared
        self._as_of = as_of
        self._timing = timing
        self._dispatch = dispatch
        self._only_new = only_new

    def take(self, findings: Sequence[Finding], marks: Mapping[str, datetime]) -> list[IncidentChange]:
        for analyzer, at in marks.items():
            watermarks.put(self._tx, analyzer, at)
        known_marks = watermarks.every(self._tx)
        by_model: dict[tuple[str, str], list[Finding]] = {}
        for finding in stored_findings.insert(self._tx, findings):
            by_model.setdefault((finding.service, finding.model), []).append(finding)
        known = stored_incidents.latest_of(self._tx, by_model)
        if not self._only_new:
            still_open = stored_incidents.listed(self._tx, limit=None)
            known |= {(incident.service, incident.model): incident for incident in still_open}
        steps: list[Step] = []
        for about in sorted({*by_model, *known}):

            def evaluated(member: Member, service: str = about[0]) -> datetime:
                if member.analyzer == RECEIVED:
                    return member.held_at  # its sender says when it ends, or falls silent: that is looked at there
                own = known_marks.get((member.analyzer, service))
                return own or known_marks.get((member.analyzer, "")) or self._as_of

            steps += evaluate(known.get(about), by_model.get(about, []), self._as_of, self._timing, evaluated)
        return self._store(steps)

    def _store(self, steps: list[Step]) -> list[IncidentChange]:
        """Write all changes, each kind at once: in a storm there are thousands."""
        stored_incidents.save(self._tx, *{step.incident.id: step.incident for step in steps}.values())
        self._dispatch.prepare((step.incident, step.causes) for step in steps if step.kind in {"fired", "updated"})
        lines: list[tuple[str, IncidentEvent]] = []
        changes: list[IncidentChange] = []
        for step in steps:
            if step.kind == SILENT:
                continue
            told = self._tell(step) if step.tell else []
            detail: dict[str, Json] = {**step.detail, "receivers": [*told]} if step.tell else step.detail
            lines.append((step.incident.id, IncidentEvent(step.at, step.kind, detail)))
            changes.append(IncidentChange(step.incident, step.kind, step.at, tuple(told)))
        self._dispatch.store()
        stored_incidents.notes(self._tx, lines)
        return changes

    def _tell(self, step: Step) -> list[str]:
        """Let its groups know; where nothing waits, they are told at once, as of this step."""
        incident = step.incident
        told = self._dispatch.end if step.kind == "resolved" else None
        names, groups = told(incident, step.at) if told else self._dispatch.news(incident, step.causes, step.at)
        if not self._dispatch.waits:
            self._dispatch.flush(groups, step.at, {incident.id: incident})
        return names
