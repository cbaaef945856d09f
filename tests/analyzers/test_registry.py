from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from watchkeeper.analyzers import registry
from watchkeeper.analyzers.data import missing
from watchkeeper.analyzers.evaluation import check_monitors, settings_for
from watchkeeper.schemas.declared import Declarations, Monitor
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Severity

ALL = registry.discover()
PLUGIN = """
from watchkeeper.analyzers.data.missing import Missing

class Mine(Missing):
    name = "mine.own"

ANALYZER = Mine()
"""


def test_every_folder_is_found_and_named_by_its_path() -> None:
    assert list(ALL) == [
        "cost.per_request",
        "cost.per_success",
        "data.checks",
        "data.duplicates",
        "data.frozen",
        "data.mismatch",
        "data.missing",
        "data.new_feature",
        "data.orphans",
        "data.out_of_range",
        "data.silence",
        "data.telemetry",
        "data.unit",
        "data.unseen",
        "drift.chi_squared",
        "drift.classifier",
        "drift.cramers_v",
        "drift.hellinger",
        "drift.jensen_shannon",
        "drift.kolmogorov_smirnov",
        "drift.psi",
        "drift.reasons",
        "drift.wasserstein",
        "gpu.idle",
        "impact.value",
        "quality.agreement",
        "quality.estimated",
        "quality.fairness",
        "quality.matured",
        "quality.newcomer",
        "quality.ranking",
        "quality.selective",
        "quality.slices",
        "slo.budget",
        "slo.burn_rate",
        "slo.fallback",
        "slo.slow_burn",
        "verdict.change",
    ]


def test_a_name_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = ModuleType("twin")
    twin.ANALYZER = missing.ANALYZER  # type: ignore[attr-defined]
    ours = list(registry._modules())
    monkeypatch.setattr(registry, "_modules", lambda: iter([*ours, twin]))
    with pytest.raises(SettingsError, match=r"two analyzers are named 'data\.missing', the second in twin"):
        registry.discover()


def test_a_module_without_an_analyzer_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="module empty has no usable ANALYZER: it lacks name, question"):
        registry.analyzer_of(ModuleType("empty"))


def test_a_plugin_is_loaded_like_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_plugin.py").write_text(PLUGIN)
    info = tmp_path / "mine_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[watchkeeper.analyzers]\nown = mine_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(registry.discover()) == {*ALL, "mine.own"}


def test_the_table_names_every_analyzer_and_parameter() -> None:
    table = registry.table(ALL)
    assert table.count("\n") == len(ALL) + 2
    for name, analyzer in ALL.items():
        line = next(line for line in table.splitlines() if f"`{name}`" in line)
        assert analyzer.question in line
        assert all(f"`{param}`" in line for param in analyzer.params)


def test_neither_pandas_nor_scipy_stats_is_ever_imported() -> None:
    code = (
        "import sys; from watchkeeper.analyzers import backtest, clockwork, registry, schedule; registry.discover(); "
        "sys.exit(' '.join({'pandas', 'scipy.stats', 'apscheduler'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_most_specific_monitor_wins() -> None:
    monitors = (
        Monitor(name="c", analyzer="data.missing", service="s", model="m", params={"alpha": 0.3}),
        Monitor(name="b", analyzer="data.missing", service="s", params={"alpha": 0.2, "windows": 3}, severity="page"),
        Monitor(name="a", analyzer="data.missing", params={"alpha": 0.1, "massive": 0.9}, severity="notice"),
        Monitor(name="d", analyzer="data.unseen", params={"alpha": 0.4}),
    )
    declared = Declarations(monitors=monitors)
    settings = settings_for(missing.ANALYZER, declared, "s", "m")
    assert [settings.number(name) for name in ("alpha", "windows", "massive", "min_share")] == [0.3, 3, 0.9, 0.01]
    assert settings.severity is Severity.PAGE
    assert settings_for(missing.ANALYZER, declared, "t", "m").severity is Severity.NOTICE


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        (Monitor(name="x", analyzer="data.mising"), "Monitor x: there is no analyzer 'data.mising'; known: cost.per"),
        (
            Monitor(name="x", analyzer="data.missing", params={"nope": 1}),
            "data.missing has no parameter 'nope'; known: min",
        ),
        (
            Monitor(name="x", analyzer="data.missing", params={"alpha": "low"}),
            "parameter alpha of data.missing is like",
        ),
        (Monitor(name="x", analyzer="data.missing", params={"alpha": True}), "parameter alpha of data.missing is like"),
    ],
)
def test_a_monitor_that_cannot_work_is_refused_before_it_is_applied(monitor: Monitor, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check_monitors([monitor], ALL)


def test_a_monitor_that_can_work_is_accepted() -> None:
    check_monitors([Monitor(name="x", analyzer="quality.matured", params={"segments": ["a"], "alpha": 1})], ALL)
