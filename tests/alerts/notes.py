"""One notification to send, and the ways in which receivers are declared."""

from __future__ import annotations

import dataclasses

from alerts.samples import START

from watchkeeper.alerts.messages.notification import Alert, Notification
from watchkeeper.schemas.findings import Severity

ALERT = Alert(
    fingerprint="00ff",
    analyzer="drift",
    metric="psi",
    subject="carrier",
    severity=Severity.PAGE,
    summary="it drifts",
    description="a lot",
    starts_at=START,
    ends_at=None,
)
NOTE = Notification(
    key="ab:1:fired:on-call:1",
    receiver="on-call",
    transition="fired",
    incident_id="ab-1",
    service="delays",
    model="arrival",
    severity=Severity.PAGE,
    title="PAGE delays: it <drifts> & more",
    text="PAGE delays: it <drifts> & more\nSince ten o'clock <!channel>\nEvidence: http://127.0.0.1:8091/incident?id=ab-1",
    subjects=("carrier",),
    new=("00ff",),
    alerts=(ALERT, dataclasses.replace(ALERT, fingerprint="11ff", subject="origin", severity=Severity.TICKET)),
    at=START,
    evidence_url="http://127.0.0.1:8091/incident?id=ab-1",
    external_url="http://127.0.0.1:8091",
    owner="operations",
    runbook="https://runbooks.example/x",
)


def note(transition: str, **more: object) -> Notification:
    return dataclasses.replace(NOTE, transition=transition, key=f"ab:1:{transition}:on-call:1", **more)  # type: ignore[arg-type]
