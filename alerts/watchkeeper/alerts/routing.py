"""Who is told of which findings? Routes by their match; where no route is declared, everything goes to the log."""

from __future__ import annotations

from collections.abc import Iterable

from watchkeeper.alerts.addresses import LOG
from watchkeeper.schemas.declared import Declarations, Route
from watchkeeper.store.control.records import Incident, Member

DEFAULT = Route(name="default", receiver=LOG)
"""Used where no route is declared at all: pages and tickets are at least written to the log."""


def routes_for(incident: Incident, members: Iterable[Member], declared: Declarations) -> list[str]:
    """Name the receivers of the routes that match at least one of these members; the same receiver is told once."""
    told: dict[object, str] = {}
    about = list(members)
    for route in declared.routes or (DEFAULT,):
        if any(_matches(route, incident, member) for member in about):
            receiver = route.receiver
            same = receiver if isinstance(receiver, str) else (receiver.type, receiver.url, *receiver.urls)
            told.setdefault(same, route.destination)
    return list(told.values())


def _matches(route: Route, incident: Incident, member: Member) -> bool:
    facts = {
        "service": incident.service,
        "model": incident.model,
        "severity": member.severity.value,
        "analyzer": member.analyzer,
    }
    return all(facts[name] == wanted for name, wanted in route.match.items())
