"""CloudEvents as KServe's and Seldon's loggers send them: halves join in any order, once, and none is lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from collector.reopening import Reopening
from collector.sent import TS, kept

from watchkeeper.collector.decoding import Events, Sent, Taken
from watchkeeper.collector.inbox import Incoming
from watchkeeper.collector.registry import discover
from watchkeeper.schemas.errors import NotDecodable, StoreUnavailable, TooLarge
from watchkeeper.schemas.settings import Ingest
from watchkeeper.store.facts.erasure import erase
from watchkeeper.store.facts.story import story
from watchkeeper.store.sealed import SealedDays
from watchkeeper.store.subjects import Subject

KIND = "cloudevents"
DECODER = discover(Ingest())[KIND]
REQUEST, RESPONSE = "org.kubeflow.serving.inference.request", "org.kubeflow.serving.inference.response"
WAIT_US = 300 * 10**6
ID = "0009174a-24a8-4603-b098-09c8799950e9"


def at(seconds: float) -> str:
    """A time as Go writes it: nanoseconds, Z."""
    return datetime.fromtimestamp(TS + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "902Z"


def kserve(part: str, request_id: str = ID, seconds: float = 0.0, **more: str) -> dict[str, str]:
    """The headers of KServe's logger in binary mode."""
    return {
        "host": "watchkeeper",
        "user-agent": "Go-http-client/1.1",
        "ce-specversion": "1.0",
        "ce-id": request_id,
        "ce-source": "http://localhost:9081/",
        "ce-type": REQUEST if part == "request" else RESPONSE,
        "ce-time": at(seconds),
        "ce-recordedtime": at(seconds + 1),
        "ce-inferenceservicename": "sklearn-iris",
        "ce-namespace": "default",
        "ce-component": "predictor",
        "ce-endpoint": "",
        "ce-metadata": "%7B%22Team%22:%5B%22payments%22%5D%7D",
        "content-type": "application/json",
    } | more


def seldon(part: str, puid: str = "12b0d447", node: str = "classifier", seconds: float = 0.0) -> dict[str, str]:
    """The headers of Seldon's executor: an id of its own for each event, the request's beside it."""
    kinds = {"feedback": "io.seldon.serving.feedback"}
    return {
        "ce-specversion": "1.0",
        "ce-id": f"{part}-{seconds}-{puid}",
        "ce-source": "http://:8000/",
        "ce-type": kinds.get(part, f"io.seldon.serving.inference.{part}"),
        "ce-time": at(seconds),
        "ce-requestid": puid,
        "ce-modelid": node,
        "ce-inferenceservicename": "model-test",
        "ce-namespace": "ml",
        "ce-endpoint": "canary",
        "ce-protocol": "seldon",
        "content-type": "application/json",
    }


def structured(headers: dict[str, str], data: object) -> dict[str, object]:
    """The same event as JSON."""
    return {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")} | {"data": data}


def decoded(headers: dict[str, str], data: object, ingest: Ingest | None = None) -> tuple[Taken, Events]:
    decoder = discover(ingest)[KIND] if ingest else DECODER
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    taken = decoder.check(Sent(KIND, "binary", body, 100, headers))
    return taken, decoder.events(KIND, "binary", taken.body)


IRIS = {"instances": [[6.8, 2.8, 4.8, 1.4]]}


class Bench(Reopening):
    """Takes CloudEvents; its clock is set by hand."""

    def send(self, headers: dict[str, str], data: object, services: frozenset[str] | None = None) -> Taken:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.keep(DECODER.check(Sent(KIND, "binary", body, 100, headers)), services)

    def batch(self, *events: object) -> Taken:
        return self.keep(DECODER.check(Sent(KIND, "batch", json.dumps(events).encode(), 100)))

    def keep(self, taken: Taken, services: frozenset[str] | None = None) -> Taken:
        kept(self.inbox.append(Incoming(KIND, "any", self.now_us, taken.body, taken.rows, taken.rejected, taken.reply,
                                        services=services)))  # fmt: skip
        return taken

    def fates(self) -> dict[str, int]:
        return dict(self.rows("SELECT fate, sum(n)::INT FROM joins GROUP BY fate"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_request_and_response_of_kserve_are_one_prediction(bench: Bench) -> None:
    bench.send(kserve("request"), IRIS)
    bench.load()
    assert bench.rows("SELECT count(*) FROM predictions") == [(0,)]
    bench.send(kserve("response", seconds=0.25), {"predictions": [1]})
    bench.load()
    told = story(bench.facts, ID)
    made = told["prediction"]
    assert (made["service"], made["model"], made["system"], made["step"]) == (
        "sklearn-iris", "sklearn-iris", "default", "predictor")  # fmt: skip
    assert (made["prediction"], made["latency_ms"], made["status"]) == ("1", 250.0, "ok")
    assert made["ts"] == datetime.fromtimestamp(TS, UTC).replace(tzinfo=None)
    assert told["features"] == {"f0": 6.8, "f1": 2.8, "f2": 4.8, "f3": 1.4}
    assert told["segments"] == {"team": "payments"}
    assert bench.rows("SELECT count(*) FROM held") == [(0,)]
    assert bench.fates() == {"joined": 1}


SENT = {"request": (kserve("request"), IRIS), "response": (kserve("response", seconds=0.25), {"predictions": [1]})}


@pytest.mark.parametrize("order", sorted(set(permutations([*SENT, *SENT]))))
@pytest.mark.parametrize("each", [True, False], ids=["loaded one by one, restarted between", "in one chunk"])
def test_in_any_order_twice_and_over_restarts_it_is_one_prediction(
    tmp_path: Path, order: tuple[str, ...], each: bool
) -> None:
    bench = Bench(tmp_path)
    for part in order:
        bench.send(*SENT[part])
        if each:
            bench.load()
            bench.again()
    bench.load()
    assert bench.rows("SELECT id, prediction, latency_ms, status FROM predictions") == [(ID, "1", 250.0, "ok")]
    assert bench.rows("SELECT count(*) FROM held") == [(0,)]
    assert bench.fates() == {"joined": 1, "duplicate": 2}
    assert bench.rows("SELECT sum(duplicates)::INT FROM ingest") == [(2,)]
    bench.now_us += 2 * WAIT_US
    assert bench.pump.tell_alone() == 0
    bench.close()


def test_a_load_that_was_not_committed_joins_again(bench: Bench) -> None:
    """As after a kill between the reading of the halves and the commit."""
    bench.send(kserve("request"), IRIS)
    bench.load()
    real = bench.loader.load

    def torn(batch: object) -> object:
        bench.loader.load = real
        raise StoreUnavailable("killed")

    bench.send(kserve("response", seconds=0.25), {"predictions": [1]})
    bench.loader.load = torn
    with pytest.raises(StoreUnavailable):
        bench.load()
    bench.load()
    assert bench.rows("SELECT count(*) FROM predictions") == [(1,)]
    assert bench.fates() == {"joined": 1}


def test_a_request_without_a_response_is_told_after_the_deadline(bench: Bench) -> None:
    bench.send(kserve("request"), IRIS)
    bench.load()
    bench.now_us += WAIT_US
    assert bench.pump.tell_alone() == 0, "not before"
    bench.again()
    bench.now_us += 1
    assert bench.pump.tell_alone() == 1
    assert bench.pump.tell_alone() == 0
    assert bench.rows("SELECT id, status, error_class, prediction, latency_ms FROM predictions") == [
        (ID, "unknown", "no_response", None, None)
    ]
    assert story(bench.facts, ID)["features"]["f3"] == 1.4
    assert bench.rows("SELECT sum(requests)::INT, sum(errors)::INT FROM traffic_hour WHERE dim = ''") == [(1, 0)]
    assert bench.fates() == {"no_response": 1}


def test_a_response_alone_is_a_prediction_without_features(bench: Bench) -> None:
    bench.send(kserve("response"), {"predictions": [1]})
    bench.load()
    bench.now_us += WAIT_US + 1
    assert bench.pump.tell_alone() == 1
    assert bench.rows("SELECT id, status, prediction, latency_ms FROM predictions") == [(ID, "ok", "1", None)]
    assert bench.fates() == {"no_request": 1}


def test_what_was_told_alone_is_forgotten_after_a_day(bench: Bench) -> None:
    for name in ("one", "another"):
        bench.send(kserve("request", name), IRIS)
        bench.load()
        bench.now_us += WAIT_US + 1
        bench.pump.tell_alone()
        bench.now_us += 2 * 86_400 * 10**6
    assert bench.rows("SELECT count(*) FROM held") == [(1,)]


def test_while_its_other_half_waits_in_the_inbox_nothing_is_told_alone(bench: Bench) -> None:
    bench.send(kserve("request"), IRIS)
    bench.load()
    bench.send(kserve("response", seconds=0.25), {"predictions": [1]})
    bench.now_us += 10 * WAIT_US
    assert bench.pump.tell_alone() == 0
    bench.load()
    assert bench.fates() == {"joined": 1}


def test_a_half_that_cannot_be_stored_is_a_reject_and_blocks_no_other(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "poison", "b"):
        bench.send(kserve("request", name), IRIS)
    bench.load()
    bench.now_us += WAIT_US + 1
    real = bench.loader.load

    def load(batch):
        if batch.predictions is not None and "poison" in batch.predictions.frame["id"]:
            raise ValueError("not today")
        return real(batch)

    bench.loader.load = load
    assert bench.pump.tell_alone() == 3
    assert bench.rows("SELECT id FROM predictions ORDER BY id") == [("a",), ("b",)]
    [(kind, raw)] = bench.rows("SELECT kind, raw FROM rejects")
    assert (kind, msgspec.json.decode(raw)["id"]) == ("predictions", "poison")
    assert "cannot be stored" in caplog.text


def test_ten_instances_are_ten_predictions(bench: Bench) -> None:
    bench.send(kserve("request"), {"instances": [{"amount": n, "country": "DE"} for n in range(10)]})
    bench.send(kserve("response", seconds=1), {"predictions": [[0.25, 0.75]] * 10})
    bench.load()
    assert bench.rows("SELECT count(*), min(prediction), min(score), min(confidence) FROM predictions") == [
        (10, "1", 0.75, 0.75)
    ]
    assert story(bench.facts, f"{ID}-item-7")["features"] == {"amount": 7.0, "country": "DE"}


def test_seldon_joins_on_the_request_and_its_feedback_is_an_outcome(bench: Bench) -> None:
    bench.send(seldon("request"), {"data": {"names": ["a", "b"], "ndarray": [[2, 1]]}})
    bench.send(seldon("request", node="router"), {"data": {"ndarray": [[2, 1]]}})
    answer = {"meta": {}, "data": {"names": ["t:0", "t:1", "t:2"], "ndarray": [[0.1, 0.1, 0.8]]}}
    bench.send(seldon("response", seconds=0.5), answer)
    truth = {"reward": 0, "truth": {"data": {"names": ["t:0", "t:1", "t:2"], "ndarray": [[0, 0, 1]]}}}
    bench.send(seldon("feedback", seconds=60), truth)
    bench.load()
    told = story(bench.facts, "12b0d447-classifier")
    made = told["prediction"]
    assert (made["service"], made["model"], made["system"], made["latency_ms"]) == (
        "model-test",
        "classifier",
        "ml",
        500,
    )
    assert (made["prediction"], made["confidence"], told["features"]) == ("2", 0.8, {"a": 2.0, "b": 1.0})
    assert told["segments"] == {"endpoint": "canary"}
    assert [(row["value"], row["correct"], row["source"]) for row in told["matched"]] == [("2", True, "feedback")]
    assert bench.rows("SELECT count(*) FROM held") == [(1,)], "the other node's request waits for its own response"


def test_feedback_may_name_its_request_in_the_response_and_hold_a_reward_alone() -> None:
    body = {"request": {}, "response": {"meta": {"puid": "old"}}, "reward": 0.5}
    [outcome] = decoded(seldon("feedback", puid="new"), body)[1].outcomes
    assert (outcome.prediction_id, outcome.value, outcome.service) == ("old-classifier", 0.5, "model-test")
    assert outcome.evaluation == "reward"
    both = decoded(seldon("feedback"), {"reward": 1.0, "truth": {"data": {"ndarray": [[7]]}}})[1].outcomes
    assert [(one.value, one.evaluation) for one in both] == [(7, None), (1.0, "reward")]
    _, events = decoded(seldon("feedback"), {"request": {}})
    assert (events.outcomes, dict(events.ignored)) == ([], {"feedback without a truth": 1})


V2_REQUEST = {
    "id": "x",
    "inputs": [
        {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [41, 52]},
        {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["pro", "free"]},
        {"name": "v", "shape": [2, 2], "datatype": "FP32", "data": [[1.0, 2.0], [3.0, 4.0]]},
    ],
}
V2_RESPONSE = {
    "model_name": "iris",
    "model_version": "v3",
    "outputs": [
        {"name": "predict", "shape": [2], "datatype": "INT64", "data": [0, 1]},
        {"name": "predict_proba", "shape": [2, 2], "datatype": "FP64", "data": [0.9, 0.1, 0.2, 0.8]},
    ],
}


def test_the_open_inference_protocol(bench: Bench) -> None:
    bench.send(kserve("request"), V2_REQUEST)
    bench.send(kserve("response"), V2_RESPONSE)
    bench.load()
    assert bench.rows("SELECT id, prediction, score, confidence, model_version FROM predictions ORDER BY id") == [
        (f"{ID}-item-0", "0", 0.1, 0.9, "v3"),
        (f"{ID}-item-1", "1", 0.8, 0.8, "v3"),
    ]
    assert story(bench.facts, f"{ID}-item-1")["features"] == {"age": 52.0, "plan": "free", "v.0": 3.0, "v.1": 4.0}


def test_a_language_model_behind_kserve(bench: Bench) -> None:
    bench.send(kserve("request"), {"model": "m", "messages": [{"role": "user", "content": "a private question"}]})
    answer = {
        "model": "llama-3", "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
                                      "prompt_tokens_details": {"cached_tokens": 60}},
        "choices": [{"finish_reason": "stop", "message": {"content": "a private answer"}}],
    }  # fmt: skip
    bench.send(kserve("response", seconds=2), answer)
    bench.load()
    [row] = bench.rows(
        """SELECT operation, model_version, finish_reason, tokens_input, tokens_cache_read, tokens_output,
                  extra::JSON::VARCHAR FROM predictions"""
    )
    assert row == ("chat", "llama-3", "stop", 40, 60, 20, None)


def test_text_only_where_it_is_asked_for() -> None:
    for data in (
        {"instances": ["mail a@example.org"]},
        {"instances": [{"text": "mail a@example.org"}]},
        {"inputs": [{"name": "q", "shape": [1], "datatype": "BYTES", "data": ["mail a@example.org"]}]},
        {"strData": "mail a@example.org"},
        {"prompt": "mail a@example.org"},
    ):
        _, events = decoded(kserve("request"), data)
        assert events.halves[0].rows[0].content is None
        assert events.halves[0].rows[0].features is None
        assert events.ignored["text"] == 1
        _, events = decoded(kserve("request"), data, Ingest(keep_text=True))
        assert events.halves[0].rows[0].content == {"input": "mail [redacted]"}


def test_what_is_no_feature_is_left_out_and_counted() -> None:
    _, events = decoded(kserve("request"), {"instances": [[[[0.0] * 28] * 28]]})
    assert (events.halves[0].rows[0].features, dict(events.ignored)) == (None, {"input of over 300 values": 1})
    _, events = decoded(kserve("request", **{"content-type": "application/octet-stream"}), b"\x00\xff")
    assert (events.halves[0].rows, dict(events.ignored)) == ((), {"data of application/octet-stream": 1})
    taken, events = decoded(kserve("request") | {"ce-type": "io.seldon.serving.inference.outlier"}, {})
    assert (taken.rows, dict(events.ignored)) == (1, {"io.seldon.serving.inference.outlier": 1})


@pytest.mark.parametrize(
    ("data", "more", "error"),
    [
        ({"error": "model m is not found: 404"}, {}, "invalid_request"),
        ({"error": {"message": "rate limit reached"}}, {}, "rate_limited"),
        ({"status": {"status": "FAILURE", "code": 500, "reason": "boom"}}, {}, "upstream"),
        ({"detail": "x"}, {"ce-statuscode": "429"}, "rate_limited"),
    ],
)
def test_a_response_may_be_an_error(data: object, more: dict[str, str], error: str) -> None:
    [half] = decoded(kserve("response", **more), data)[1].halves
    assert (half.status, half.error_class) == ("error", error)


def test_python_servers_write_nan_and_curl_names_no_type() -> None:
    body = b'{"instances": [[NaN, Infinity, 1.5]]}'
    headers = kserve("request", **{"content-type": "application/x-www-form-urlencoded"})
    [half] = decoded(headers, body)[1].halves
    assert half.rows[0].features == {"f0": None, "f1": None, "f2": 1.5}


def test_structured_and_batch_are_the_same_events(bench: Bench) -> None:
    request = structured(kserve("request"), IRIS)
    response = structured(kserve("response", seconds=0.25), None)
    response["data_base64"] = base64.b64encode(b'{"predictions": [1]}').decode()
    taken = DECODER.check(Sent(KIND, "structured", json.dumps(request).encode(), 10))
    [one] = DECODER.events(KIND, "structured", taken.body).halves
    assert one == decoded(kserve("request"), IRIS)[1].halves[0]
    taken = bench.batch(response, request, {"id": 7}, "x")
    assert (taken.rows, [reject.field for reject in taken.rejected]) == (2, ["specversion", ""])
    bench.load()
    assert bench.rows("SELECT id, latency_ms FROM predictions") == [(ID, 250.0)]
    assert bench.rows("SELECT row_index, raw FROM rejects ORDER BY row_index") == [(2, b'{"id":7}'), (3, b"")]


def test_a_person_is_erased_from_what_waits_too(bench: Bench) -> None:
    for name, user in (("a", "u-17"), ("b", "u-18")):
        bench.send(kserve("request", name), {"instances": [{"user_id": user}]})
    bench.load()
    report = erase(bench.facts, SealedDays(bench.folder / "sealed"), [Subject("user_id", "u-17")])
    assert report.deleted == {"held": 1}
    [(body,)] = bench.rows("SELECT body FROM held")
    assert b"u-18" in body


def test_components_of_one_request_are_kept_apart(bench: Bench) -> None:
    for component in ("transformer", "predictor"):
        bench.send(kserve("request", **{"ce-component": component}), IRIS)
        bench.send(kserve("response", **{"ce-component": component}), {"predictions": [1]})
    bench.load()
    assert bench.rows("SELECT id, step FROM predictions ORDER BY id") == [
        (ID, "predictor"), (f"{ID}-transformer", "transformer")]  # fmt: skip


def test_without_a_time_the_arrival_stands_for_it(bench: Bench) -> None:
    for part, data in (("request", IRIS), ("response", {"predictions": [1]})):
        headers = kserve(part)
        del headers["ce-time"]
        bench.send(headers, data)
        bench.load()
        bench.now_us += 10**6
    assert bench.rows("SELECT latency_ms, epoch_us(ts) FROM predictions") == [(1000.0, TS * 10**6)]


def test_a_key_for_some_services_brings_no_half_of_another(bench: Bench) -> None:
    bench.send(kserve("request"), IRIS, services=frozenset({"shop"}))
    bench.load()
    assert bench.rows("SELECT count(*) FROM held") == [(0,)]
    assert bench.rows("SELECT field, service FROM rejects") == [("service", "sklearn-iris")]


def test_what_cannot_be_read_is_refused_or_rejected_with_the_reason() -> None:
    with pytest.raises(NotDecodable, match="no header begins with ce-"):
        decoded({"content-type": "application/json"}, IRIS)
    for mode in ("structured", "batch"):
        with pytest.raises(NotDecodable, match="no CloudEvent in JSON"):
            DECODER.check(Sent(KIND, mode, b"{", 10))
    with pytest.raises(TooLarge, match=r"ingest\.max_rows"):
        DECODER.check(Sent(KIND, "batch", b"[1,2,3]", 2))
    for headers, data, field in (
        (kserve("request") | {"ce-type": " "}, IRIS, "type"),
        (kserve("request") | {"ce-time": "yesterday"}, IRIS, "time"),
        (kserve("request"), b"{oops", "data"),
        (kserve("request"), b'{"a":' * 80 + b"1" + b"}" * 80, "data"),
    ):
        taken, events = decoded(headers, data)
        assert (taken.rows, [reject.field for reject in taken.rejected]) == (0, [field])
        assert events.halves == []
    _, events = decoded(kserve("request"), {"instances": [1] * 1001})
    assert "over 1000 instances" in events.rejected[0].reason
