"""What would a person have been told? The findings of a replay, by the rules and in the words of a live server.

The very state machine of its incidents and the very message that its receivers get, as of each evening. Nothing is
declared in a replay: there are no routes, silences or values. Misleads in two ways: a live server looks at data checks
each hour and repeats a page until somebody acknowledges it; here days are looked at, and each page is acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from watchkeeper.alerts.incidents.incidents import Step, Timing, evaluate
from watchkeeper.alerts.messages.message import compose
from watchkeeper.alerts.messages.notification import Transition
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Finding
from watchkeeper.store import statements
from watchkeeper.store.control.records import Incident, Member

About = tuple[str, str]
"""Service and model."""
TRANSITIONS: Mapping[str, Transition] = {"fired": "fired", "updated": "updated", "resolved": "resolved"}
NOTHING = Declarations()
TIMING = Timing()


class Told:
    """Keeps the newest incident of each service and model, and a line for each time that people hear of one."""

    def __init__(self) -> None:
        self._first: datetime | None = None
        self._latest: dict[About, Incident] = {}
        self._found: dict[str, Finding] = {}
        self._marks: dict[str, datetime] = {}
        self.lines: list[dict[str, object]] = []

    def begin(self, first: datetime, kept: Any) -> None:
        """Start with the first day of the file, or go on from what ``keep`` gave."""
        self._first = first
        if kept is None:
            return
        incidents = msgspec.convert(kept["latest"], list[Incident])
        self._latest = {(incident.service, incident.model): incident for incident in incidents}
        self._found = {key: statements.read(statement, {}) for key, statement in kept["found"].items()}
        self._marks = msgspec.convert(kept["marks"], dict[str, datetime])
        self.lines = kept["lines"]

    def keep(self) -> Any:
        """Give all that it goes on from, as JSON can hold it."""
        return {
            "latest": [msgspec.to_builtins(incident) for incident in self._latest.values()],
            "found": {key: statements.of(finding) for key, finding in self._found.items()},
            "marks": msgspec.to_builtins(self._marks),
            "lines": self.lines,
        }

    def hear(self, findings: Sequence[Finding], watermarks: Mapping[str, datetime]) -> None:
        """Take one evening in."""
        self._marks.update(watermarks)
        as_of = max(watermarks.values())
        by_model: dict[About, list[Finding]] = {}
        for finding in findings:
            by_model.setdefault((finding.service, finding.model), []).append(finding)
            self._found[finding.key] = finding
        for about in sorted({*by_model, *self._latest}):
            steps = evaluate(
                self._latest.get(about),
                by_model.get(about, []),
                as_of,
                TIMING,
                lambda member: self._evaluated(member, as_of),
            )
            self.lines += [self._line(step) for step in steps if step.tell]
            if steps:
                self._latest[about] = steps[-1].incident
        known = {key for incident in self._latest.values() for key in incident.finding_keys}
        self._found = {key: finding for key, finding in self._found.items() if key in known}

    def _evaluated(self, member: Member, as_of: datetime) -> datetime:
        return self._marks.get(member.analyzer, as_of)

    def _line(self, step: Step) -> dict[str, object]:
        transition, incident = TRANSITIONS[step.kind], step.incident
        said = compose(transition, incident, self._found, NOTHING, str, new=step.causes)
        first = self._first or step.at
        return {
            "day": (step.at - first).days - 1,
            "kind": step.kind,
            "incident": incident.id,
            "severity": said.severity.value,
            "subjects": list(said.subjects),
            "summary": said.what,
        }
