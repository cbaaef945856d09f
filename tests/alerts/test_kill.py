"""Evaluators and senders killed with SIGKILL again and again: the short form of ``make soak``."""

from __future__ import annotations

from pathlib import Path

import pytest
from alerts.postgres import private_cluster
from benchmarks import delivery

KILLS = 8
AWAY_SECONDS = 360.0


def holds(figures: dict) -> None:
    assert all(delivery.goals({"short": figures}).values()), figures


def test_two_evaluators_and_two_senders_on_sqlite(tmp_path: Path) -> None:
    holds(delivery.run(f"sqlite:///{tmp_path / 'control.db'}", KILLS, AWAY_SECONDS))


@pytest.mark.debian
def test_two_evaluators_and_two_senders_on_postgresql() -> None:
    with private_cluster() as url:
        holds(delivery.run(url.format(name="postgres"), KILLS, AWAY_SECONDS))
