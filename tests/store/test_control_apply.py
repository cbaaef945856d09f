from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from alerts.samples import START, day, sqlite_control

from watchkeeper.alerts.delivery.addresses import check_receivers
from watchkeeper.alerts.routing.readiness import check_pages
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.store.control import audit, declared
from watchkeeper.store.control.apply import apply
from watchkeeper.store.control.connection import Control

SYSTEM = """
apiVersion: watchkeeper/v1
kind: System
metadata: {name: flights}
spec: {services: [delays], owner: operations, runbook: https://runbooks.example/x}
"""
PRICES = """
apiVersion: watchkeeper/v1
kind: PriceTable
metadata: {name: list-prices}
spec:
  currency: USD
  prices:
    - {model: small, class: input, perMillion: 0.5, from: 2025-01-01, to: 2026-01-01}
    - {model: small, class: input, perMillion: 0.4, from: 2026-01-01}
"""
OBJECTIVE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: delays-latency}
spec:
  service: delays
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: watchkeeper, spec: {measure: latency, maxMs: 300}}}
  objectives: [{target: 0.99}]
"""


RUNBOOK = ", runbook: https://runbooks.example/x"
LOUD = "apiVersion: watchkeeper/v1\nkind: Monitor\nmetadata: {name: loud}\nspec: {analyzer: x, severity: page}\n"


def route(name: str, kind: str = "log", match: str = "{}") -> str:
    spec = f"{{receiver: {{type: {kind}}}, match: {match}}}"
    return f"apiVersion: watchkeeper/v1\nkind: Route\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def value(name: str, service: str) -> str:
    spec = f"{{service: {service}, currency: EUR, values: {{wrong: -30}}}}"
    return f"apiVersion: watchkeeper/v1\nkind: ValueModel\nmetadata: {{name: {name}}}\nspec: {spec}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "watchkeeper.d"
    made.mkdir()
    return made


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    opened = sqlite_control(tmp_path)
    yield opened
    opened.close()


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")


def test_what_is_applied_is_what_is_read_back(folder: Path, control: Control) -> None:
    write(folder, a=f"{SYSTEM}---{PRICES}---\n", b=OBJECTIVE)
    (folder / "c.yml").write_text(route("all"), encoding="utf-8")
    (folder / "notes.txt").write_text("not: [read", encoding="utf-8")
    report = apply(folder, control, START, "ada")
    assert report.added == ("Objective delays-latency", "PriceTable list-prices", "Route all", "System flights")
    assert (report.changed, report.unchanged, report.removed, report.warnings) == ((), (), (), ())
    with control.snapshot() as tx:
        in_force = declared.current(tx)
    assert in_force.systems[0].owner == "operations"
    assert in_force.prices[0].prices[1].valid_from == date(2026, 1, 1)
    assert in_force.objectives[0].sli.max_ms == 300
    assert in_force.routes[0].receiver.type == "log"


def test_versions_and_audit(folder: Path, control: Control) -> None:
    write(folder, a=SYSTEM, b=route("all"), c=OBJECTIVE)
    apply(folder, control, START, "ada")
    again = apply(folder, control, day(1), "ada")
    assert (again.added, again.changed, again.removed) == ((), (), ())
    assert len(again.unchanged) == 3
    write(folder, a=SYSTEM.replace("operations", "night shift"))
    (folder / "b.yaml").unlink()
    third = apply(folder, control, day(2), "bob")
    assert (third.changed, third.removed, third.unchanged) == (
        ("System flights",),
        ("Route all",),
        ("Objective delays-latency",),
    )
    write(folder, b=route("all"))
    assert apply(folder, control, day(3), "bob").added == ("Route all",)
    with control.snapshot() as tx:
        in_force, versions = declared.current(tx), declared.versions(tx)
        entries = [(one.at, one.actor, one.action, one.subject, one.detail) for one in audit.entries(tx)]
    assert in_force.systems[0].owner == "night shift"
    assert len(in_force.routes) == 1
    assert versions == {("System", "flights"): 2, ("Route", "all"): 3, ("Objective", "delays-latency"): 1}
    assert entries[:3] == [
        (day(3), "bob", "declared.added", "Route all", {"version": 3}),
        (day(2), "bob", "declared.removed", "Route all", {"version": 2}),
        (day(2), "bob", "declared.changed", "System flights", {"version": 2}),
    ]
    assert len(entries) == 6


def test_all_problems_of_all_files_are_listed_and_nothing_is_applied(folder: Path, control: Control) -> None:
    write(folder, a=SYSTEM)
    apply(folder, control, START, "ada")
    write(
        folder,
        a=SYSTEM.replace("owner: operations", "owner: 5") + "---\n" + route("good"),
        b="kind: [unclosed\n",
        c="- a list\n---\n" + SYSTEM.replace("System", "Sytem"),
        d=route("good") + "---\n" + value("v1", "delays") + "---\n" + value("v2", "delays"),
        e=OBJECTIVE.replace("maxMs: 300", "maxMs: -1"),
        f=PRICES.replace("to: 2026-01-01", "to: 2026-02-01")
        + "---\n"
        + PRICES.replace("list-prices", "backwards").replace("to: 2026-01-01", "to: 2024-01-01").replace("small", "x"),
        g=route("typo", kind="pigeon"),
        h=value("v3", "chat").replace("-30", ".inf"),
    )
    (folder / "i.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError) as refused:
        apply(folder, control, day(1), "bob", checks=[check_receivers])
    lines = str(refused.value).splitlines()
    assert lines[0].endswith(f"{len(lines) - 1} problem(s), nothing was applied:")
    for line, expected in zip(
        lines[1:],
        [
            "a.yaml, document 1 (System flights): Expected `str`, got `int` - at `$.owner`",
            "b.yaml, document 1: not YAML: while parsing a flow sequence",
            "c.yaml, document 1: expected a mapping",
            "c.yaml, document 2: cannot read kind 'Sytem'",
            "d.yaml, document 1: Route good is already declared in a.yaml, document 2",
            "e.yaml, document 1 (SLO delays-latency)",
            "h.yaml, document 1: Out of range float values are not JSON compliant",
            "i.yaml: cannot be read",
            "PriceTable backwards: x input from 2025-01-01 to 2024-01-01 ends before it begins",
            "PriceTable list-prices: small input from 2026-01-01 to further notice overlaps small input",
            "ValueModel v1 and v2: both for service delays; keep one",
            "Route typo: there is no notifier 'pigeon'",
        ],
        strict=True,
    ):
        assert line.startswith(f"  - {expected}"), line
    with control.snapshot() as tx:
        assert declared.versions(tx) == {("System", "flights"): 1}
        assert len(audit.entries(tx)) == 1


@pytest.mark.parametrize(
    ("files", "warnings"),
    [
        ({"r": route("all")}, ("route all sends alerts, but no System is declared: nobody owns them",)),
        (
            {
                "s": SYSTEM.replace(", runbook: https://runbooks.example/x", ""),
                "r": route("t", match="{severity: ticket}"),
            },
            (),
        ),
        (
            {"s": SYSTEM, "t": SYSTEM.replace("flights", "again")},
            ("service delays is claimed by 2 systems; the first by name owns it",),
        ),
        ({"s": SYSTEM, "r": route("all")}, ()),
    ],
)
def test_warnings_do_not_stop_it(
    folder: Path, control: Control, files: dict[str, str], warnings: tuple[str, ...]
) -> None:
    write(folder, **files)
    report = apply(folder, control, START, "ada")
    assert report.warnings == warnings
    assert len(report.added) == len(files)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"s": SYSTEM, "r": route("chat", match="{service: chat}")},
            "Route chat pages for service chat, which no System claims: nobody owns it",
        ),
        (
            {"s": SYSTEM.replace(RUNBOOK, ""), "r": route("p", match="{severity: page}")},
            "Route p sends pages of System flights (owner operations), which has no runbook",
        ),
        (
            {"s": SYSTEM.replace(RUNBOOK, ""), "m": LOUD},
            "Monitor loud pages for System flights (owner operations), which has no runbook",
        ),
    ],
)
def test_a_page_needs_an_owner_and_a_runbook(
    folder: Path, control: Control, files: dict[str, str], problem: str
) -> None:
    write(folder, **files)
    with pytest.raises(SettingsError) as refused:
        apply(folder, control, START, "ada", [check_pages])
    assert problem in str(refused.value)


def test_tickets_need_no_runbook(folder: Path, control: Control) -> None:
    write(folder, s=SYSTEM.replace(RUNBOOK, ""), r=route("t", match="{severity: ticket}"))
    assert len(apply(folder, control, START, "ada", [check_pages]).added) == 2


def test_prices_that_meet_or_differ_do_not_overlap(folder: Path, control: Control) -> None:
    other = PRICES.replace("list-prices", "other").replace("class: input", "class: output")
    third = PRICES.replace("list-prices", "third").replace("class: input", "class: input, provider: p")
    write(folder, a=PRICES, b=other, c=third)
    assert len(apply(folder, control, START, "ada").added) == 3


def test_an_empty_folder_removes_all_and_a_missing_one_is_refused(folder: Path, control: Control) -> None:
    write(folder, a=SYSTEM)
    apply(folder, control, START, "ada")
    (folder / "a.yaml").unlink()
    assert apply(folder, control, day(1), "ada").removed == ("System flights",)
    with pytest.raises(SettingsError, match="there is no such folder"):
        apply(folder / "nothing", control, day(1), "ada")
