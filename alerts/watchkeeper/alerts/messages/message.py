"""What does a message about an incident say? One text for the person woken at 3 a.m., and its parts. Pure.

The first line says how loud, which service, what. Then: since when, where to look first, how sure, what it costs,
what changed before, who owns it, where the proof is. What is not known is said to be not known. Of an objective it says
in lines of their own how fast its error budget goes, and when that is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.alerts.incidents.urgency import holding, loudest, ranked, subjects
from watchkeeper.alerts.messages.notification import Transition
from watchkeeper.alerts.messages.wording import burning, duration, left, moment, named, number, one_line, proven
from watchkeeper.schemas.declared import Declarations, System
from watchkeeper.schemas.findings import DataState, ErrorBudget, Finding, Impact, Severity
from watchkeeper.store.control.records import Incident, Member

TITLE_LENGTH = 110
SERVICE_LENGTH = 40
SHOWN_FINDINGS = 5
SHOWN_SUBJECTS = 6
SHOWN_EXAMPLES = 3
SHOWN_BUDGETS = 3

DATA_WORDS = {
    DataState.PARTIAL: "a part of the data is missing",
    DataState.STALE: "the data are old: what is said may be over, or worse",
    DataState.ABSENT: "no data arrive: nobody can see whether it goes on",
    DataState.EVALUATOR_ERROR: "the analyzer failed: nobody can see whether it goes on",
}


@dataclass(frozen=True, slots=True)
class Content:
    """The whole text, whose first line is ``title``, and the parts that may be shown by themselves.

    ``about`` names the model, where a line of several incidents would not tell them apart.
    """

    title: str
    about: str
    what: str
    text: str
    severity: Severity
    subjects: tuple[str, ...]
    cost: str
    impact: Impact | None
    owner: str | None
    contact: str | None
    runbook: str | None
    fallback: str | None
    evidence_url: str
    examples: tuple[str, ...]
    since: datetime
    budgets: tuple[ErrorBudget, ...]
    last_change: str | None


def compose(
    transition: Transition,
    incident: Incident,
    findings: Mapping[str, Finding],
    declared: Declarations,
    evidence_url: Callable[[str], str],
    *,
    new: Iterable[str] = (),
    last_change: str | None = None,
) -> Content:
    """Write the message.

    ``findings`` holds, by key, the first and the latest one of each member; ``new`` is what to tell of first.
    ``last_change`` is one sentence about what was changed on purpose before; it is a candidate, never a proof.
    """
    first = set(new)
    every = ranked(incident.members, findings)
    members = sorted(every, key=lambda member: first != set() and member.fingerprint not in first)
    shown = [findings[member.last_key] for member in members if member.last_key in findings]
    about = [member for member in members if member.fingerprint in first] or holding(members, findings)
    severity = loudest(about, Severity.TICKET)
    said = shown[0].summary if shown else ", ".join(subjects(incident.members, findings))
    what = said.removeprefix(f"{incident.service}: ")  # the title names the service
    loud = {"fired": severity.upper(), "updated": f"{severity.upper()} (update)", "resolved": "RESOLVED"}[transition]
    title = one_line(f"{loud} {one_line(incident.service, SERVICE_LENGTH)}: {what}", TITLE_LENGTH)
    system = declared.system_of(incident.service)
    impact = max((item.impact for item in shown if item.impact), key=lambda item: item.per_day, default=None)
    cost = _cost(impact, any(value.service == incident.service for value in declared.values))
    # What is new comes first.
    names = list(dict.fromkeys([*subjects(about, findings), *subjects(incident.members, findings)]))
    url = evidence_url(incident.id)
    examples = tuple(dict.fromkeys(one for finding in shown for one in finding.examples))
    budgets = _budgets(shown)
    ended = transition == "resolved"
    fallback = _fallback(budgets, declared) or (system.fallback if system else None)
    began = _began(incident, findings)
    lines = [
        title,
        f"Service {one_line(incident.service, 200)}, {_model(incident)}incident {incident.id}.",
        _since(transition, incident, began),
        f"{'It was about' if ended else 'Look first at'}: {', '.join(named(name) for name in names[:SHOWN_SUBJECTS])}.",
        *_findings(members, findings),
        *(f"Burn rate: {burning(one)}." for one in budgets if not ended),
        *(f"Error budget of {one_line(one.objective, 80)}: {left(one, over=ended)}." for one in budgets),
        *_examples(examples),
        f"Cost{' while it lasted' if ended else ''}: {cost}.",
        *([f"Changed before: {one_line(last_change, 300)} (a candidate, no proof)."] if last_change else []),
        *([f"Data: {DATA_WORDS[incident.data_state]}."] if incident.data_state in DATA_WORDS else []),
        *_owner(system, incident.service, pages=severity is Severity.PAGE and not ended),
        *([f"Fall back on: {one_line(fallback, 300)}"] if fallback and not ended else []),
        f"Evidence: {url}",
    ]
    return Content(
        title=title,
        about=f"Model {one_line(incident.model, 80)}. " if incident.model else "",
        what=one_line(what, 300),
        text="\n".join(lines),
        severity=severity,
        subjects=tuple(names),
        cost=cost,
        impact=impact,
        owner=system.owner if system else None,
        contact=system.contact if system else None,
        runbook=system.runbook if system else None,
        fallback=fallback,
        evidence_url=url,
        examples=examples,
        since=began,
        budgets=budgets,
        last_change=last_change,
    )


def _began(incident: Incident, findings: Mapping[str, Finding]) -> datetime:
    keys = {key for member in incident.alerting for key in (member.first_key, member.last_key)}
    known = [findings[key] for key in keys if key in findings]
    return min([incident.opened_at, *(finding.since or finding.window.start for finding in known)])


def _since(transition: Transition, incident: Incident, began: datetime) -> str:
    noticed = incident.fired_at or incident.opened_at
    late = duration(noticed - began) if noticed > began else "at once"
    words = f"Since {moment(began)}, noticed {moment(noticed)} ({late}{'' if late == 'at once' else ' later'})."
    if transition == "resolved" and incident.resolved_at is not None:
        words += f" Over since {moment(incident.resolved_at)}, after {duration(incident.resolved_at - began)}."
    return words


def _model(incident: Incident) -> str:
    return f"model {one_line(incident.model, 200)}, " if incident.model else ""


def _budgets(shown: Iterable[Finding]) -> tuple[ErrorBudget, ...]:
    """Give the error budgets that findings speak of, each objective once, the fastest burning first."""
    fastest: dict[str, ErrorBudget] = {}
    for finding in shown:
        one = finding.budget
        if one is not None and (one.objective not in fastest or one.burn > fastest[one.objective].burn):
            fastest[one.objective] = one
    return tuple(sorted(fastest.values(), key=lambda one: -one.burn)[:SHOWN_BUDGETS])


def _findings(members: list[Member], findings: Mapping[str, Finding]) -> list[str]:
    lines: list[str] = []
    for member in members[:SHOWN_FINDINGS]:
        finding = findings.get(member.last_key)
        if finding is not None:
            summary = one_line(finding.summary.removeprefix(f"{finding.service}: "), 300).rstrip(".")
            no_longer = "" if member.active else " (no longer)"
            said = f"- {member.severity.upper()} {named(finding.subject)}{no_longer}: {summary}"
            lines.append(f"{said}. {proven(finding, now=member.active)}")
    if len(members) > SHOWN_FINDINGS:
        lines.append(f"- and {len(members) - SHOWN_FINDINGS} more, see the evidence")
    return lines


def _examples(ids: tuple[str, ...]) -> list[str]:
    shown = ", ".join(one_line(one, 80) for one in ids[:SHOWN_EXAMPLES])
    return [f"For example predictions {shown}: the evidence page tells the story of each."] if shown else []


def _cost(impact: Impact | None, value_declared: bool) -> str:
    if impact is not None:
        return f"about {number(impact.per_day, impact.currency)} a day ({one_line(impact.basis, 200)})"
    if value_declared:
        return "not known: the value model does not cover what was found"
    return "not known: no value model is declared"


def _fallback(budgets: Iterable[ErrorBudget], declared: Declarations) -> str | None:
    """Name what answers instead, where an objective that burns names it; the one that burns fastest goes first."""
    named = {one.name: one.fallback.name for one in declared.objectives if one.fallback is not None}
    return next((named[one.objective] for one in budgets if one.objective in named), None)


def _owner(system: System | None, service: str, *, pages: bool) -> list[str]:
    if system is None:
        nobody = f"Owner: nobody declared an owner for {one_line(service, 200)}: add a System in watchkeeper.d."
        return [nobody, *([_no_runbook(service)] if pages else [])]
    contact = f", contact {one_line(system.contact, 300)}" if system.contact else ""
    lines = [f"Owner: {one_line(system.owner, 200)}{contact}."]
    if system.runbook:
        lines.append(f"Runbook: {one_line(system.runbook, 500)}")
    elif pages:
        lines.append(_no_runbook(system.name))
    return lines


def _no_runbook(name: str) -> str:
    return f"Runbook: none is declared for {one_line(name, 200)}: add it to its System."
