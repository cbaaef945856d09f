"""Where can a message go? Every declared receiver by name; one with several URLs has an address for each of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.messages.templates import problem_of
from watchkeeper.schemas.declared import Declarations, Receiver
from watchkeeper.schemas.errors import SettingsError

LOG = "default"
"""The receiver that is always there: the server's log."""


def receivers(declared: Declarations) -> dict[str, Receiver]:
    """Give every receiver by its name; one that is declared inside a route goes by the name of the route.

    >>> list(receivers(Declarations(receivers=(Receiver(name="pager", type="log"),))))
    ['default', 'pager']
    """
    inside = {route.name: route.receiver for route in declared.routes if isinstance(route.receiver, Receiver)}
    return {LOG: Receiver(type="log"), **inside, **{receiver.name: receiver for receiver in declared.receivers}}


def addresses(declared: Declarations) -> dict[str, Receiver]:
    """Give every receiver by the name that its messages carry: ``pair@1`` and ``pair@2`` where it has two URLs.

    >>> pair = Receiver(name="pair", type="webhook", urls=["http://a", "http://b"])
    >>> [(name, one.url) for name, one in addresses(Declarations(receivers=(pair,))).items()]
    [('default', None), ('pair@1', 'http://a'), ('pair@2', 'http://b')]
    """
    return {name: one for known, receiver in receivers(declared).items() for name, one in _each(known, receiver)}


def addresses_of(names: Iterable[str], declared: Declarations) -> list[str]:
    """Give the addresses of some receivers, each once; a name that is not declared any more stays as it is."""
    known = receivers(declared)
    every = [address for name in names for address in _names(name, known.get(name))]
    return list(dict.fromkeys(every))


def check_receivers(declared: Declarations) -> list[str]:
    """Say which receivers cannot be built or found, before a page is lost on them."""
    known = receivers(declared)
    problems = [
        f"Receiver {name} is declared twice: by itself and inside Route {name}"
        for name in sorted({route.name for route in declared.routes if isinstance(route.receiver, Receiver)})
        if name in {receiver.name for receiver in declared.receivers}
    ]
    for route in declared.routes:
        if isinstance(route.receiver, Receiver):
            problems += [f"Route {route.name}: {problem}" for problem in _problems(route.name, route.receiver, known)]
        elif route.receiver not in known:
            problems.append(f"Route {route.name}: there is no Receiver {route.receiver!r}")
    for receiver in declared.receivers:
        problems += [f"Receiver {receiver.name}: {problem}" for problem in _problems(receiver.name, receiver, known)]
    return problems


def _problems(name: str, receiver: Receiver, known: dict[str, Receiver]) -> list[str]:
    problems: list[str] = []
    if receiver.url is not None and receiver.urls:
        problems.append("give url or urls, not both")
    for _, one in _each(name, receiver):
        try:
            registry.build(one)
        except SettingsError as error:
            problems.append(str(error))
    if (unfit := problem_of(receiver.template)) is not None:
        problems.append(unfit)
    met, then = {name}, receiver.fallback
    while then is not None:
        if then not in known:
            return [*problems, f"its fallback {then!r} is not a declared Receiver"]
        if then in met:
            return [*problems, f"its fallback {then!r} leads back to it: what all refuse would go round for ever"]
        met.add(then)
        then = known[then].fallback
    return problems


def _each(name: str, receiver: Receiver) -> list[tuple[str, Receiver]]:
    if not receiver.urls:
        return [(name, receiver)]
    ones = [msgspec.structs.replace(receiver, url=url, urls=[]) for url in receiver.urls]
    return list(zip(_names(name, receiver), ones, strict=True))


def _names(name: str, receiver: Receiver | None) -> list[str]:
    if receiver is None or not receiver.urls:
        return [name]
    return [f"{name}@{number}" for number in range(1, len(receiver.urls) + 1)]
