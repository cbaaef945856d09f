"""Reads Prometheus text endpoints of GPU metrics on an interval, and keeps the samples like any event."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import msgspec

from watchkeeper.collector.decoders.gpu_samples import KIND as GPU_SAMPLES
from watchkeeper.collector.inbox import Inbox, Incoming
from watchkeeper.collector.pollers import gpu_metrics, prometheus_text
from watchkeeper.schemas.errors import TooLarge, WatchkeeperError
from watchkeeper.store.clock import Clock, wall

log = logging.getLogger("watchkeeper.gpu")
_MAX_BYTES = 16 * 2**20


@dataclass(slots=True)
class TargetState:
    """How reading one endpoint goes."""

    url: str
    scrapes: int = 0
    failures: int = 0
    samples: int = 0
    unreadable_lines: int = 0
    last_error: str = ""


class GpuPoller:
    """One thread that scrapes every target in turn."""

    def __init__(self, inbox: Inbox, targets: Sequence[str], interval: float, clock: Clock = wall) -> None:
        self._inbox = inbox
        self._interval = interval
        self._clock = clock
        self.targets = [TargetState(url) for url in targets]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-poller", daemon=True)

    def start(self) -> None:
        """Start reading, if there is anything to read."""
        if self.targets:
            self._thread.start()

    def stop(self) -> None:
        """Stop after the scrape at hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=10.0, trust_env=False) as client:
            while not self._stopping.is_set():
                for target in self.targets:
                    self.scrape(client, target)
                self._stopping.wait(self._interval)

    def scrape(self, client: httpx.Client, target: TargetState) -> None:
        """Read one target once; a failure is counted and said once, and the others go on."""
        try:
            scrape = prometheus_text.parse(_text(client, target.url))
            samples = gpu_metrics.gpu_samples(scrape.samples, self._clock())
            if samples:
                self._keep(samples)
        except (httpx.HTTPError, httpx.InvalidURL, WatchkeeperError) as error:
            target.failures += 1
            if target.last_error != str(error):
                log.warning("cannot read GPU metrics from %s: %s", target.url, error)
            target.last_error = str(error)
            return
        target.scrapes += 1
        target.samples += len(samples)
        target.unreadable_lines += scrape.unreadable
        target.last_error = ""

    def _keep(self, samples: Sequence[gpu_metrics.GpuSample]) -> None:
        body = b"\n".join(map(msgspec.json.encode, samples))
        received_us = int(wall().timestamp() * 1e6)
        self._inbox.append(Incoming(GPU_SAMPLES, "ndjson", received_us, body, len(samples), (), b"")).result()


def _text(client: httpx.Client, url: str) -> str:
    chunks: list[bytes] = []
    size = 0
    with client.stream("GET", url) as response:
        response.raise_for_status()
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > _MAX_BYTES:
                raise TooLarge(f"the answer is over {_MAX_BYTES} bytes: this is no GPU exporter")
            chunks.append(chunk)
    return b"".join(chunks).decode("utf-8", "replace")
