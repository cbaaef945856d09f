from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from analyzers.world import World, day
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.gpu import idle
from watchkeeper.analyzers.gpu.idle import shares
from watchkeeper.analyzers.rows import GpuRow
from watchkeeper.schemas.findings import Severity
from watchkeeper.store.facts.batch import Batch

IDLE = idle.ANALYZER


def sampled(**columns: object) -> World:
    times = [day(0).replace(tzinfo=None) + timedelta(minutes=10 * place) for place in range(144)]
    frame = pl.DataFrame(
        {"ts": times, "uuid": "GPU-1", "host": "node1", "gpu": "0", "model_name": "H100", "memory_free_mib": 1000.0}
    )
    world = World()
    world.loader.load(Batch(gpus=frame.with_columns(pl.lit(value).alias(name) for name, value in columns.items())))
    return world


def test_a_gpu_that_is_held_and_does_nothing_is_a_notice() -> None:
    evaluation = sampled(utilization=0.0, memory_used_mib=70_000.0).evaluate(IDLE, day(1))
    assert [finding.severity for finding in evaluation.findings] == [Severity.NOTICE]
    assert evaluation.findings[0].summary == "GPU 0 on node1 was held but idle for 100 % of the time up to 6 Jan."
    assert {reading.metric: reading.value for reading in evaluation.readings} == {
        "gpu_busy_share": 0.0, "gpu_idle_held_share": 1.0, "gpu_unknown_share": 0.0
    }  # fmt: skip


def test_a_gpu_that_nobody_holds_is_not_held() -> None:
    assert sampled(utilization=0.0, memory_used_mib=5.0).findings(IDLE, day(1)) == ()


def test_an_unknown_utilisation_is_never_idle() -> None:
    evaluation = sampled(utilization=None, memory_used_mib=70_000.0, mig="1g.10gb").evaluate(IDLE, day(1))
    assert evaluation.findings == ()
    assert evaluation.judged == frozenset()
    assert [(one.metric, one.subject, one.value) for one in evaluation.readings] == [
        ("gpu_unknown_share", "GPU-1/1g.10gb", 1.0)
    ]


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0, 1), st.floats(0, 1))
def test_shares_stay_between_0_and_1(known: int, unknown: int, busy: float, held: float) -> None:
    row = GpuRow("g", known + unknown, known, busy * known, int(held * known), unknown)
    did = shares(row)
    assert all(value is None or -1e-9 <= value <= 1 + 1e-9 for value in (did.busy, did.idle_held, did.unknown))
    assert (did.busy is None) == (known == 0)
    assert did.unknown == pytest.approx(unknown / (known + unknown)) if known + unknown else did.unknown == 1.0
