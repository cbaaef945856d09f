"""What people do with an alert: take it on, and say whether it was any use.

Four words, everywhere the same: ``acted_on`` (something was done about it), ``known`` (true, but known already),
``noise`` (nothing was wrong), ``wrong_threshold`` (true, but too small to be told). From them comes each analyzer's
precision; nothing is ever tuned by itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from watchkeeper.alerts.incidents import acknowledging
from watchkeeper.schemas.access import ANYONE, Caller
from watchkeeper.schemas.events import Feedback
from watchkeeper.store.control import audit, incidents
from watchkeeper.store.control import feedback as stored
from watchkeeper.store.control.connection import Control, Transaction
from watchkeeper.store.control.records import AuditEntry, Incident, IncidentEvent, Verdict

NOBODY_NAMED = "someone"


@dataclass(frozen=True, slots=True)
class Quality:
    """How useful the alerts of one analyzer were: incidents that fired, by the last word said of each."""

    analyzer: str
    fired: int
    acted_on: int
    known: int
    noise: int
    wrong_threshold: int

    @property
    def unanswered(self) -> int:
        """Incidents that nobody said anything of."""
        return self.fired - self.acted_on - self.known - self.noise - self.wrong_threshold

    @property
    def precision(self) -> float | None:
        """The share that was acted on; ``known`` counts neither for nor against, None where nothing was said.

        Misleads with few answers, and where only annoyed people answer: read ``unanswered`` beside it.

        >>> Quality("psi", fired=9, acted_on=3, known=2, noise=1, wrong_threshold=0).precision
        0.75
        """
        judged = self.acted_on + self.noise + self.wrong_threshold
        return self.acted_on / judged if judged else None


def acknowledge(control: Control, incident_id: str, by: str | None, now: datetime, caller: Caller = ANYONE) -> Incident:
    """Note that someone is on it. Who was first stays; the incident goes on, and what is new is still told.

    Raises:
        NotFound: there is no such incident.
        NotAllowed: the caller may not act for this user.

    """
    known = caller.for_user(by)
    actor = known.actor or NOBODY_NAMED
    with control.transaction() as tx:
        tx.serialize("intake")
        incident = incidents.get(tx, incident_id)
        if incident.acknowledged_at is not None:
            return incident
        taken = replace(incident, acknowledged_at=now, acknowledged_by=actor)
        incidents.save(tx, taken)
        incidents.note(tx, incident_id, IncidentEvent(now, "acknowledged", actor=actor))
        acknowledging.tell(tx, taken, actor, now)
        audit.add(tx, AuditEntry(now, actor, "incident.acknowledged", incident_id, key=known.label))
        return taken


def give_feedback(control: Control, incident_id: str, said: Feedback, now: datetime, caller: Caller = ANYONE) -> None:
    """Store what someone says of an incident; the last word counts, the earlier ones stay on the timeline.

    Raises:
        NotFound: there is no such incident.
        NotAllowed: the caller may not act for this user.

    """
    known = caller.for_user(said.by)
    actor = known.actor or NOBODY_NAMED
    with control.transaction() as tx:
        incidents.get(tx, incident_id)
        stored.add(tx, incident_id, Verdict(now, said.word, said.reason, known.actor))
        detail = {"word": said.word, "reason": said.reason}
        incidents.note(tx, incident_id, IncidentEvent(now, "feedback", {**detail}, actor))
        audit.add(tx, AuditEntry(now, actor, "incident.feedback", incident_id, {**detail}, known.label))


def quality(tx: Transaction) -> list[Quality]:
    """Give the quality of each analyzer that ever alerted."""
    counts: dict[str, Counter[str]] = {}
    for analyzer, word, count in stored.counts(tx):
        counts.setdefault(analyzer, Counter())[word or "unanswered"] += count
    return [
        Quality(
            analyzer=analyzer,
            fired=words.total(),
            acted_on=words["acted_on"],
            known=words["known"],
            noise=words["noise"],
            wrong_threshold=words["wrong_threshold"],
        )
        for analyzer, words in sorted(counts.items())
    ]
