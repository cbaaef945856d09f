"""A few of the rules of the long figure: every objective is judged each round, and the one that burns is told."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from benchmarks import burn_rules as bench

SERVICES = 6


@pytest.mark.parametrize("burning", [None, 4])
def test_a_round_judges_every_objective(monkeypatch: pytest.MonkeyPatch, burning: int | None) -> None:
    monkeypatch.setattr(bench, "SERVICES", SERVICES)
    monkeypatch.setattr(bench, "ROUNDS", 2)
    judged: list[set[str]] = []
    told: list[set[str]] = []
    evaluate = bench.burn_rate.ANALYZER.evaluate

    def noted(*given: object) -> object:
        found = evaluate(*given)
        judged.append({service for service, _ in found.judged})
        told.append({finding.service for finding in found.findings if finding.active and finding.severity.alerts})
        return found

    monkeypatch.setattr(type(bench.burn_rate.ANALYZER), "evaluate", lambda _, *given: noted(*given))
    rng = np.random.default_rng(8)
    total = rng.poisson(bench.PER_MINUTE, (SERVICES, bench.DAYS * 1440))
    bad = rng.binomial(total, bench.BAD)
    if burning is not None:
        bad[burning, -120:] = total[burning, -120:] // 3
    bench._ours(bad, total, datetime(2026, 11, 21, 12, tzinfo=UTC))
    assert judged == [{f"s{number}" for number in range(SERVICES)}] * 2
    assert told == [set() if burning is None else {f"s{burning}"}] * 2
