"""What the numbers say, in words: the fleet's one sentence, each model's state, and what is not known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from watchkeeper.dashboard import asked, judged, rows
from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard.series import DRIFT_MUCH, Key, latest
from watchkeeper.schemas.findings import SPOKEN

Tone = Literal["orange", "gray"]
STATES = ("Act now", "Degrading", "Watching", "Silent", "Healthy", "Quiet")
"""Every state of a model, the worst first."""
TROUBLE = frozenset({"Act now", "Degrading", "Over budget"})

STATES_HELP = (
    "Act now: an open page. Degrading: an open ticket. Watching: seen once, not yet told. "
    "Silent: no request in the last 24 h. Healthy: objectives kept, no incident. "
    "Quiet: no incident, but no objective either, so nobody said what good is."
)
GRADES_HELP = (
    "A: by chance less than once in a million, and 1,000 rows or more. B: less than once in a thousand. "
    "C: less than once in twenty, or a rule without a test. D: few rows. "
    "All are corrected for what was tested beside it."
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of the whole in a word and a sentence (Markdown), more facts, and the incident it speaks of."""

    word: str
    sentence: str
    facts: str = ""
    incident: rows.Incident | None = None

    @property
    def tone(self) -> Tone:
        """Orange for trouble, grey for all else."""
        return tone_of(self.word)


def tone_of(word: str) -> Tone:
    """Give the colour of a state: orange for trouble, grey for all else.

    >>> tone_of("Degrading"), tone_of("Watching")
    ('orange', 'gray')
    """
    return "orange" if word in TROUBLE else "gray"


def said(incident: rows.Incident) -> str:
    """Give an incident's sentence: what its leading finding says, else its title."""
    if isinstance(incident, rows.IncidentStory) and incident.leading and incident.leading.summary:
        return incident.leading.summary
    return incident.title or f"{', '.join(incident.subjects) or 'something'} of {incident.service}"


def spoken(subjects: Iterable[str]) -> list[str]:
    """Name subjects as messages do.

    >>> spoken(["attempts", "carrier"])
    ['retries', 'carrier']
    """
    return [SPOKEN.get(subject, subject) for subject in subjects]


def fleet(head: asked.Head, numbers: asked.Fleet | None) -> Verdict:
    """Say what the fleet is like: the worst open incident, or that the objectives are kept."""
    if head.incidents:
        return of_incident(head.worst or head.incidents[0], head.status.now, len(head.incidents) - 1)
    services = sorted(head.status.services) or sorted({row.service for row in (numbers.week if numbers else ())})
    promised = {objective.service for objective in head.declared.objectives} & set(services)
    spent = _spent(numbers.budgets if numbers else ())
    many = fmt.plural(len(services), "service")
    moved = _moved(numbers.drift if numbers else ())
    calm = _calm(head, moved is not None)
    facts = _drift_words(moved) if moved else ""
    if spent:
        words = ", ".join(fmt.literal(name) for name in spent)
        return Verdict("Over budget", f"The error budget of **{words}** is used up; no incident is open.")
    if not promised:
        return Verdict("Quiet", f"{many}: {calm} No objective is declared, so nobody said what good is.", facts)
    if len(promised) == len(services):
        every = "The one service keeps its" if len(services) == 1 else f"All {many} keep their"
        return Verdict("Healthy", f"{every} objectives; {calm}", facts)
    return Verdict("Healthy", f"{len(promised)} of {many} have objectives and keep them; {calm}", facts)


def _calm(head: asked.Head, moved: bool) -> str:
    """Say how quiet the last days were: an incident that is over, or an input that has moved, is not nothing."""
    if head.lately:
        return f"nothing wrong now, {fmt.plural(len(head.lately), 'incident')} in the last {asked.FLEET.days} days."
    return f"{'no incident' if moved else 'nothing unusual'} in the last {asked.FLEET.days} days."


def _moved(readings: Iterable[rows.Reading]) -> rows.Reading | None:
    """Give the newest reading of the input that moved most, if that is much."""
    newest = [one for one in latest(readings).values() if (one.value or 0.0) - (one.reference or 0.0) >= DRIFT_MUCH]
    return max(newest, key=lambda one: one.value or 0.0, default=None)


def _drift_words(reading: rows.Reading) -> str:
    what = f"{fmt.literal(reading.subject)} of {fmt.literal(reading.service)}"
    return f"{what} has moved most from its reference (PSI {reading.value:.2f}): shown, no alert"


def of_incident(incident: rows.Incident, now: datetime, more: int = 0) -> Verdict:
    """Say what one open incident is about; ``more`` others are open beside it."""
    facts = _facts(incident, now) + ([f"{fmt.plural(more, 'more incident')} open"] if more else [])
    words = about(incident.service, fmt.ended(said(incident)))
    return Verdict(state_of([incident]), words, " · ".join(facts), incident)


def _facts(incident: rows.Incident, now: datetime) -> list[str]:
    """Say since when, when it was noticed, and what it costs."""
    facts = times(incident, now)
    if incident.impact is not None:
        facts.append(f"costs about {fmt.money(incident.impact.per_day, incident.impact.currency)} a day")
    else:
        facts.append("what it costs is not known")
    return facts


def times(incident: rows.Incident, now: datetime) -> list[str]:
    """Say since when it holds (or from when for how long it did), and how much later it was noticed."""
    if incident.open:
        facts = [fmt.since(incident.began, now)]
    else:
        lasted = fmt.duration((incident.resolved_at or now) - incident.began)
        facts = [f"{fmt.clock(incident.began, now)} UTC for {lasted}"]
    late = incident.noticed - incident.began
    return facts + ([f"noticed {fmt.duration(late)} later"] if late >= timedelta(hours=1) else [])


def about(service: str, sentence: str) -> str:
    """Put the service into bold type, in front of a sentence that does not name it.

    >>> about("checkout", "Amount of checkout moved."), about("checkout", "It moved.")
    ('Amount of **checkout** moved.', '**checkout** · It moved.')
    """
    words, name = fmt.literal(sentence), fmt.literal(service)
    if name in words:
        return words.replace(name, f"**{name}**", 1)
    return f"**{name}** · {words}"


def not_known(head: asked.Head, numbers: asked.Fleet) -> list[str]:
    """List what nobody can say from these numbers, in words: an empty list is rare."""
    lines: list[str] = []
    services = sorted({row.service for row in numbers.week})
    promised = {objective.service for objective in head.declared.objectives}
    if without := [name for name in services if name not in promised]:
        lines.append(f"what is good enough for {_listed(without)} (no objective)")
    errors = latest(numbers.errors)
    known = {service for service, _, subject in errors if not subject.startswith("segment:")}
    if blind := [name for name in services if name not in known]:
        lines.append(f"how often {_listed(blind)} {'is' if len(blind) == 1 else 'are'} right (too few outcomes)")
    costed = {row.service for row in (*numbers.week, *numbers.costs) if _has_cost(row)}
    if unpriced := [name for name in services if name not in costed]:
        lines.append(f"what {_listed(unpriced)} {'costs' if len(unpriced) == 1 else 'cost'} (no price)")
    dropped = head.status.dropped_by_clients or 0
    if dropped:
        lines.append(f"{fmt.plural(dropped, 'event')} that clients had to drop")
    return lines


def _has_cost(row: rows.Overview | rows.Reading) -> bool:
    return (row.cost if isinstance(row, rows.Overview) else row.value) is not None


def state_of(incidents: Sequence[rows.Incident], *, asked_lately: bool = True, promised: bool = True) -> str:
    """Say the state of one model in a word; ``incidents`` are its open ones, the most urgent first."""
    if incidents:
        worst = incidents[0]
        if worst.state == "pending":
            return "Watching"
        return "Act now" if worst.severity == "page" else "Degrading"
    if not asked_lately:
        return "Silent"
    return "Healthy" if promised else "Quiet"


def troubled(incidents: Iterable[rows.Incident], worst: rows.IncidentStory | None) -> set[str]:
    """Name what open incidents are about; of the one whose story is known only what still holds."""
    told = {subject for one in incidents if worst is None or one.id != worst.id for subject in one.subjects}
    now = (one for one in (worst.findings if worst else ()) if one.alerting and one.active)
    return told | {subject for one in now for subject in one.subjects}


def of_model(incidents: Iterable[rows.Incident], key: Key) -> list[rows.Incident]:
    """Pick the open incidents of one model, in their order; one without a model is about the whole service."""
    return [one for one in incidents if one.service == key[0] and one.model in {None, "", key[1]}]


def completeness(status: rows.Status) -> str:
    """Say up to when the data are complete, and how much of what was sent has come."""
    if status.complete_to is None:
        return "how complete the data are is not known"
    to = f"data complete to {status.complete_to:%H:%M} UTC"
    if status.complete_to.date() != status.now.date():
        to = f"data complete to {fmt.clock(status.complete_to, status.now)} UTC"
    much = "how much was sent is not known"
    if status.completeness is not None:
        much = f"{fmt.completeness(status.completeness)} of what was sent"
    read = (
        f" · analyzed to {fmt.clock(status.evaluated_to, status.now)}" if behind(status) and status.evaluated_to else ""
    )
    return f"{to} ({much}){read}"


def behind(status: rows.Status) -> bool:
    """Say whether the analyzers have days to catch up with: what only they know is not known yet."""
    if status.complete_to is None or status.evaluated_to is None:
        return False
    return status.complete_to - status.evaluated_to > timedelta(days=2)


def heard(ledger: rows.Telemetry) -> Verdict:
    """Say whether everything that is sent is heard: who is offline, what is missing, what may still come."""
    silent = [one for one in ledger.expected if one.state in {"offline", "never"}]
    if silent:
        names = ", ".join(
            fmt.literal(f"{one.service} at {one.site}" if one.site else one.service) for one in silent[:3]
        )
        more = f" and {len(silent) - 3} more" if len(silent) > 3 else ""
        many = fmt.plural(len(silent), "expected sender")
        return Verdict("Degrading", f"{many} of {len(ledger.expected)} not heard of: {names}{more}.", _lost(ledger))
    gone = sum(group.dropped + group.missing for group in ledger.groups)
    logged = sum(group.sent for group in ledger.groups)
    if any(group.state == "partial" for group in ledger.groups):
        many = fmt.plural(gone, "event") if gone else "A part"
        return Verdict("Degrading", f"{many} of {fmt.count(logged)} logged by clients did not arrive.", _lost(ledger))
    if not ledger.groups:
        return Verdict("Quiet", "No client that keeps a book has sent anything, so nobody knows what was sent.")
    return Verdict("Healthy", "What clients logged in the last day is here, or is waiting to be sent.", _lost(ledger))


def _lost(ledger: rows.Telemetry) -> str:
    """Count by fate what clients logged and what is not here."""
    fates = {
        name: sum(getattr(group, name) for group in ledger.groups)
        for name in ("dropped", "missing", "overdue", "pending")
    }
    return " · ".join(f"{fmt.count(many)} {fate}" for fate, many in fates.items() if many)


def currency(declared: rows.Declared) -> str:
    """Give the currency of the declared prices."""
    return next((table.currency for table in declared.prices if table.currency), "USD")


def how_sure(finding: rows.Finding) -> str:
    """Say why to believe a finding: grade, test, chance, rows, and how many outcomes are known."""
    proof = finding.evidence
    words = [f"Grade {proof.grade}"] if proof.grade else []
    if proof.p_value is None:
        words.append(f"by rule ({proof.test})" if proof.test else "by rule")
    elif proof.p_value < 1e-12:
        words.append(f"{proof.test}: by chance practically never")
    else:
        words.append(f"{proof.test}: by chance once in {fmt.number(1 / proof.p_value, 2)} times")
    if proof.n:
        words.append(f"{fmt.count(proof.n)} rows")
    if finding.maturity is not None:
        words.append(f"{fmt.percent(finding.maturity)} of outcomes known")
    return ", ".join(words)


def usefulness(qualities: Iterable[judged.AnalyzerQuality]) -> str:
    """Say how many of the alerts were of use."""
    found = list(qualities)
    fired = sum(one.fired for one in found)
    acted, noise = sum(one.acted_on for one in found), sum(one.noise + one.wrong_threshold for one in found)
    if not fired:
        return "no alert was ever sent"
    if not acted + noise:
        return f"{fmt.plural(fired, 'alert')} so far, nobody has yet said whether they were of use"
    return f"{acted} of {acted + noise} judged alerts were acted on ({fmt.plural(fired, 'alert')} in all)"


def _spent(budgets: Iterable[rows.Reading]) -> list[str]:
    return sorted(
        {
            service
            for (service, _, _), reading in latest(budgets).items()
            if (reading.value or 0.0) < 0 and reading.value is not None
        }
    )


def _listed(words: Sequence[str]) -> str:
    """Join names; from four on only how many.

    >>> _listed(["a", "b", "c"]), _listed(["a"] * 4)
    ('a, b and c', '4 services')
    """
    if len(words) > 3:
        return f"{len(words)} services"
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def owners(declared: rows.Declared) -> Mapping[str, rows.System]:
    """Give the system of each service that belongs to one."""
    return {service: system for system in declared.systems for service in system.services}
