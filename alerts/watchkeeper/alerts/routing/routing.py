"""Who is told of an alert, and how is it grouped? The declared trees of routes, walked by labels. Pure.

Every declared route is a tree. In each, an alert goes down to the deepest branch that matches; a branch that says
``continue`` lets the ones after it be tried too. Where no route is declared, everything goes to the log. Beside the
trees, what an objective's OpenSLO policies name as notification targets is told of its alerts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from msgspec.structs import replace as replaced

from watchkeeper.alerts.delivery.addresses import LOG, receivers
from watchkeeper.alerts.routing import intervals
from watchkeeper.schemas.declared import Declarations, Receiver, Route, TimeInterval
from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.errors import InputError, SettingsError
from watchkeeper.schemas.matchers import Matcher, Matchers, all_hold, checked, read_matchers

DEFAULT = Route(name="default", receiver=LOG)
"""Used where no route is declared at all: pages and tickets are at least written to the log."""

TARGET = "target"
"""Where the paths of notification targets begin."""

ALL = "..."
"""In ``group_by``: every label, so that each alert is a group of its own."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch with all that holds for it. ``repeat`` None: pages every four hours, the rest never."""

    path: str
    receiver: str
    group_by: tuple[str, ...] = ("service", "model")
    group_wait: timedelta = timedelta(seconds=10)
    group_interval: timedelta = timedelta(minutes=5)
    repeat: timedelta | None = None
    muted: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    escalate_after: timedelta | None = None
    escalate_to: str = ""

    def group(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Give the labels by which alerts of this branch are told together."""
        if ALL in self.group_by:
            return dict(labels)
        return {name: labels[name] for name in self.group_by if name in labels}

    def muted_by(self, intervals_of: Mapping[str, TimeInterval], now: datetime) -> str | None:
        """Name the time interval because of which nothing is told now."""
        for name in self.muted:
            if name in intervals_of and intervals.contains(intervals_of[name], now):
                return name
        known = [intervals_of[name] for name in self.active if name in intervals_of]
        if known and not any(intervals.contains(one, now) for one in known):
            return ", ".join(self.active)
        return None


@dataclass(frozen=True, slots=True)
class Node:
    """A branch, its condition, and what comes below it."""

    branch: Branch
    matchers: Matchers
    goes_on: bool
    below: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Router:
    """The trees, ready to be walked."""

    trees: tuple[Node, ...]
    receivers: Mapping[str, Receiver]
    targets: tuple[Node, ...] = ()

    @classmethod
    def of(cls, declared: Declarations) -> Router:
        """Read the declared routes; SettingsError where one cannot be read."""
        trees = tuple(_node(route, None, route.name) for route in declared.routes or (DEFAULT,))
        plain = {name: replaced(one, name="") for name, one in receivers(declared).items()}
        return cls(trees, plain, _targets(declared))

    def branches(self, labels: Mapping[str, str]) -> list[Branch]:
        """Give the branches that an alert goes to, in their order; the same receiver once."""
        found: list[Branch] = []
        for branch in (branch for tree in (*self.trees, *self.targets) for branch in _walk(tree, labels)):
            if not any(self._same(branch.receiver, known.receiver) for known in found):
                found.append(branch)
        return found

    def branch(self, path: str) -> Branch | None:
        """Find a branch by its path; None where it is no longer declared."""
        return next((node.branch for node in self.every() if node.branch.path == path), None)

    def _same(self, one: str, other: str) -> bool:
        return one == other or (one in self.receivers and self.receivers[one] == self.receivers.get(other))

    def every(self) -> Iterator[Node]:
        """Give every branch of every tree, from the top down."""
        waiting = list(reversed((*self.trees, *self.targets)))
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.below)


def group_id(branch: Branch, labels: Mapping[str, str]) -> str:
    """Identify a group over time: 16 hex digits of the path of its branch, its receiver and its labels."""
    return hashlib.sha256(f"{branch.receiver}\x1f{group_key(branch, labels)}".encode()).hexdigest()[:16]


def group_key(branch: Branch, labels: Mapping[str, str]) -> str:
    """Write a group as Alertmanager does: the path of its branch, and the labels that its alerts share.

    >>> group_key(Branch("on-call", "pager"), {"service": "delays"})
    'on-call:{service="delays"}'
    """
    return f"{branch.path}:{{{', '.join(str(Matcher(name, value)) for name, value in sorted(labels.items()))}}}"


def check_routes(declared: Declarations) -> list[str]:
    """Say which routes, intervals and inhibitions cannot be used, and which pages would reach nobody who can act."""
    problems = [
        f"TimeInterval {one.name}: {problem}" for one in declared.time_intervals for problem in intervals.problems(one)
    ]
    for rule in declared.inhibitions:
        try:
            if not read_matchers(rule.source_matchers) or not read_matchers(rule.target_matchers):
                problems.append(f"Inhibition {rule.name}: it needs source_matchers and target_matchers")
        except InputError as error:
            problems.append(f"Inhibition {rule.name}: {error}")
    for route in declared.routes:
        try:
            _node(route, None, route.name)
        except SettingsError as error:
            problems.append(f"Route {route.name}: {error}")
        problems += [f"Route {route.name}: {problem}" for problem in _unknown(route, declared)]
    return problems + check_targets(declared)


def check_targets(declared: Declarations) -> list[str]:
    """Say which notification targets of objectives are no receivers.

    >>> from watchkeeper.schemas.objectives import Objective, Sli
    >>> fast = Objective(name="fast", service="s", sli=Sli(measure="errors"), target=0.9, days=28, targets=["pager"])
    >>> check_targets(Declarations(objectives=(fast,)))[0]
    "SLO fast: its notification target 'pager' is no Receiver: declare a Receiver of that name, or take the target out"
    """
    known = receivers(declared)
    return [
        f"SLO {objective.name}: its notification target {name!r} is no Receiver: declare a Receiver of that name, "
        "or take the target out"
        for objective in declared.objectives
        for name in objective.targets
        if name not in known
    ]


def _targets(declared: Declarations) -> tuple[Node, ...]:
    """Give each notification target of objectives as a tree of one branch, met by the alerts of all that name it."""
    named: dict[str, list[str]] = {}
    for objective in declared.objectives:
        for name in objective.targets:
            named.setdefault(name, []).append(objective.name)
    return tuple(
        Node(Branch(f"{TARGET}/{name}", name), (Matcher("slo", "|".join(map(re.escape, slos)), regex=True),), True, ())
        for name, slos in named.items()
    )


def _unknown(route: Route, declared: Declarations) -> list[str]:
    """Name what a tree speaks of and nobody declared; the receiver at its top is looked at with the receivers."""
    times = {interval.name for interval in declared.time_intervals}
    known = {LOG, *(receiver.name for receiver in declared.receivers)}
    problems = [
        f"there is no TimeInterval {name!r}"
        for name in sorted({*route.mute_time_intervals, *route.active_time_intervals} - times)
    ]
    if route.escalate and route.escalate.receiver not in known:
        problems.append(f"there is no Receiver {route.escalate.receiver!r} to escalate to")
    for below in route.routes:
        if isinstance(below.receiver, Receiver):
            problems.append("a receiver inside a branch must be the name of a declared Receiver")
        elif below.receiver is not None and below.receiver not in known:
            problems.append(f"there is no Receiver {below.receiver!r}")
        problems += _unknown(below, declared)
    return problems


def _walk(node: Node, labels: Mapping[str, str]) -> list[Branch]:
    if not all_hold(node.matchers, labels):
        return []
    found: list[Branch] = []
    for below in node.below:
        met = _walk(below, labels)
        found += met
        if met and not below.goes_on:
            break
    return found or [node.branch]


def _node(route: Route, above: Branch | None, path: str) -> Node:
    """Read one branch, with what it has from the one above."""
    receiver = (path if isinstance(route.receiver, Receiver) else route.receiver) or (above.receiver if above else None)
    if receiver is None:
        raise SettingsError("its top needs a receiver: one declared there, or the name of one")
    start = replace(above, path=path, muted=(), active=()) if above else Branch(path, receiver)
    escalate = route.escalate
    branch = replace(
        start,
        receiver=receiver,
        group_by=start.group_by if route.group_by is None else tuple(route.group_by),
        group_wait=_span(route.group_wait, "group_wait") or start.group_wait,
        group_interval=_span(route.group_interval, "group_interval") or start.group_interval,
        repeat=_span(route.repeat_interval, "repeat_interval") or start.repeat,
        muted=tuple(route.mute_time_intervals),
        active=tuple(route.active_time_intervals),
        escalate_after=_span(escalate.after, "escalate.after") if escalate else start.escalate_after,
        escalate_to=escalate.receiver if escalate else start.escalate_to,
    )
    below = tuple(_node(one, branch, _below(path, one)) for one in route.routes)
    return Node(branch, _matchers(route), route.continue_, below)


def _below(path: str, route: Route) -> str:
    """Name a branch in its path: by its name, or by what it matches."""
    return f"{path}/{route.name}" if route.name else f"{path}/{{{', '.join(map(str, _matchers(route)))}}}"


def _matchers(route: Route) -> Matchers:
    try:
        return (*(checked(Matcher(name, value)) for name, value in route.match.items()), *read_matchers(route.matchers))
    except InputError as error:
        raise SettingsError(str(error)) from None


def _span(text: str | None, field: str) -> timedelta | None:
    if text is None:
        return None
    try:
        return duration(text)
    except ValueError as error:
        raise SettingsError(f"{field}: {error}") from None
