"""What is declared, as Alertmanager would have it in its file: ``amtool config routes`` and others read it. Pure."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import yaml

from watchkeeper.alerts.delivery.addresses import LOG, receivers
from watchkeeper.alerts.routing.routing import Node, Router
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Json

NO_REPEAT = "8760h"
"""A year: Alertmanager has no word for never."""


def config(declared: Declarations) -> str:
    """Write the file: one root, under it every tree; receivers by name alone, without their settings."""
    router = Router.of(declared)
    named = {LOG, *receivers(declared), *(node.branch.receiver for node in router.every())}
    routes: list[Json] = [_route(tree) | {"continue": True} for tree in (*router.trees, *router.targets)]
    document: dict[str, Json] = {
        "route": {"receiver": LOG, "routes": routes},
        "receivers": [{"name": name} for name in sorted(named)],
    }
    if declared.inhibitions:
        document["inhibit_rules"] = [
            {
                "source_matchers": [*rule.source_matchers],
                "target_matchers": [*rule.target_matchers],
                "equal": [*rule.equal],
            }
            for rule in declared.inhibitions
        ]
    if declared.time_intervals:
        document["time_intervals"] = [
            {"name": one.name, "time_intervals": [_plain(times) for times in one.time_intervals]}
            for one in declared.time_intervals
        ]
    return yaml.safe_dump(document, sort_keys=False)


def _route(node: Node) -> dict[str, Json]:
    branch = node.branch
    route: dict[str, Json] = {
        "receiver": branch.receiver,
        "matchers": [str(matcher) for matcher in node.matchers],
        "continue": node.goes_on,
        "group_by": [*branch.group_by],
        "group_wait": _span(branch.group_wait),
        "group_interval": _span(branch.group_interval),
        "repeat_interval": _span(branch.repeat) if branch.repeat else NO_REPEAT,
        "mute_time_intervals": [*branch.muted],
        "active_time_intervals": [*branch.active],
        "routes": [_route(below) for below in node.below],
    }
    return {name: value for name, value in route.items() if value not in ([], False)}


def _plain(value: object) -> Json:
    found: dict[str, Json] = msgspec.to_builtins(value)
    return {name: part for name, part in found.items() if part != []}


def _span(length: timedelta) -> str:
    return f"{round(length.total_seconds() * 1000)}ms"
