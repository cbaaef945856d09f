from __future__ import annotations

from pathlib import Path

import pytest
from alerts.samples import webhook

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.addresses import check_receivers
from watchkeeper.schemas.declared import Declarations, Receiver, Route
from watchkeeper.schemas.errors import SettingsError

OURS = ("alertmanager", "apprise", "cloudevents", "log", "mail", "pagerduty", "slack", "webhook")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package on the path, as pip would leave it."""
    (tmp_path / "pager_plugin.py").write_text(
        "class Pager:\n    def notify(self, notification): pass\n\n\ndef build(receiver): return Pager()\n",
        encoding="utf-8",
    )
    info = tmp_path / "pager_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pager-plugin\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[watchkeeper.notifiers]\npager = pager_plugin:build\nbroken = pager_plugin:missing\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("plugin")
def test_another_package_may_bring_a_notifier() -> None:
    assert registry.known() == sorted([*OURS, "broken", "pager"])
    assert type(registry.build(Receiver(type="pager"))).__name__ == "Pager"
    with pytest.raises(SettingsError, match="'broken' \\(pager_plugin:missing\\) cannot be loaded"):
        registry.build(Receiver(type="broken"))


def test_an_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=f"no notifier 'pigeon'; known: {', '.join(OURS)}"):
        registry.build(Receiver(type="pigeon"))


def test_routes_are_checked_before_a_page_is_lost_on_them() -> None:
    wrong = Declarations(
        routes=(
            webhook("http://127.0.0.1:1/", "good"),
            Route(name="typo", receiver=Receiver(type="webhok")),
            Route(name="bare", receiver=Receiver(type="webhook")),
        )
    )
    problems = check_receivers(wrong)
    assert [problem.split(":")[0] for problem in problems] == ["Route typo", "Route bare"]
