"""One process that logs through one client library, ours or a peer's, and ends in one way. Run with the peers' Python.

``python sdk_logging.py TOOL URL WAY``; each event carries the text ``evt-<way>-<number>-end``; by it the sink counts.
"""
# ruff: noqa: PLC0415  # a process loads its own library alone

from __future__ import annotations

import json
import os
import signal
import sys
import time

FEATURES = {
    **{f"num_{n}": 1.2345678901 * (n + 1) for n in range(8)},
    **{f"count_{n}": 1000 * n for n in range(6)},
    **{f"word_{n}": f"value-{n}" for n in range(6)},
}
BURST = 50
CALLS = 6000
SLOW_EVENTS = 1000
DOWN_EVENTS = 4400
PER_SECOND = 65


def watchkeeper(url):
    import watchkeeper_sdk as wk

    wk.init(url, service="bench")

    def log(text):
        wk.log_prediction(model="fraud", prediction=True, score=0.93, latency_ms=12.5, prompt=text, features=FEATURES)

    return log


def opentelemetry(url):
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    tracer = provider.get_tracer("bench")
    fixed = {"model": "fraud", "prediction": True, "score": 0.93, "latency_ms": 12.5}

    def log(text):
        tracer.start_span("predict", attributes={**fixed, "prompt": text, **FEATURES}).end()

    return log


def langfuse(url):
    from langfuse import Langfuse

    client = Langfuse(public_key="pk", secret_key="sk", host=url)

    def log(text):
        client.start_observation(
            name="predict", as_type="generation", model="fraud", input=text, output=True, metadata=FEATURES
        ).end()

    return log


def sentry(url):
    import sentry_sdk

    sentry_sdk.init(url.replace("http://", "http://key@") + "/1")

    def log(text):
        sentry_sdk.capture_event({"message": text, "level": "info", "tags": {"model": "fraud"}, "extra": FEATURES})

    return log


def call(log):
    """What a call takes on the caller's thread: bursts of 50, in between the library may send."""
    for number in range(200):
        log(f"evt-warm-{number}-end")
    time.sleep(0.2)
    walls, cpu = [], 0.0
    for number in range(CALLS):
        if number % BURST == 0:
            time.sleep(0.01)
        text = f"evt-call-{number}-end"
        cpu_before, began = time.thread_time_ns(), time.perf_counter_ns()
        log(text)
        ended = time.perf_counter_ns()
        cpu += time.thread_time_ns() - cpu_before
        walls.append(ended - began)
    walls.sort()
    return {
        "p50_us": round(walls[CALLS // 2] / 1000, 1),
        "p99_us": round(walls[CALLS * 99 // 100] / 1000, 1),
        "cpu_us": round(cpu / CALLS / 1000, 1),
    }


def leave(log):
    for number in range(SLOW_EVENTS):
        log(f"evt-exit-{number}-end")
    return {"logged": SLOW_EVENTS}


def killed(log):
    for number in range(SLOW_EVENTS):
        log(f"evt-killed-{number}-end")
        time.sleep(0.005)
    print(json.dumps({"logged": SLOW_EVENTS}), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def forked(log):
    """Like a worker of a server that loads the application before it forks."""
    for number in range(100):
        log(f"evt-forked-p{number}-end")
    child = os.fork()
    for number in range(100):
        log(f"evt-forked-{'p' if child else 'c'}{100 + number}-end")
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    return {"logged": 300}


def down(log):
    """Steadily, while the other side goes away and comes back."""
    began = time.monotonic()
    for number in range(DOWN_EVENTS):
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        log(f"evt-down-{number}-end")
    return {"logged": DOWN_EVENTS}


def again(log):
    """The next start of a service."""
    log("evt-again-0-end")
    time.sleep(3)
    return {"logged": 1}


if __name__ == "__main__":
    tool, url, way = sys.argv[1:]
    tools = {"watchkeeper": watchkeeper, "opentelemetry": opentelemetry, "langfuse": langfuse, "sentry": sentry}
    ways = {"call": call, "exit": leave, "killed": killed, "forked": forked, "down": down, "again": again}
    said = ways[way](tools[tool](url))
    print(json.dumps(said), flush=True)
