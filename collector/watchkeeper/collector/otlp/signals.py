"""What the three signals call their parts, and what is common to both forms of their messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchkeeper.collector.genai.span import Moment, Span

MAX_DEPTH = 8
"""Nesting of attribute values beyond which they are left out."""
BAD_ID = "a trace id has 16 bytes, a span id 8, and neither is all zero"


@dataclass(frozen=True, slots=True)
class Signal:
    """One of traces, logs and metrics: its path, the names of its messages, and of what they count."""

    name: str
    request: str
    response: str
    rejected: str
    rejected_json: str
    kind: str
    parts: tuple[str, str, str]


TRACES = Signal(
    "trace",
    "ExportTraceServiceRequest",
    "ExportTraceServiceResponse",
    "rejected_spans",
    "rejectedSpans",
    "otlp_traces",
    ("resource_spans", "scope_spans", "spans"),
)
LOGS = Signal(
    "logs",
    "ExportLogsServiceRequest",
    "ExportLogsServiceResponse",
    "rejected_log_records",
    "rejectedLogRecords",
    "otlp_logs",
    ("resource_logs", "scope_logs", "log_records"),
)
METRICS = Signal(
    "metrics",
    "ExportMetricsServiceRequest",
    "ExportMetricsServiceResponse",
    "rejected_data_points",
    "rejectedDataPoints",
    "otlp_metrics",
    ("resource_metrics", "scope_metrics", "metrics"),
)
SIGNALS: Mapping[str, Signal] = {signal.kind: signal for signal in (TRACES, LOGS, METRICS)}


@dataclass(frozen=True, slots=True)
class Point:
    """One number of one metric, with its unit as the sender names it."""

    metric: str
    unit: str
    at_ns: int
    value: float
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Group:
    """What one resource sent."""

    resource: Mapping[str, object]
    spans: Sequence[Span] = ()
    records: Sequence[Moment] = ()
    points: Sequence[Point] = ()
    other: Sequence[str] = ()
    """The metrics that have no plain numbers (histograms, summaries): a name for each of their points."""
