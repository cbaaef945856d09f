"""Notification targets of OpenSLO: the receiver of that name is told of the objective's alerts, beside the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from alerts.samples import LINKS, START, finding

from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.routing.readiness import check_pages
from watchkeeper.alerts.routing.routing import Router, check_routes
from watchkeeper.app.declaring import apply_to
from watchkeeper.app.slo_lint import lint
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.control import declared, incidents, outbox
from watchkeeper.store.control.apply import read
from watchkeeper.store.control.connection import Control

TREE = """
apiVersion: watchkeeper/v1
kind: Receiver
metadata: {name: pager}
spec: {type: log}
---
apiVersion: watchkeeper/v1
kind: Receiver
metadata: {name: team-chat}
spec: {type: webhook, url: "http://127.0.0.1:1/chat"}
---
apiVersion: watchkeeper/v1
kind: Route
metadata: {name: all}
spec: {receiver: pager}
---
"""
TARGET = """
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: team-chat}
spec: {target: slack}
---
"""


def slo(name: str, *targets: dict[str, Any]) -> str:
    condition = {"kind": "burnrate", "op": "gte", "threshold": 2, "lookbackWindow": "1h"}
    held = {"kind": "AlertCondition", "metadata": {"name": "c"}, "spec": {"severity": "page", "condition": condition}}
    policy = {
        "kind": "AlertPolicy",
        "metadata": {"name": f"{name}-p"},
        "spec": {"conditions": [held], "notificationTargets": [*targets]},
    }
    source = {"metricSource": {"type": "watchkeeper", "spec": {"measure": "errors"}}}
    spec = {
        "service": "delays",
        "indicator": {"metadata": {"name": "i"}, "spec": {"ratioMetric": {"good": source}}},
        "timeWindow": [{"duration": "28d", "isRolling": True}],
        "objectives": [{"target": 0.9}],
        "alertPolicies": [policy],
    }
    return yaml.safe_dump({"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": name}, "spec": spec})


REF = {"targetRef": "team-chat"}
HELD = {"kind": "AlertNotificationTarget", "metadata": {"name": "team-chat"}, "spec": {"target": "slack"}}


def folder(at: Path, *texts: str) -> Path:
    (at / "all.yaml").write_text("---\n".join(texts), encoding="utf-8")
    return at


@pytest.fixture
def known(tmp_path: Path) -> Declarations:
    return read(folder(tmp_path, TREE + TARGET + slo("one.ok", REF), slo("two", HELD), slo("three")))[1]


def receivers(known: Declarations, **labels: str) -> list[tuple[str, str]]:
    return [(one.path, one.receiver) for one in Router.of(known).branches(labels)]


def test_the_tree_stays_as_it_is_and_the_target_is_told_too(known: Declarations) -> None:
    tree, target = ("all", "pager"), ("target/team-chat", "team-chat")
    assert receivers(known, service="delays", slo="one.ok") == [tree, target]
    assert receivers(known, service="delays", slo="two") == [tree, target]
    for other in ("three", "one-ok", ""):
        assert receivers(known, service="delays", slo=other) == [tree]


def test_a_receiver_that_the_tree_tells_already_is_told_once(tmp_path: Path) -> None:
    pager = {"kind": "AlertNotificationTarget", "metadata": {"name": "pager"}, "spec": {"target": "pagerduty"}}
    known = read(folder(tmp_path, TREE + slo("one", pager)))[1]
    assert receivers(known, slo="one") == [("all", "pager")]


def test_a_message_goes_to_both(control: Control, tmp_path: Path) -> None:
    apply_to(control, folder(tmp_path, TREE + TARGET + slo("fast", REF)))
    with control.snapshot() as tx:
        known = declared.current(tx)
    found = finding("latency", analyzer="slo.burn_rate", severity=Severity.PAGE, labels={"slo": "fast"})
    record(control, [found, finding()], known, START, LINKS)
    with control.snapshot() as tx:
        (incident,) = incidents.listed(tx)
        told = {one.receiver: one.payload["alerts"] for one in outbox.of_incident(tx, incident.id)}
    assert {name: len(alerts) for name, alerts in told.items()} == {"pager": 2, "team-chat": 1}  # type: ignore[arg-type]


def test_a_target_that_is_no_receiver_is_refused_with_what_to_do(control: Control, tmp_path: Path) -> None:
    made = folder(tmp_path, TREE + TARGET.replace("team-chat", "nobody") + slo("fast", {"targetRef": "nobody"}))
    says = (
        "SLO fast: its notification target 'nobody' is no Receiver: declare a Receiver of that name, "
        "or take the target out"
    )
    with pytest.raises(SettingsError, match="1 problem") as refused:
        apply_to(control, made)
    assert says in str(refused.value)
    with pytest.raises(SettingsError) as linted:
        lint(made)
    assert says in str(linted.value)
    assert check_routes(read(folder(tmp_path, TREE + TARGET + slo("fast", REF)))[1]) == []


def test_a_target_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no AlertNotificationTarget 'team-chat'"):
        read(folder(tmp_path, TREE + slo("fast", REF)))


SYSTEM = """
apiVersion: watchkeeper/v1
kind: System
metadata: {name: flights}
spec: {services: [delays], owner: operations, runbook: "https://runbooks.example/x"}
---
"""


@pytest.mark.parametrize(
    ("system", "says"),
    [
        (SYSTEM, None),
        (SYSTEM.replace("[delays]", "[other]"), "for service delays, which no System claims"),
        (SYSTEM.replace(', runbook: "https://runbooks.example/x"', ""), "which has no runbook: add one"),
    ],
)
def test_what_pages_a_target_has_an_owner_and_a_runbook(tmp_path: Path, system: str, says: str | None) -> None:
    quiet = TREE.replace("spec: {receiver: pager}", "spec: {receiver: pager, match: {severity: ticket}}")
    known = read(folder(tmp_path, quiet + TARGET + system + slo("fast", REF)))[1]
    found = check_pages(known)
    assert found == [] if says is None else len(found) == 1 and says in found[0]
    tickets = read(
        folder(tmp_path, quiet + TARGET + system + slo("fast", REF).replace("severity: page", "severity: ticket"))
    )
    assert check_pages(tickets[1]) == []
