"""The rules about Watchkeeper itself: they name metrics that exist, and promtool proves that each fires."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml
from deploy.container import DEPLOY, ROOT

from watchkeeper.app.metrics import AlertCounts, ServerCollector, text
from watchkeeper.app.slos import Slos
from watchkeeper.app.status import StatusReader
from watchkeeper.collector.inbox import Inbox, Incoming
from watchkeeper.collector.ledger import ClientBook
from watchkeeper.collector.pollers.gpu import TargetState
from watchkeeper.store.clock import wall
from watchkeeper.store.facts.connection import FactStore

FOLDER = DEPLOY / "prometheus"
RULES = yaml.safe_load((FOLDER / "watchkeeper.rules.yml").read_text())["groups"][0]["rules"]


@pytest.fixture(scope="module")
def exposed(tmp_path_factory):
    """The metrics of a real inbox and real facts, with an alert and a target."""
    folder = tmp_path_factory.mktemp("metrics")
    inbox = Inbox(folder / "inbox.db", queue_bytes=1, queue_requests=1, backlog_bytes=1)
    client = ClientBook("c", 1, 0, 1, "checkout")
    inbox.append(Incoming("predictions", "ndjson", 1, b"{}", 1, (), b"{}", client=client)).result(30)
    facts = FactStore()
    status = StatusReader("0", inbox, facts, wall, lambda: None, "")
    counts = AlertCounts({("firing", "page"): 1}, {"waiting": 1, "dead": 0})
    exposed = text(
        ServerCollector(status, lambda: counts, [TargetState("http://127.0.0.1:1/metrics")], lambda: Slos(wall(), ()))
    ).decode()
    inbox.close()
    facts.close()
    return exposed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_names_metrics_and_label_values_that_exist(rule, exposed):
    known = set(re.findall(r"^# TYPE (\w+)", exposed, re.MULTILINE))
    named = set(re.findall(r"watchkeeper_\w+", rule["expr"]))
    assert named <= known, f"not exposed: {named - known}"
    for label, value in re.findall(r'(fate|state|result)=~?"([^"]+)"', rule["expr"]):
        for one in value.split("|"):
            assert f'{label}="{one}"' in exposed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_has_a_runbook_that_exists(rule):
    page, _, heading = rule["annotations"]["runbook"].partition(", ")
    assert f"\n### {heading}\n" in (ROOT / page).read_text()
    assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.debian
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: Debian package prometheus")
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("test", "rules", "watchkeeper.rules.test.yml")],
    ids=["configuration", "rules"],
)
def test_promtool_agrees(arguments):
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
