"""In CI nothing may be left out quietly: a skip is a failure there, unless its reason names hardware."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from tempfile import TemporaryDirectory
from typing import Any

import pytest

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
