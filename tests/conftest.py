"""The order of the files where several workers share them; and in CI a skip is a failure, unless it names hardware."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import pytest

LONG = (
    "tests/e2e/test_crossing.py",
    "tests/analyzers/test_backtest.py",
    "tests/app/test_lifecycle.py",
    "tests/e2e/test_kill.py",
    "tests/collector/test_joining_order.py",
    "tests/app/test_backtesting.py",
    "tests/analyzers/test_backtest_columns.py",
    "tests/app/test_schemathesis.py",
    "tests/alerts/test_kill.py",
    "tests/e2e/test_backup.py",
)
"""Files that take longest come first, so that no worker is left alone with one at the end."""
ALLOWED = "hardware"
STATE = pytest.StashKey[TemporaryDirectory[str]]()


class SkipIsFailure:
    """Turns skipped tests and modules into failures. An expected failure is no skip."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        return _judged((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        return _judged((yield))


def _judged(report: Any) -> Any:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if ALLOWED not in reason:
            report.outcome = "failed"
            report.longrepr = f"skipped, which is a failure in CI unless the reason names {ALLOWED}: {reason}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mix the rooms among the workers: tests that wait run beside tests that compute."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, int]:
    file = item.nodeid.partition("::")[0]
    return LONG.index(file) if file in LONG else len(LONG), crc32(file.encode())


def pytest_collection_finish() -> None:
    gc.freeze()  # what is collected lives to the end


def pytest_configure(config: pytest.Config) -> None:
    gc.set_threshold(50_000, 20, 20)  # a third of the time of collecting the tests was the garbage collector's
    # What a client leaves on disk goes there, and not into the home of whoever runs the tests.
    config.stash[STATE] = state = TemporaryDirectory(ignore_cleanup_errors=True)
    os.environ["XDG_STATE_HOME"] = state.name
    if os.environ.get("WATCHKEEPER_CI"):
        config.pluginmanager.register(SkipIsFailure())


def pytest_unconfigure(config: pytest.Config) -> None:
    gc.unfreeze()
    config.stash[STATE].cleanup()
