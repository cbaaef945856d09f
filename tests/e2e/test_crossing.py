"""The short form of the long figure: each service that crosses its burn threshold is told to a person, and no other."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from benchmarks import crossing
from benchmarks.processes import running


def test_each_crossing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def ticking(argv: list[str], port: int, settings: Mapping[str, str]):
        return running(argv, port, settings={**settings, "WATCHKEEPER_SCHEDULE_TICK_SECONDS": "1"})

    monkeypatch.setattr(crossing, "running", ticking)
    monkeypatch.setattr(crossing, "_prometheus", lambda *_: None)
    for name, value in {"SERVICES": 3, "HEALTHY": 3.0, "ONSETS": 2.0, "GIVEN_UP": 90.0}.items():
        monkeypatch.setattr(crossing, name, value)
    figures = crossing.measure(None)
    assert (figures["crossings"], figures["ours_seconds"]["told"]) == (3, 3)
    assert figures["ours_seconds"]["min"] > 0
