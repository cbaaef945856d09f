"""OpenSLO v1, v1alpha and Sloth, read into objectives; what is wrong is said with file, line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.store.control.apply import read

PARTS = """
apiVersion: openslo/v1
kind: Service
metadata: {name: checkout}
spec: {description: Holds orders back.}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: ours}
spec: {type: watchkeeper, connectionDetails: {}}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: ok}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {metricSourceRef: ours, spec: {measure: errors}}}
    total: {metricSource: {metricSourceRef: ours, spec: {measure: requests}}}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec:
  severity: page
  condition: {kind: burnrate, op: gte, threshold: 10, lookbackWindow: 1h, alertAfter: 5m}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: policy}
spec:
  alertWhenNoData: true
  conditions: [{conditionRef: fast}]
  notificationTargets: [{targetRef: on-call}]
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: on-call}
spec: {target: pager}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout-ok, displayName: Orders are judged, annotations: {watchkeeper/fallback: rules}}
spec:
  service: checkout
  indicatorRef: ok
  timeWindow:
    - duration: 1M
      isRolling: false
      calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}
  budgetingMethod: Timeslices
  objectives:
    - {displayName: most, targetPercent: 99, timeSliceTarget: 0.95, timeSliceWindow: 5m}
    - {displayName: nearly all, target: 0.95, timeSliceTarget: 0.99, timeSliceWindow: 5m}
  alertPolicies: [{alertPolicyRef: policy}]
"""


def declarations(tmp_path: Path, text: str) -> Declarations:
    (tmp_path / "slo.yaml").write_text(text, encoding="utf-8")
    return read(tmp_path)[1]


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as error:
        declarations(tmp_path, text)
    return str(error.value)


def slo(spec: str = "", **changes: str) -> str:
    parts = {
        "indicator": "{spec: {ratioMetric: {good: {metricSource: {type: watchkeeper, spec: {measure: errors}}}}}}",
        "timeWindow": "[{duration: 28d, isRolling: true}]",
        "objectives": "[{target: 0.99}]",
    } | changes
    lines = "\n".join(f"  {name}: {value}" for name, value in parts.items() if value)
    return f"apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: x}}\nspec:\n  service: s\n{lines}\n{spec}"


def test_every_kind_by_reference(tmp_path: Path) -> None:
    first, second = declarations(tmp_path, PARTS).objectives
    assert (first.name, second.name) == ("checkout-ok/most", "checkout-ok/nearly all")
    assert (first.target, second.slice_target, first.slice_window) == (0.99, 0.99, "5m")
    assert first.sli.measure == "errors"
    assert first.calendar is not None
    assert (first.calendar.unit, first.calendar.count, first.calendar.zone) == ("M", 1, "Europe/Berlin")
    assert first.rules[0].burn == 10
    assert first.rules[0].after == "5m"
    assert (first.no_data, first.targets) == (True, ["on-call"])
    assert first.fallback is not None
    assert first.fallback.name == "rules"


def test_a_threshold_metric_is_a_bound_for_slices(tmp_path: Path) -> None:
    source = "{spec: {thresholdMetric: {metricSource: {type: watchkeeper, spec: {measure: cost_per_request}}}}}"
    text = slo(indicator=source, objectives="[{target: 0.9, op: lte, value: 0.02}]", budgetingMethod="Timeslices")
    (made,) = declarations(tmp_path, text).objectives
    assert (made.sli.max, made.slice_window) == (0.02, "1d")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (slo(objectives="[{target: 99}]"), "99 looks like percent, write targetPercent: 99"),
        (slo(objectives="[{targetPercent: 0.99}]"), "write target: 0.99, or targetPercent: 99"),
        (slo(objectives="[]"), "at least one"),
        (slo(timeWindow="[{duration: 1M, isRolling: true}]"), "needs a calendar"),
        (slo(timeWindow="[{duration: 28d}]"), "isRolling: true, or calendar"),
        (slo(timeWindow="[{duration: 1M, calendar: {startTime: 2026-01-01, timeZone: Mars/Base}}]"), "no IANA zone"),
        (slo(timeWindow="[{duration: 1M, calendar: {startTime: soon, timeZone: UTC}}]"), "startTime 'soon'"),
        (slo(indicatorRef="gone", indicator=""), "there is no SLI 'gone'; declared: none"),
        (slo(objectives="[{target: 0.9, compositeWeight: 2}]"), "composite"),
        (slo(budgetingMethod="Timeslices"), "needs timeSliceTarget"),
        (slo(budgetingMethod="Sometimes"), "Sometimes"),
        (slo(objectivs="[]"), "objectivs"),
        (
            slo(indicator="{spec: {ratioMetric: {good: {metricSource: {type: Prometheus, spec: {query: up}}}}}}"),
            "must be watchkeeper, not 'Prometheus'",
        ),
        (PARTS.replace("op: gte", "op: lte"), "op lte is inverted"),
        (PARTS.replace("alertWhenNoData: true", "alertWhenBreaching: false"), "its condition would alert nobody"),
        (PARTS.replace("threshold: 10", "threshold: 200"), "it can never fire, burn 200 x (1 - target 0.99) is 2"),
        (PARTS.replace("severity: page", "severity: loud"), "severity 'loud' is not known"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_the_line_is_named(tmp_path: Path) -> None:
    text = "kind: System\napiVersion: watchkeeper/v1\nmetadata: {name: a}\nspec: {services: [s], owner: o}\n---\n"
    assert "(line 14)" in refused(tmp_path, text + slo(budgetingMethod="Sometimes"))


OWN = """
apiVersion: watchkeeper/v1
kind: Objective
metadata: {name: right}
spec:
  service: flights
  sli: {measure: quality}
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.9}]
  matureAfter: 7d
  alerting: [{severity: ticket, budget: 0.2, long: 7d, short: 1d}]
  budgetPolicy: [{at: 0.5, do: notify}, {at: 1, do: close_gate, what: Freeze.}]
  fallback: {name: rules, service: flight-rules}
"""


def test_our_own_kind(tmp_path: Path) -> None:
    (made,) = declarations(tmp_path, OWN).objectives
    assert made.maturing is not None
    assert made.maturing.days == 7
    assert made.rules[0].limit(made.period) == pytest.approx(0.8)
    assert [step.do for step in made.budget_policy] == ["notify", "close_gate"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("budget: 0.2", "burn: 12", "it can never fire"),
        ("budget: 0.2", "burn: 2, budget: 0.2", "burn or budget, one of them"),
        ("long: 7d", "long: 40d", "nor long over the period"),
        ("measure: quality", "measure: errors", "matureAfter belongs to measure quality"),
        ("measure: quality", "measure: drift", "drift needs max"),
        ("measure: quality", "measure: drift, max: 0.2", "write budgetingMethod: Timeslices"),
        ("do: notify", "do: panic", "panic"),
    ],
)
def test_contradictions_of_our_own_kind(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in refused(tmp_path, OWN.replace(old, new))


SLOTH = """
version: prometheus/v1
service: myservice
labels: {owner: myteam}
slos:
  - name: requests-availability
    objective: 99.9
    description: Answers without an error.
    sli:
      events:
        error_query: sum(rate(http_request_duration_seconds_count{job="my",code=~"(5..|429)"}[{{.window}}]))
        total_query: sum(rate(http_request_duration_seconds_count{job="my"}[{{.window}}]))
    alerting:
      name: MyServiceHighErrorRate
      page_alert: {labels: {severity: pageteam}}
      ticket_alert: {disable: true}
  - name: requests-latency
    objective: 95
    sli:
      events:
        error_query: |
          sum(rate(http_request_duration_seconds_count[{{.window}}]))
          - sum(rate(http_request_duration_seconds_bucket{le="0.25"}[{{.window}}]))
        total_query: sum(rate(http_request_duration_seconds_count[{{.window}}]))
    alerting: {page_alert: {disable: false}}
"""


def test_a_file_of_sloth(tmp_path: Path) -> None:
    errors, latency = declarations(tmp_path, SLOTH).objectives
    assert (errors.name, errors.sli.measure) == ("myservice-requests-availability", "errors")
    assert errors.target == pytest.approx(0.999)
    assert [rule.severity for rule in errors.rules] == ["page", "page"]
    assert (latency.sli.max_ms, latency.rules) == (250.0, [])
    assert "cannot tell what this query counts" in refused(tmp_path, SLOTH.replace('code=~"(5..|429)"', 'a="b"'))


V1ALPHA = """
apiVersion: openslo/v1alpha
kind: SLO
metadata: {name: sli-my-service, displayName: Availability}
spec:
  service: my-service
  description: Most answers are fine.
  budgetingMethod: Occurrences
  timeWindows: [{count: 30, isRolling: true, unit: Day}]
  objectives:
    - ratioMetrics:
        good: {source: prometheus, queryType: promql, query: 'sum(rate(x_total{status!~"5.."}[{{.window}}]))'}
        total: {source: prometheus, queryType: promql, query: 'sum(rate(x_total[{{.window}}]))'}
      target: 0.999
"""


def test_openslo_v1alpha(tmp_path: Path) -> None:
    (made,) = declarations(tmp_path, V1ALPHA).objectives
    assert (made.name, made.days, made.target, made.sli.measure) == ("sli-my-service", 30, 0.999, "errors")
