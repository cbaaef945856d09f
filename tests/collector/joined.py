"""An inbox, loader and facts that spans and payloads are sent to, and everything that is told and counted of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from collector.reopening import Reopening
from collector.sent import TS, kept
from collector.spans import DECODER, span, traces

from watchkeeper.collector.decoding import Sent
from watchkeeper.collector.inbox import Incoming
from watchkeeper.collector.registry import discover
from watchkeeper.schemas.settings import Ingest

LITELLM = discover(Ingest())["litellm"]
Payload = Mapping[str, object]
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "big", "team": "a"}
PARENT = {"parentSpanId": "00f067aa0ba902b7"}
Spans = Sequence[dict[str, object]]


class Bench(Reopening):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, TS + 60)

    def send(self, *spans: dict[str, object], service: str = "shop") -> None:
        taken = DECODER.check(Sent("otlp_traces", "json", traces(*spans, resource={"service.name": service}), 1000))
        kept(self.inbox.append(Incoming("otlp_traces", "json", self.now_us, taken.body, taken.rows, (), b"")))

    def send_litellm(self, *payloads: Payload) -> None:
        taken = LITELLM.check(Sent("litellm", "rows", json.dumps(payloads).encode(), 1000))
        kept(self.inbox.append(Incoming("litellm", "rows", self.now_us, taken.body, taken.rows, (), b"")))

    def told(self) -> list[tuple[object, ...]]:
        return self.rows(
            """SELECT id, operation, attempts, fallback_from, fallback_reason, status,
                      list_sort(list_transform(checks, lambda c: c.name || c.passed))
               FROM predictions ORDER BY id"""
        )

    def counted(self) -> list[tuple[object, ...]]:
        """Every count, by its key; what was taken back wholly is nothing."""
        traffic = self.rows(
            """SELECT 'traffic', dim, value, sum(requests)::INT, sum(errors)::INT, sum(check_failures)::INT,
                      sum(blocked)::INT, sum(attempts)::INT, sum(retried)::INT, sum(fallbacks)::INT,
                      sum(latency_n)::INT, sum(latency_sum_ms)::INT
               FROM traffic_hour GROUP BY ALL HAVING sum(requests) <> 0 ORDER BY ALL"""
        )
        minutes = self.rows("SELECT 'minutes', sum(requests)::INT, sum(check_failures)::INT FROM traffic_minute")
        latency = self.rows(
            "SELECT log_bucket, sum(n)::INT FROM latency_hour GROUP BY ALL HAVING sum(n) <> 0 ORDER BY ALL"
        )
        return [*traffic, *minutes, *latency]


def sibling(start: float, model: str = "big", operation: str = "chat", **parts: object) -> dict[str, object]:
    attributes = CHAT | {"gen_ai.request.model": model, "gen_ai.operation.name": operation}
    return span(attributes, start=TS + start, **(PARENT | parts))


def guard(of: dict[str, object], name: str = "pii", *, failed: bool = True, after: float = 0.5) -> dict[str, object]:
    attributes = {"openinference.span.kind": "GUARDRAIL"}
    start = int(str(of["startTimeUnixNano"])) / 1e9 + after
    return span(attributes, name=name, failed=failed, start=start, seconds=0.1, parentSpanId=of["spanId"])


def whole(folder: Path, spans: Spans) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What comes of all spans in one request."""
    folder.mkdir()
    bench = Bench(folder)
    bench.send(*spans)
    bench.load()
    found = bench.told(), bench.counted()
    bench.close()
    return found
