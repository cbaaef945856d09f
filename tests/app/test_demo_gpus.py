from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.app.demo.gpus import GPUS, GpuEndpoint, render

NOON = datetime(2026, 5, 6, 12, 0, tzinfo=UTC)
NIGHT = datetime(2026, 5, 6, 3, 0, tzinfo=UTC)
LABELS = {"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname"}


def read(at: datetime) -> dict[str, list[float]]:
    families = text_string_to_metric_families(render(at))
    return {f.name: [s.value for s in f.samples] for f in families}


def test_the_text_parses_and_each_sample_has_its_labels_and_its_time():
    samples = [s for f in text_string_to_metric_families(render(NOON)) for s in f.samples]
    assert len(samples) == 10 * len(GPUS)
    assert all(set(s.labels) >= LABELS for s in samples)
    assert {s.timestamp for s in samples} == {NOON.timestamp()}
    assert len({s.labels["UUID"] for s in samples}) == len(GPUS)


def test_two_are_busy_one_rests_at_night_and_one_only_holds_memory():
    noon, night = read(NOON), read(NIGHT)
    busy = [u > 40 for u in noon["DCGM_FI_DEV_GPU_UTIL"]]
    assert busy == [True, True, True, False]
    assert [u > 40 for u in night["DCGM_FI_DEV_GPU_UTIL"]] == [True, True, False, False]
    assert noon["DCGM_FI_DEV_GPU_UTIL"][3] == 0
    assert noon["DCGM_FI_DEV_FB_USED"][3] > 60_000
    assert noon["DCGM_FI_DEV_POWER_USAGE"][3] < 130 < noon["DCGM_FI_DEV_POWER_USAGE"][0]


def test_shares_and_memory_stay_in_their_ranges_over_a_day():
    for minutes in range(0, 1440, 17):
        values = read(NOON + timedelta(minutes=minutes))
        assert all(0 <= v <= 100 for v in values["DCGM_FI_DEV_GPU_UTIL"])
        for name in ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"):
            assert all(0 <= v <= 1 for v in values[name])
        pairs = zip(values["DCGM_FI_DEV_FB_USED"], values["DCGM_FI_DEV_FB_FREE"], strict=True)
        assert {used + free for used, free in pairs} == {81_079}


def test_energy_is_the_power_added_up_and_never_falls():
    name = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
    counts = [read(NIGHT + timedelta(minutes=30 * i)) for i in range(49)]
    for gpu in range(len(GPUS)):
        meter = [c[f"{name}_total" if f"{name}_total" in c else name][gpu] for c in counts]
        assert meter == sorted(meter)
        watts = (meter[-1] - meter[0]) / 1000 / 86_400
        read_off = sum(c["DCGM_FI_DEV_POWER_USAGE"][gpu] for c in counts[:-1]) / 48
        assert watts == pytest.approx(read_off, rel=0.03)


def test_the_same_time_gives_the_same_text_and_another_minute_another():
    assert render(NOON) == render(NOON)
    later = read(NOON + timedelta(minutes=1))
    assert later["DCGM_FI_DEV_POWER_USAGE"][0] != read(NOON)["DCGM_FI_DEV_POWER_USAGE"][0]


def test_the_endpoint_answers_with_the_time_of_its_clock():
    now = [NOON]
    endpoint = GpuEndpoint(lambda: now[0])
    endpoint.start()
    try:
        first = httpx.get(endpoint.url, trust_env=False)
        now[0] = NIGHT
        second = httpx.get(endpoint.url, trust_env=False)
        missing = httpx.get(endpoint.url + "/other", trust_env=False)
    finally:
        endpoint.stop()
    assert first.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert (first.text, second.text) == (render(NOON), render(NIGHT))
    assert missing.status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint.url, trust_env=False)


def test_an_endpoint_that_never_started_can_be_stopped():
    GpuEndpoint(lambda: NOON).stop()
