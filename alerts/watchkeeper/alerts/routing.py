"""Who is told of which findings? Routes by their match; where no route is declared, everything goes to the log."""

from __future__ import annotations

from collections.abc import Iterable

from watchkeeper.alerts import registry
from watchkeeper.schemas.declared import Declarations, Receiver, Route
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.store.control.records import Incident, Member

DEFAULT = Route(name="default", receiver=Receiver(type="log"))
"""Used where no route is declared at all: pages and tickets are at least written to the log."""


def receivers(declared: Declarations) -> dict[str, Receiver]:
    """Give every receiver that a message may be waiting for, by the name of its route."""
    return {route.name: route.receiver for route in (DEFAULT, *declared.routes)}


def routes_for(incident: Incident, members: Iterable[Member], declared: Declarations) -> list[str]:
    """Name the routes that match at least one of these members; the same receiver is told once."""
    told: dict[tuple[str, str | None], str] = {}
    about = list(members)
    for route in declared.routes or (DEFAULT,):
        if any(_matches(route, incident, member) for member in about):
            told.setdefault((route.receiver.type, route.receiver.url), route.name)
    return list(told.values())


def check_receivers(declared: Declarations) -> list[str]:
    """Say which routes name a receiver that cannot be built, before a page is lost on it."""
    problems: list[str] = []
    for route in declared.routes:
        try:
            registry.build(route.receiver)
        except SettingsError as error:
            problems.append(f"Route {route.name}: {error}")
    return problems


def _matches(route: Route, incident: Incident, member: Member) -> bool:
    facts = {
        "service": incident.service,
        "model": incident.model,
        "severity": member.severity.value,
        "analyzer": member.analyzer,
    }
    return all(facts[name] == wanted for name, wanted in route.match.items())
