"""Rollups say what the facts say, however the facts came in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from ddsketch.mapping import LogarithmicMapping
from hypothesis import given, settings
from hypothesis import strategies as st
from store.facts_made import HOUR, NOW, PROPERTY, START, Made, event

from watchkeeper.store.facts import load, rollups
from watchkeeper.store.facts.rollups import ACCURACY, GAMMA, MINUTES_KEPT, ZERO_BUCKET, bucket_value

Row = Mapping[str, object]
KEYS = ("bucket", "service", "model", "model_version", "provider", "dim", "value")
TOKENS = ("tokens_input", "tokens_cache_read", "tokens_cache_write", "tokens_output", "tokens_reasoning")
MEASURES = (
    *("requests", "errors", "late", "check_failures", "blocked", "attempts", "retried", "fallbacks"),
    *("latency_n", "latency_sum_ms", *TOKENS, "cost", "cost_n"),
)
exact = st.integers(0, 10**6).map(lambda n: n / 64)  # sums of these have no rounding
CHECKS = st.lists(
    st.fixed_dictionaries({"name": st.just("c"), "passed": st.booleans(), "blocked": st.booleans()}), max_size=3
)
MAYBE_TIME = st.none() | st.integers(0, 100).map(lambda n: START + n * timedelta(minutes=1))
EVENTS = st.fixed_dictionaries(
    {
        "ts": st.builds(
            lambda hours, minutes, micros: NOW - hours * HOUR + timedelta(minutes=minutes, microseconds=micros),
            st.sampled_from([72, 49, 48, 47, 1, -30]),
            st.integers(0, 1),
            st.sampled_from([0, 1, 59_999_999]),
        ),  # few buckets, so that many events share one
        "service": st.sampled_from("ab"),
        "model": st.sampled_from("mn"),
        "model_version": st.sampled_from([None, "1", "2"]),
        "provider": st.sampled_from([None, "p"]),
        "status": st.sampled_from(["ok", "error"]),
        "attempts": st.integers(1, 4),
        "fallback_from": st.sampled_from([None, "big"]),
        "latency_ms": st.none() | exact,
        "cost": st.none() | exact,
        "needed_by": MAYBE_TIME,
        "used_at": MAYBE_TIME,
        "checks": st.none() | CHECKS,
        "segments": st.none()
        | st.dictionaries(st.sampled_from(["d", "e"]), st.sampled_from([None, "x", "y", 1, True])),
        "features": st.none() | st.dictionaries(st.sampled_from("fg"), st.none() | exact),
    }
    | {name: st.none() | st.integers(0, 1000) for name in TOKENS}
)
BATCHES = st.lists(st.lists(EVENTS, min_size=1, max_size=8), min_size=1, max_size=4)


def measured(row: Row) -> dict[str, float]:
    """What one event adds, worked out by hand."""
    checks = row["checks"] or []
    used, needed, cost, latency = row["used_at"], row["needed_by"], row["cost"], row["latency_ms"]
    return {
        "requests": 1,
        "errors": row["status"] == "error",
        "late": used is not None and needed is not None and used > needed,
        "check_failures": any(not check["passed"] for check in checks),
        "blocked": any(check["blocked"] for check in checks),
        "attempts": row["attempts"],
        "retried": row["attempts"] > 1,
        "fallbacks": row["fallback_from"] is not None,
        "latency_n": latency is not None,
        "latency_sum_ms": latency or 0,
        "cost": cost or 0,
        "cost_n": cost is not None,
    } | {name: row[name] or 0 for name in TOKENS}


def expected(rows: Sequence[Row], unit: timedelta) -> dict[tuple[object, ...], list[float]]:
    sums: dict[tuple[object, ...], list[float]] = {}
    for row in rows:
        bucket = START + (row["ts"] - START) // unit * unit
        segments = {d: _text(v) for d, v in (row["segments"] or {}).items() if v is not None}
        for dim, value in {"": "", **segments}.items():
            key = (bucket, row["service"], row["model"], row["model_version"], row["provider"], dim, value)
            own = measured(row)
            sums[key] = [a + own[name] for a, name in zip(sums.get(key, [0] * len(MEASURES)), MEASURES, strict=True)]
    return sums


def _text(value: object) -> str:
    return "true" if value is True else str(value)


def traffic(made: Made, table: str) -> dict[tuple[object, ...], list[float]]:
    sums = ", ".join(f"sum({name})::DOUBLE" for name in MEASURES)
    rows = made.rows(f"SELECT {', '.join(KEYS)}, {sums} FROM {table} GROUP BY ALL")
    return {row[: len(KEYS)]: list(row[len(KEYS) :]) for row in rows}


def everything(made: Made) -> dict[str, list[tuple[object, ...]]]:
    """Every rollup, summed to one row a key."""
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    queries = {
        table: f"SELECT {', '.join(KEYS)}, {sums} FROM {table} GROUP BY ALL ORDER BY ALL"
        for table in ("traffic_minute", "traffic_hour")
    } | {
        table: f"SELECT bucket, service, model, log_bucket, sum(n) FROM {table} GROUP BY ALL ORDER BY ALL"
        for table in ("latency_minute", "latency_hour")
    }
    queries["feature_hour"] = """SELECT bucket, service, model, feature, sum(total), sum(missing), sum(nan),
        sum(infinite), sum(mismatched), min(min), max(max), sum(sum), sum(sumsq) FROM feature_hour
        GROUP BY ALL ORDER BY ALL"""
    return {table: made.rows(query) for table, query in queries.items()}


@PROPERTY
@given(BATCHES)
def test_rollups_add_up_to_the_facts(batches: list[list[Row]]) -> None:
    made = Made()
    rows = [event(**row) for batch in batches for row in batch]
    sent = iter(rows)
    for batch in batches:
        made.load(*(next(sent) for _ in batch))
    assert traffic(made, "traffic_hour") == expected(rows, HOUR)
    young = [row for row in rows if row["ts"] >= NOW - MINUTES_KEPT]
    assert traffic(made, "traffic_minute") == expected(young, timedelta(minutes=1))
    for table, kept in (("latency_hour", rows), ("latency_minute", young)):
        counted = dict(made.rows(f"SELECT log_bucket, sum(n)::INT FROM {table} GROUP BY 1"))
        assert sum(counted.values()) == sum(row["latency_ms"] is not None for row in kept)


@settings(parent=PROPERTY, max_examples=6)
@given(BATCHES, st.randoms(use_true_random=False))
def test_chunks_and_their_order_change_no_sum(batches: list[list[Row]], random: object) -> None:
    features = {"f": 0.0, "g": 0.0}
    first = event(service="a", model="m", features=features)  # each model's features are known from the start
    rows = [first, *(event(**row) for batch in batches for row in batch)]
    rows += [event(service=s, model=m, features=features) for s, m in ("an", "bm", "bn")]
    at_once, in_parts = Made(), Made()
    at_once.load(*rows)
    rest = rows[1:-3]
    random.shuffle(rest)
    in_parts.load(first, *rows[-3:])
    while rest:
        size = random.randint(1, len(rest))
        in_parts.load(*rest[:size])
        rest = rest[size:]
    assert everything(in_parts) == everything(at_once)


@PROPERTY
@given(BATCHES)
def test_compaction_changes_no_sum_and_leaves_one_row_a_key(batches: list[list[Row]]) -> None:
    made = Made()
    for batch in batches:
        made.load(*(event(**row) for row in batch))
    before = everything(made)
    for _ in range(2):
        with made.facts.transaction() as connection:
            rollups.compact(connection, NOW)
        assert everything(made) == before
    for table, kept in before.items():
        recent = sum(row[0] >= NOW - MINUTES_KEPT for row in kept)
        assert made.value(f"SELECT count(*) FROM {table} WHERE bucket >= '{NOW - MINUTES_KEPT}'") == recent, table


def test_compaction_lets_old_minutes_go_and_keeps_the_hours() -> None:
    made = Made()
    made.load(*(event(ts=NOW - n * HOUR, latency_ms=1.0) for n in range(48)))
    assert made.value("SELECT count(*) FROM traffic_minute") == 48
    hours = everything(made)["traffic_hour"]
    with made.facts.transaction() as connection:
        rollups.compact(connection, NOW + 24 * HOUR)
    assert made.value("SELECT min(bucket) FROM traffic_minute") == NOW - 24 * HOUR
    assert made.value("SELECT min(bucket) FROM latency_minute") == NOW - 24 * HOUR
    assert everything(made)["traffic_hour"] == hours


def test_compaction_keeps_ranges_and_adds_sums() -> None:
    made = Made()
    for x in (2.0, -3.0, 5.0, None):
        made.load(event(features={"x": x}))
    with made.facts.transaction() as connection:
        rollups.compact(connection, NOW)
    assert made.rows("SELECT total, missing, min, max, sum, sumsq FROM feature_hour") == [(4, 1, -3.0, 5.0, 4.0, 38.0)]


def test_the_loader_compacts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "COMPACT_EVERY", 4)
    made = Made()
    for _ in range(4):
        made.load(event(features={"x": 1.0}, latency_ms=1.0))
    for table in ("traffic_hour", "traffic_minute", "latency_hour", "latency_minute", "feature_hour"):
        assert made.value(f"SELECT count(*) FROM {table}") == 1, table


def test_an_event_of_long_ago_is_in_the_hours_alone() -> None:
    made = Made()
    made.load(event(ts=NOW - 49 * HOUR, latency_ms=3.0), event(ts=NOW, latency_ms=4.0))
    assert made.rows("SELECT bucket FROM traffic_minute") == [(NOW,)]
    assert made.rows("SELECT bucket FROM latency_minute") == [(NOW,)]
    assert made.value("SELECT sum(n) FROM latency_hour") == 2


LATENCIES = st.floats(1e-6, 1e12) | st.sampled_from([1e-9, 1e12, 1.0, GAMMA, GAMMA**100])


@settings(parent=PROPERTY, max_examples=200)
@given(LATENCIES)
def test_a_bucket_stands_for_its_latencies_within_one_percent(latency: float) -> None:
    number = math.ceil(math.log(latency) / math.log(GAMMA))
    assert abs(bucket_value(number) - latency) <= ACCURACY * latency * (1 + 1e-9)


@PROPERTY
@given(st.lists(LATENCIES, min_size=1, max_size=50))
def test_buckets_are_those_of_ddsketch(latencies: list[float]) -> None:
    """The library of the authors of the scheme numbers them; at an edge the last bit of a logarithm may differ."""
    made = Made()
    made.load(*(event(latency_ms=latency) for latency in latencies))
    mapping = LogarithmicMapping(relative_accuracy=ACCURACY)
    ours = Counter(dict(made.rows("SELECT log_bucket, sum(n)::INT FROM latency_hour GROUP BY 1")))
    theirs = Counter(mapping.key(latency) for latency in latencies if latency > 1e-9)
    ours.pop(ZERO_BUCKET, None)
    moved = (ours - theirs) + (theirs - ours)
    on_an_edge = {n + d for x in latencies for d in (-1, 0, 1) for n in [mapping.key(x)] if _is_edge(x)}
    assert set(moved) <= on_an_edge
    for number in ours:
        assert bucket_value(number) == pytest.approx(mapping.value(number), rel=1e-9)


def _is_edge(latency: float) -> bool:
    position = math.log(latency) / math.log(GAMMA)
    return abs(position - round(position)) < 1e-6


def test_no_latency_and_latency_zero_differ() -> None:
    made = Made()
    made.load(event(latency_ms=None), event(latency_ms=0.0), event(latency_ms=1e-12))
    assert made.rows("SELECT log_bucket, n FROM latency_hour") == [(ZERO_BUCKET, 2)]
    assert bucket_value(ZERO_BUCKET) == 0
    assert made.rows("SELECT requests, latency_n FROM traffic_hour") == [(3, 2)]


def test_the_hour_of_an_event_is_its_own_not_that_of_its_arrival() -> None:
    made = Made()
    made.load(event(ts=START - timedelta(microseconds=1), received_at=START + HOUR))
    assert made.rows("SELECT bucket FROM traffic_hour") == [(START - HOUR,)]


def test_what_happens_around_a_request_is_kept_but_is_no_request() -> None:
    made = Made()
    operations = (None, "chat", "my own", "attempt", "execute_tool", "guardrail")
    made.load(*(event(operation=operation, latency_ms=1.0, segments={"d": "x"}) for operation in operations))
    assert made.value("SELECT count(*) FROM predictions") == len(operations)
    counted = made.rows("SELECT dim, sum(requests), sum(latency_n) FROM traffic_hour GROUP BY dim ORDER BY dim")
    assert counted == [("", 3, 3), ("d", 3, 3)]


def test_what_is_ignored_is_counted() -> None:
    made = Made()
    for _ in range(2):
        made.load(ignored={("otlp_traces", "span"): 3})
    assert made.rows("SELECT kind, what, sum(n) FROM ignored GROUP BY ALL") == [("otlp_traces", "span", 6)]
