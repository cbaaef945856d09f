"""A span that was sampled stands for as many as its sender says, in both forms of OTLP, up to the traffic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from collector.joined import Bench, sibling
from collector.sent import TS
from collector.spans import decoded, one, span, traces
from collector.test_otlp import as_protobuf
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.collector.genai.sampling import MOST, adjusted_count
from watchkeeper.schemas.findings import Window
from watchkeeper.store.facts.reader import FactReader

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "big"}


@pytest.mark.parametrize("form", ["json", "protobuf"])
@pytest.mark.parametrize(
    ("state", "weight"),
    [
        ("ot=th:0", 1.0),
        ("ot=th:c", 4.0),
        ("a=b,ot=rv:abcdef01234567;th:e66666666666", 10.0),
        ("ot=p:3", None),
        ("ot=th:", None),
        ("ot=th:C", None),
        ("ot=th:ffffffffffffff", None),
        ("vendor=th:8", None),
        ("", None),
    ],
)
def test_the_threshold_of_a_trace_is_a_weight(form: str, state: str, weight: float | None) -> None:
    body = traces(span(CHAT, traceState=state))
    taken, events = decoded("otlp_traces", body if form == "json" else as_protobuf("otlp_traces", body), form)
    assert taken.rows == 1
    [told] = events.predictions
    assert told.sample_weight == (weight if weight is None else pytest.approx(weight))


def test_the_threshold_goes_before_a_rate_and_no_rate_is_beyond_what_a_weight_may_be() -> None:
    assert one(CHAT | {"SampleRate": 50}, traceState="ot=th:8").sample_weight == 2.0
    assert one(CHAT | {"SampleRate": 50}, traceState="ot=th:x").sample_weight == 50.0
    assert one(CHAT | {"sampling.rate": 0.1}).sample_weight == 10.0
    for wrong in (0, -3, 1e-12, 2e9, "often"):
        assert one(CHAT | {"SampleRate": wrong}).sample_weight is None


@given(st.text() | st.text(alphabet="ot=h:;,0123456789abcdef", max_size=40).map(lambda text: f"ot=th:{text}"))
def test_no_state_gives_a_weight_that_is_none(state: str) -> None:
    count = adjusted_count(state)
    assert count is None or 1.0 <= count <= MOST


def test_spans_of_a_tenth_are_the_traffic_of_all(tmp_path: Path) -> None:
    """Each in eight traces of its own; a failure that leads to a second attempt takes those that it stood for along."""
    state = {"traceState": "ot=th:e66666666666"}
    sent = [span(CHAT, failed=number == 0, traceId=f"{number + 1:032x}", **state) for number in range(8)]
    sent += [sibling(50, failed=True, **state), sibling(52, **state)]
    bench = Bench(tmp_path)
    for one_span in sent:
        bench.send(one_span)
        bench.load()
    at = datetime.fromtimestamp(TS, UTC)
    window = Window(at - timedelta(hours=1), at + timedelta(hours=1))
    found = FactReader(bench.facts).traffic(window, weighted=True)
    for name, expected in {"rows": 9, "requests": 90, "errors": 10, "attempts": 100, "retried": 10}.items():
        assert found[name].sum() == pytest.approx(expected), name
    bench.close()
