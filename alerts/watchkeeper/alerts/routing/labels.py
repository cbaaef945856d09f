"""By which labels is an alert routed, grouped and silenced? Pure.

An alert is one member of an incident. What another system posted keeps its own labels; ours are added where it has none
of that name. Values that change from hour to hour (numbers, texts) are never labels.
"""

from __future__ import annotations

from watchkeeper.schemas.declared import Declarations
from watchkeeper.store.control.records import Incident, Member

Labels = dict[str, str]
PLACES = ("site", "environment", "version", "segment")
"""What a subject may name in front of a colon."""

RECEIVED = "alertmanager"
"""The analyzer of alerts that other systems posted."""


def labels_of(member: Member, incident: Incident, declared: Declarations) -> Labels:
    """Give every label of one alert."""
    system = declared.system_of(incident.service)
    kind, colon, name = member.subject.partition(":")
    labels = {
        "alertname": f"{member.analyzer}/{member.metric}",
        "service": incident.service,
        "model": incident.model,
        "severity": member.severity.value,
        "analyzer": member.analyzer,
        "class": "external" if member.analyzer == RECEIVED else member.analyzer.partition(".")[0],
        "metric": member.metric,
        "subject": member.subject,
        "owner": system.owner if system else "",
        "system": system.name if system else "",
        **({kind: name} if colon and kind in PLACES else {}),
        **member.labels,
    }
    return {name: value for name, value in labels.items() if value}
