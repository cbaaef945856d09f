"""The server's own Prometheus metrics, read from the stores at each scrape: nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from watchkeeper.app.slos import Slos
from watchkeeper.app.status import StatusReader
from watchkeeper.collector.pollers.gpu import TargetState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """What waits and what was decided, from the control data."""

    incidents: dict[tuple[str, str], int]
    outbox: dict[str, int]
    attempts: dict[tuple[str, str, str], int] = field(default_factory=dict[tuple[str, str, str], int])
    oldest_seconds: float = 0.0
    silences: int = 0
    posted: dict[str, int] = field(default_factory=dict[str, int])
    """Alerts of other systems that are not in an incident yet, by how far they are."""


@dataclass(frozen=True, slots=True, eq=False)
class ServerCollector:
    """One custom collector: a handful of queries a scrape."""

    status: StatusReader
    alerts: Callable[[], AlertCounts]
    targets: Sequence[TargetState]
    slos: Callable[[], Slos]

    def collect(self) -> Iterator[Metric]:
        """Give every metric family."""
        status = self.status.read()
        events = CounterMetricFamily("watchkeeper_events", "Events by what became of them", labels=["fate"])
        for fate, count in (
            ("accepted", status.accepted),
            ("loaded", status.loaded),
            ("rejected", status.rejected),
            ("too_late", status.too_late),
            ("duplicate", status.duplicates),
            ("dropped_by_client", status.dropped_by_clients),
        ):
            events.add_metric([fate], count)
        yield events
        ignored = CounterMetricFamily(
            "watchkeeper_ignored_rows",
            "Sound rows that are nothing to keep here, by what they are",
            labels=["kind", "what"],
        )
        for (kind, what), count in self.status.ignored().items():
            ignored.add_metric([kind, what], count)
        yield ignored
        halves = CounterMetricFamily(
            "watchkeeper_halves", "Requests and responses that came apart, by what became of them", labels=["fate"]
        )
        for fate, count in status.halves.items():
            halves.add_metric([fate], count)
        yield halves
        yield GaugeMetricFamily(
            "watchkeeper_halves_waiting", "Requests and responses that wait for each other", value=status.waiting_halves
        )
        yield GaugeMetricFamily("watchkeeper_inbox_events", "Events kept but not loaded yet", value=status.waiting)
        yield GaugeMetricFamily(
            "watchkeeper_loader_lag_seconds", "Age of the oldest event that is not loaded", value=status.lag_seconds
        )
        yield GaugeMetricFamily(
            "watchkeeper_outcomes_pending", "Outcomes without a prediction", value=status.pending_outcomes
        )
        file = GaugeMetricFamily("watchkeeper_facts_file_bytes", "Size of facts.duckdb, by use", labels=["use"])
        file.add_metric(["data"], status.facts_file.bytes - status.facts_file.free_bytes)
        file.add_metric(["free"], status.facts_file.free_bytes)
        yield file
        if status.evaluated_to is not None:
            yield GaugeMetricFamily(
                "watchkeeper_evaluation_last_success_timestamp_seconds",
                "Time up to which every analyzer has looked",
                value=status.evaluated_to.timestamp(),
            )
        last = GaugeMetricFamily(
            "watchkeeper_telemetry_last_event_timestamp_seconds", "Newest event of a service", labels=["service"]
        )
        for service, state in status.services.items():
            if state.last_ts is not None:
                last.add_metric([service], state.last_ts.timestamp())
        yield last
        yield from self._telemetry()
        yield from self._alerts()
        yield from self._slos()
        yield from self._gpus()

    def _telemetry(self) -> Iterator[Metric]:
        """What clients say of themselves, by service: site and version would be too many series."""
        groups = self.status.inbox.clients()
        events = CounterMetricFamily(
            "watchkeeper_telemetry_events", "Events of clients that keep a book", labels=["service", "fate"]
        )
        open_events = GaugeMetricFamily(
            "watchkeeper_telemetry_open_events", "Events logged that are not here", labels=["service", "state"]
        )
        for service in sorted({group.service for group in groups}):
            own = [group for group in groups if group.service == service]
            for fate in ("logged", "accepted", "rejected", "dropped"):
                events.add_metric([service, fate], sum(getattr(group, fate) for group in own))
            for state in ("pending", "overdue", "missing"):
                open_events.add_metric([service, state], sum(getattr(group, state) for group in own))
        yield events
        yield open_events

    def _alerts(self) -> Iterator[Metric]:
        counts = self.alerts()
        incidents = GaugeMetricFamily("watchkeeper_alerts", "Incidents now", labels=["state", "severity"])
        for (state, severity), count in counts.incidents.items():
            incidents.add_metric([state, severity], count)
        yield incidents
        outbox = GaugeMetricFamily("watchkeeper_outbox_messages", "Messages by state", labels=["state"])
        for state, count in counts.outbox.items():
            outbox.add_metric([state], count)
        yield outbox
        attempts = CounterMetricFamily(
            "watchkeeper_notifications", "Attempts to deliver, and why", labels=["receiver", "result", "reason"]
        )
        for labels, count in counts.attempts.items():
            attempts.add_metric([*labels], count)
        yield attempts
        yield GaugeMetricFamily(
            "watchkeeper_outbox_oldest_seconds", "Age of the oldest message that waits", value=counts.oldest_seconds
        )
        posted = GaugeMetricFamily(
            "watchkeeper_posted_alerts_waiting",
            "Alerts of other systems not yet taken into incidents",
            labels=["stage"],
        )
        for stage, count in counts.posted.items():
            posted.add_metric([stage], count)
        yield posted
        yield GaugeMetricFamily("watchkeeper_silences", "Silences that hold now", value=counts.silences)

    def _slos(self) -> Iterator[Metric]:
        """How the objectives stand; what is not known has no sample."""
        names = ["service", "slo"]
        target = GaugeMetricFamily("watchkeeper_slo_objective_ratio", "Promised share of good events", labels=names)
        windows = [*names, "window"]
        sli = GaugeMetricFamily("watchkeeper_slo_sli_ratio", "Share of good events", labels=windows)
        burn = GaugeMetricFamily("watchkeeper_slo_burn_rate", "Burn rate; 1 is on budget", labels=windows)
        left = GaugeMetricFamily(
            "watchkeeper_slo_error_budget_remaining_ratio", "Share of the error budget that is left", labels=names
        )
        state = GaugeMetricFamily("watchkeeper_slo_state", "1 for the state it is in", labels=[*names, "state"])
        for slo in self.slos().slos:
            key = [slo.service, slo.name]
            target.add_metric(key, slo.target)
            state.add_metric([*key, slo.state], 1)
            if slo.sli is not None and slo.budget_left is not None:
                sli.add_metric([*key, "period"], slo.sli)
                left.add_metric(key, slo.budget_left)
            for one in slo.burn:
                if one.n:
                    burn.add_metric([*key, one.window], one.burn)
                    sli.add_metric([*key, one.window], 1 - one.burn * (1 - slo.target))
        yield from (target, sli, burn, left, state)

    def _gpus(self) -> Iterator[Metric]:
        scrapes = CounterMetricFamily("watchkeeper_gpu_scrapes", "Scrapes of GPU endpoints", labels=["url", "result"])
        for target in self.targets:
            scrapes.add_metric([target.url, "ok"], target.scrapes)
            scrapes.add_metric([target.url, "failed"], target.failures)
        yield scrapes


def text(collector: ServerCollector) -> bytes:
    """Render all metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
