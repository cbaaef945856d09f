"""Can whoever is woken by a page act on it? Checked before a page comes: it needs an owner and a runbook. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from watchkeeper.alerts.routing.routing import Node, Router
from watchkeeper.schemas.declared import Declarations, Monitor, System
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.matchers import Matcher
from watchkeeper.schemas.objectives import Objective


def check_pages(declared: Declarations) -> list[str]:
    """Say which routes and monitors would wake somebody for what nobody owns, or for what no runbook tells of.

    A folder without any System is left alone: nothing in it is owned yet, and ``apply`` warns of that.
    """
    try:
        router = Router.of(declared)
    except SettingsError:
        return []  # said already, by who checks the routes
    if not declared.systems:
        return []
    problems = [problem for tree in router.trees if declared.routes for problem in _of_tree(tree, declared)]
    problems += [problem for one in declared.objectives for problem in _of_targets(one, declared)]
    return problems + [problem for one in declared.monitors for problem in _of_monitor(one, declared)]


def _of_tree(tree: Node, declared: Declarations) -> list[str]:
    problems = [
        f"Route {tree.branch.path} pages for service {service}, which no System claims: nobody owns it"
        for service in sorted(_named(tree))
        if declared.system_of(service) is None
    ]
    for system in declared.systems:
        paged = [one for one in system.services if _may_hold(tree, _page(system, one))]
        if system.runbook is None and paged:
            problems.append(
                f"Route {tree.branch.path} sends pages of System {system.name} (owner {system.owner}), which has no "
                "runbook: add one, or keep its pages from that route"
            )
    return problems


def _of_targets(objective: Objective, declared: Declarations) -> list[str]:
    """Look at what an objective's notification targets get: without rules of its own, pages among it."""
    pages = not objective.rules or any(rule.severity == "page" for rule in objective.rules)
    if not objective.targets or not (pages or any(step.do == "page" for step in objective.budget_policy)):
        return []
    said = f"SLO {objective.name} pages its notification target {objective.targets[0]} for"
    system = declared.system_of(objective.service)
    if system is None:
        return [f"{said} service {objective.service}, which no System claims: nobody owns it"]
    if system.runbook is None:
        return [f"{said} System {system.name} (owner {system.owner}), which has no runbook: add one"]
    return []


def _of_monitor(monitor: Monitor, declared: Declarations) -> list[str]:
    if monitor.severity != "page" or not monitor.enabled:
        return []
    if monitor.service is not None and declared.system_of(monitor.service) is None:
        return [f"Monitor {monitor.name} pages for service {monitor.service}, which no System claims: nobody owns it"]
    return [
        f"Monitor {monitor.name} pages for System {system.name} (owner {system.owner}), which has no runbook"
        for system in declared.systems
        if system.runbook is None and (monitor.service is None or monitor.service in system.services)
    ]


def _page(system: System, service: str) -> dict[str, str]:
    return {"severity": "page", "service": service, "system": system.name, "owner": system.owner}


def _may_hold(node: Node, labels: Mapping[str, str]) -> bool:
    """Whether an alert with these labels may come here, whatever its other labels are."""
    return all(matcher.holds(labels) for matcher in node.matchers if matcher.name in labels)


def _named(node: Node) -> set[str]:
    """Give the services that a tree names one by one where pages may come."""
    if not _may_hold(node, {"severity": "page"}):
        return set()
    own = {matcher.value for matcher in node.matchers if _names_service(matcher)}
    return own.union(*(_named(below) for below in node.below))


def _names_service(matcher: Matcher) -> bool:
    return matcher.name == "service" and matcher.equal and not matcher.regex
