from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import fmean, median

import jsonschema
import pytest

from watchkeeper.app.demo.assistant import AssistantReplay, assistant
from watchkeeper.schemas.events import json_schemas

START = datetime(2026, 2, 23, 8, tzinfo=UTC)
UNTIL = datetime(2026, 8, 17, 15, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def replay() -> AssistantReplay:
    return assistant(START, UNTIL)


@pytest.fixture(scope="module")
def events(replay):
    return list(replay.events())


@pytest.fixture(scope="module")
def requests(events):
    return [event for kind, _, event in events if kind == "predictions"]


def prompt(request) -> int:
    return request["tokens"]["input"] + request["tokens"]["cache_read"]


def before(requests, replay):
    return [r for r in requests if r["ts"] < replay.creep_at.timestamp()]


def at_end(requests):
    return [r for r in requests if r["ts"] > (UNTIL - timedelta(days=14)).timestamp()]


def test_events_come_in_time_order_within_the_span(replay, events):
    times = [at for _, at, _ in events]
    assert times == sorted(times)
    assert START.timestamp() <= times[0]
    assert times[-1] <= UNTIL.timestamp()
    assert Counter(kind for kind, _, _ in events) == replay.counts


def test_150_to_200_requests_a_day_fewer_at_the_weekend_and_at_night(requests):
    days = (UNTIL - START) / timedelta(days=1)
    assert 150 < len(requests) / days < 200
    moments = [datetime.fromtimestamp(r["ts"], UTC) for r in requests]
    weekday = Counter(m.weekday() for m in moments)
    hour = Counter(m.hour for m in moments)
    assert weekday[6] < 0.7 * weekday[1]
    assert hour[3] < 0.2 * hour[14]


def test_tokens_before_the_creep_have_the_published_median_and_mean(requests, replay):
    early = [r for r in before(requests, replay) if "tokens" in r]
    assert median(map(prompt, early)) == pytest.approx(1020, rel=0.03)
    assert fmean(map(prompt, early)) == pytest.approx(1155, rel=0.03)
    answers = [r["tokens"]["output"] for r in early if r["tokens"]["output"]]
    assert median(answers) == pytest.approx(129, rel=0.05)
    assert fmean(answers) == pytest.approx(211, rel=0.05)


def test_token_classes_are_disjoint_and_some_of_the_prompt_is_cached(requests):
    cached = [r for r in requests if r.get("tokens", {}).get("cache_read")]
    assert 0.1 < len(cached) / len(requests) < 0.3
    for request in cached:
        assert request["tokens"]["cache_read"] % 128 == 0
        assert prompt(request) >= 1024
        assert request["tokens"]["input"] > 0


def test_prompts_grow_by_40_percent_from_the_marker_on(requests, replay):
    early = fmean(prompt(r) for r in before(requests, replay) if "tokens" in r)
    late = fmean(prompt(r) for r in at_end(requests) if "tokens" in r)
    assert 1.3 < late / early < 1.45


def test_retries_creep_from_1_to_8_percent(requests, replay):
    early = fmean(r["attempts"] > 1 for r in before(requests, replay))
    late = fmean(r["attempts"] > 1 for r in at_end(requests))
    assert 0.005 < early < 0.015
    assert 0.055 < late < 0.1


def test_one_prompt_marker_stands_where_the_creep_and_the_new_prompt_begin(replay, events, requests):
    (marker,) = [event for kind, _, event in events if kind == "changes"]
    assert marker["kind"] == "prompt"
    assert marker["ts"] == replay.creep_at.timestamp()
    assert (replay.creep_at - START) / (UNTIL - START) == pytest.approx(0.4)
    for request in requests:
        assert request["prompt_version"] == ("v8" if request["ts"] >= marker["ts"] else "v7")


def test_latency_holds_the_first_token_and_grows_with_the_answer(requests):
    ok = [r for r in requests if "prediction" in r]
    assert all(0 < r["ttft_ms"] < r["latency_ms"] < 30_000 for r in ok)
    short = median(r["latency_ms"] for r in ok if r["tokens"]["output"] < 60)
    long = median(r["latency_ms"] for r in ok if r["tokens"]["output"] > 400)
    assert long > 3 * short


def test_each_error_is_told_as_its_class(requests):
    errors = Counter(r.get("error_class") for r in requests if r.get("status") == "error")
    assert set(errors) == {"rate_limited", "timeout", "policy_block"}
    assert 0.005 < errors.total() / len(requests) < 0.02
    for request in requests:
        match request.get("error_class"):
            case "rate_limited":
                assert request["attempts"] == 3
                assert "tokens" not in request
            case "timeout":
                assert request["latency_ms"] == 30_000
                assert request["tokens"]["output"] == 0
            case "policy_block":
                assert [c["blocked"] for c in request["checks"]] == [True]
            case _:
                assert "prediction" in request


def test_some_policy_and_schema_checks_fail_without_an_error(requests):
    ok = [r for r in requests if "prediction" in r]
    failed = Counter(c["kind"] for r in ok for c in r["checks"] if not c["passed"])
    assert 0.001 < failed["policy"] / len(ok) < 0.008
    assert 0.006 < failed["schema"] / len(ok) < 0.02


def test_a_ticket_takes_one_to_three_steps_in_order(requests):
    tickets: dict[str, list[str]] = {}
    for request in requests:
        tickets.setdefault(request["workflow"], []).append(request["step"])
    begun = [steps for steps in tickets.values() if steps[0] == "classify"]
    assert len(begun) > 0.99 * len(tickets)
    assert {tuple(steps) for steps in begun} == {
        ("classify",),
        ("classify", "draft"),
        ("classify", "draft", "answer"),
    }


def test_thumbs_come_later_for_a_third_of_the_answers(events, requests):
    sent = {r["id"]: r for r in requests if "prediction" in r}
    thumbs = [event for kind, _, event in events if kind == "outcomes"]
    assert 0.27 < len(thumbs) / len(sent) < 0.33
    assert all(t["prediction_ts"] == sent[t["prediction_id"]]["ts"] for t in thumbs)
    delays = [t["known_at"] - t["prediction_ts"] for t in thumbs]
    assert min(delays) > 0
    assert 4 < median(delays) / 3600 < 6
    wrong = fmean(t["value"] != sent[t["prediction_id"]]["prediction"] for t in thumbs)
    assert 0.12 < wrong < 0.22


def test_people_review_some_answers_and_override_a_few(events, requests):
    sent = {r["id"]: r["ts"] for r in requests if "prediction" in r}
    reviews = [event for kind, _, event in events if kind == "reviews"]
    assert 0.015 < len(reviews) / len(sent) < 0.025
    assert all(r["ts"] > r["prediction_ts"] == sent[r["prediction_id"]] for r in reviews)
    decisions = Counter(r["decision"] for r in reviews)
    assert decisions["approved"] > decisions["edited"] > decisions["overridden"] > 0


def test_events_fit_their_schema(events):
    schemas = json_schemas()
    seen = Counter()
    for kind, _, event in events:
        case = (kind, event.get("error_class"))
        seen[case] += 1
        if seen[case] <= 20:
            jsonschema.validate(event, schemas[kind])
    assert len(seen) == 7


def test_no_cost_is_told_because_the_server_prices_it(requests):
    assert not any("cost" in r for r in requests)


def test_the_same_seed_gives_the_same_events_and_another_one_others(replay, events):
    assert list(assistant(START, UNTIL).events()) == events
    assert list(replay.events()) == events
    other = assistant(START, UNTIL, seed=8)
    assert next(iter(other.events())) != events[0]
