"""GPU metrics as exporters really write them. T3 to T12 are the traps that the research names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from collector.sent import TS
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector.pollers.gpu_metrics import BLANK, METRICS, gpu_samples
from watchkeeper.collector.pollers.prometheus_text import Sample, parse
from watchkeeper.schemas.events import GpuSample

NOW = datetime.fromtimestamp(TS, UTC)
SCRAPES = Path(__file__).parent / "scrapes"


def samples(name: str) -> dict[tuple[str, str | None], GpuSample]:
    scrape = parse((SCRAPES / name).read_text())
    assert scrape.unreadable == 0
    return {(sample.uuid, sample.mig): sample for sample in gpu_samples(scrape.samples, NOW)}


def one(text: str) -> GpuSample:
    [sample] = gpu_samples(parse(text).samples, NOW)
    return sample


def line(name: str, value: object, **labels: str) -> str:
    texts = ",".join(f'{label}="{text}"' for label, text in ({"UUID": "G"} | labels).items())
    return f"{name}{{{texts}}} {value}"


def test_one_sample_a_device() -> None:
    [sample] = samples("dcgm_old.prom").values()
    assert (sample.uuid, sample.mig, sample.host, sample.gpu, sample.model_name) == (
        "GPU-aaaa0000-1111-2222-3333-444455556666",
        None,
        "rack-3",
        "0",
        "Tesla T4",
    )
    assert (sample.ts, sample.utilization, sample.sm_clock_mhz, sample.temperature_c) == (TS, 0.42, 585, 61)


def test_t3_a_count_over_a_sliding_window_is_not_taken_for_a_counter() -> None:
    """``DCGM_EXP_…_COUNT`` says counter and falls again; only the gauge of the last XID is read."""
    [sample] = samples("dcgm_old.prom").values()
    assert sample.xid == 79
    assert not any(name.startswith("DCGM_EXP_") for name in METRICS)


def test_t4_a_blank_is_no_reading() -> None:
    """int64, float and int32 blanks, and NaN: the values are unknown, the others stay."""
    [sample] = samples("dcgm_old.prom").values()
    assert (sample.memory_used_mib, sample.memory_free_mib, sample.power_w) == (None, None, None)
    assert sample.utilization == 0.42, "NaN from the profiler leaves the plain utilisation"


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize("blank", [2.0**63, 9223372036854775794, 9223372036854775792, "NaN", "+Inf", "-Inf", -1e9])
def test_t4_no_metric_takes_a_blank(name: str, blank: object) -> None:
    assert gpu_samples(parse(line(name, blank)).samples, NOW) == []


@pytest.mark.parametrize("name", sorted(name for name in METRICS if name.startswith("DCGM") and "ENERGY" not in name))
@pytest.mark.parametrize("blank", [BLANK, 2147483632, 2147483635, 140737488355328.0, 140737488355331.0])
def test_t4_nor_the_smaller_kin_where_dcgm_writes_them(name: str, blank: object) -> None:
    assert gpu_samples(parse(line(name, blank)).samples, NOW) == []


def test_t5_a_counter_keeps_the_name_that_the_text_has() -> None:
    [sample] = samples("dcgm_old.prom").values()
    assert sample.energy_mj == 7214880911


def test_t6_the_classic_format_is_read_whatever_openmetrics_thinks_of_it() -> None:
    for path in SCRAPES.glob("*.prom"):
        scrape = parse(path.read_text())
        assert scrape.unreadable == 0
        assert len(scrape.samples) == sum(
            bool(text) and not text.startswith("#") for text in path.read_text().splitlines()
        )


def test_t7_without_utilisation_a_busy_mig_parent_is_unknown_not_idle() -> None:
    parent = samples("dcgm_mig.prom")["GPU-bbbb", None]
    assert (parent.utilization, parent.power_w, parent.memory_used_mib) == (None, 433.78, 41000)


def test_t8_a_slice_is_a_device_of_its_own() -> None:
    found = samples("dcgm_mig.prom")
    assert list(found) == [("GPU-bbbb", "1"), ("GPU-bbbb", "2"), ("GPU-bbbb", None)]
    assert [sample.memory_used_mib for sample in found.values()] == [30000, 11000, 41000]
    assert [sample.utilization for sample in found.values()] == [0.912345, 0.0, None]


@pytest.mark.parametrize("label", ["UUID", "uuid", "gpu_uuid"])
@pytest.mark.parametrize("host", ["Hostname", "hostname", "exported_instance"])
@pytest.mark.parametrize("model", ["modelName", "model_name"])
def test_t9_labels_by_any_of_their_names(label: str, host: str, model: str) -> None:
    sample = one(f'DCGM_FI_DEV_GPU_UTIL{{{label}="G",{host}="h",{model}="A100"}} 5')
    assert (sample.uuid, sample.host, sample.model_name, sample.utilization) == ("G", "h", "A100", 0.05)


def test_t9_without_a_uuid_there_is_no_device() -> None:
    assert gpu_samples(parse('DCGM_FI_DEV_GPU_UTIL{gpu="0"} 5\nDCGM_FI_DEV_GPU_UTIL 5').samples, NOW) == []


def test_t10_the_exporters_own_pod_is_never_the_workload() -> None:
    assert samples("shared_gpu.prom")["GPU-dddd", None].workload is None
    assert samples("dcgm_mig.prom")["GPU-bbbb", "2"].workload == "ranker-7f"
    assert samples("dcgm_mig.prom")["GPU-bbbb", "1"].workload is None, "an empty label is none"


def test_t11_a_device_that_pods_share_counts_once() -> None:
    found = samples("shared_gpu.prom")
    assert len(found) == 2
    shared = found["GPU-cccc", None]
    assert (shared.utilization, shared.power_w, shared.workload) == (0.8, 61.5, "batch-a")


def test_t12_busy_and_working_are_two_numbers() -> None:
    lines = [
        line("DCGM_FI_DEV_GPU_UTIL", 100),
        line("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.02),
        line("DCGM_FI_DEV_POWER_USAGE", 632),
    ]
    sample = one("\n".join(lines))
    assert (sample.utilization, sample.tensor_active, sample.power_w) == (1.0, 0.02, 632)


def test_the_finer_utilisation_wins() -> None:
    for order in (1, -1):
        lines = [line("DCGM_FI_DEV_GPU_UTIL", 100), line("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.25)][::order]
        assert one("\n".join(lines)).utilization == 0.25


def test_the_other_exporter_writes_other_units() -> None:
    [sample] = samples("nvidia_smi.prom").values()
    assert (sample.utilization, sample.memory_used_mib, sample.memory_free_mib) == (1.0, 1474.0, 14470.0)
    assert sample.sm_clock_mhz == pytest.approx(2850), "over 2.1 GHz is past an int32 blank, and real"
    assert (sample.power_w, sample.temperature_c) == (84.24, -4)
    assert (sample.model_name, sample.gpu) == ("NVIDIA GeForce RTX 4080", "3"), "from the line that says just these"


def test_the_exporters_time_is_taken_where_it_is_one() -> None:
    assert one(line("DCGM_FI_DEV_GPU_UTIL", 5) + " 1767600000123").ts == 1767600000.123
    for nonsense in ("0", "-5", "999999999999999999", "1"):
        assert one(f"{line('DCGM_FI_DEV_GPU_UTIL', 5)} {nonsense}").ts == TS, nonsense


def test_labels_longer_than_an_event_may_have_are_cut() -> None:
    """A pod's name may have 253 characters; it must not cost the sample."""
    sample = one(line("DCGM_FI_DEV_GPU_UTIL", 5, pod="p" * 253, Hostname="h" * 300))
    assert (sample.workload, sample.host) == ("p" * 200, "h" * 200)


VALUES = st.floats() | st.integers(-(2**70), 2**70).map(float)
LABELS = st.dictionaries(
    st.sampled_from(["UUID", "uuid", "GPU_I_ID", "Hostname", "pod", "exported_pod", "gpu", "modelName"]),
    st.text(max_size=8) | st.just("x" * 300),
)
LINES = st.builds(
    Sample, st.sampled_from([*METRICS, "other"]), LABELS, VALUES, st.none() | st.integers(-(10**18), 10**18)
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(LINES, max_size=8))
def test_every_sample_is_one_that_the_loader_can_read_again(lines: list[Sample]) -> None:
    found = gpu_samples(lines, NOW)
    for sample in found:
        assert msgspec.json.decode(msgspec.json.encode(sample), type=GpuSample) == sample
    assert len({(sample.uuid, sample.mig) for sample in found}) == len(found)
