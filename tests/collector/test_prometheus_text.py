"""The text format, against the library's classic parser as oracle; that one renames counters, we do not."""

from __future__ import annotations

import math
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from collector.sent import TS
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.collector.pollers.gpu_metrics import METRICS, gpu_samples
from watchkeeper.collector.pollers.prometheus_text import parse
from watchkeeper.schemas.events import GpuSample

OWN = sorted((Path(__file__).parent / "scrapes").glob("*.prom"))
MANY = settings(max_examples=300, deadline=None, derandomize=True, database=None)
Row = tuple[str, tuple[tuple[str, str], ...], float, int | None]


def ours(text: str) -> list[Row]:
    scrape = parse(text)
    assert scrape.unreadable == 0
    return [(s.name, tuple(sorted(s.labels.items())), s.value, s.time_ms) for s in scrape.samples]


def theirs(text: str) -> list[Row]:
    """The oracle's answer, under the names that the text has."""
    counters = set(re.findall(r"^# TYPE (\S+) counter", text, re.MULTILINE))
    rows: list[Row] = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = sample.name.removesuffix("_total")
            name = own if own in counters else sample.name
            stamp = None if sample.timestamp is None else round(float(sample.timestamp) * 1000)
            rows.append((name, tuple(sorted(sample.labels.items())), sample.value, stamp))
    return rows


def agree(text: str) -> None:
    mine, other = sorted(ours(text), key=str), sorted(theirs(text), key=str)
    assert [row[:2] + row[3:] for row in mine] == [row[:2] + row[3:] for row in other]
    for (_, _, a, _), (_, _, b, _) in zip(mine, other, strict=True):
        assert a == float(b) or (math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_our_own_scrapes_read_as_the_oracle_reads_them(path: Path) -> None:
    agree(path.read_text())


NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True).filter(lambda n: not n.endswith("_total"))
LABEL_NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True)
CONTENT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.sampled_from('\\"\n{},= '), max_size=8
)
NUMBERS = st.floats().map(repr) | st.integers().map(str) | st.sampled_from(["+Inf", "-Inf", "NaN", "1e+09", "5."])


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@st.composite
def lines(draw: st.DrawFn) -> str:
    labels = draw(st.dictionaries(LABEL_NAMES, CONTENT, max_size=3))
    inner = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    braces = "{" + inner + ("," if inner and draw(st.booleans()) else "") + "}" if labels or draw(st.booleans()) else ""
    stamp = draw(st.none() | st.integers(0, 10**13))
    return f"{draw(NAMES)}{braces} {draw(NUMBERS)}" + ("" if stamp is None else f" {stamp}")


@MANY
@given(st.lists(lines(), max_size=5))
def test_any_text_reads_as_the_oracle_reads_it(text: list[str]) -> None:
    agree("\n".join(text) + "\n")


@MANY
@given(st.text(max_size=60) | st.lists(st.sampled_from('a{}",=\\ 1\n#'), max_size=40).map("".join))
def test_no_text_raises_and_every_line_is_read_skipped_or_counted(text: str) -> None:
    scrape = parse(text)
    said = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(scrape.samples) + scrape.unreadable == len(said)


@pytest.mark.parametrize(
    "bad",
    [
        "name",
        "name{",
        'name{a="b} 1',
        'name{a="b"}',
        "name{a='b'} 1",
        "name{a=b} 1",
        'name{a="b" c="d"} 1',
        'name{,a="b"} 1',
        'name{a="b\\"} 1',
        "name one",
        "1name 1",
        "name 1 soon",
        "name 1 " + "9" * 5000,
        'name{a="' + '"a' * 5000,
        "-",
        "<html>",
    ],
)
def test_a_line_that_cannot_be_read_is_counted_and_costs_no_other(bad: str) -> None:
    scrape = parse(f"a 1\n{bad}\nb 2")
    assert ([s.name for s in scrape.samples], scrape.unreadable) == (["a", "b"], 1)


def recordings() -> Path | None:
    """Where the real recordings lie: WATCHKEEPER_SHARED, or beside the repository."""
    shared = Path(os.environ.get("WATCHKEEPER_SHARED") or Path(__file__).parents[3] / "shared")
    folder = shared / "data" / "gpu"
    return folder if folder.is_dir() else None


RECORDINGS = recordings()
REAL = [path for path in sorted(RECORDINGS.rglob("*")) if path.suffix in (".prom", ".metrics")] if RECORDINGS else []


@pytest.mark.shared
@pytest.mark.skipif(not REAL, reason="no recordings of real GPU hardware here: set WATCHKEEPER_SHARED")
@pytest.mark.parametrize("path", REAL or [None], ids=lambda path: path.name if path else "none")
class TestRecordings:
    """Every real text that is here."""

    def test_it_reads_as_the_oracle_reads_it(self, path: Path) -> None:
        agree(path.read_text())

    def test_its_devices_are_samples_that_can_be_stored(self, path: Path) -> None:
        lines = parse(path.read_text()).samples
        samples = gpu_samples(lines, datetime.fromtimestamp(TS, UTC))
        readable = {line.labels.get("UUID", line.labels.get("uuid")) for line in lines if line.name in METRICS}
        assert {sample.uuid for sample in samples} == readable
        for sample in samples:
            assert msgspec.json.decode(msgspec.json.encode(sample), type=GpuSample) == sample
            said = (sample.utilization, sample.memory_used_mib, sample.power_w, sample.temperature_c)
            assert any(value is not None for value in said)
