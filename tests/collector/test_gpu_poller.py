"""The poller reads every target it can, says once what it cannot, and never stops."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import msgspec
import pytest
from collector.sent import TS, incoming, kept, opened

from watchkeeper.collector.decoders.gpu_samples import KIND as GPU_SAMPLES
from watchkeeper.collector.inbox import Inbox
from watchkeeper.collector.pollers import gpu as poller_module
from watchkeeper.collector.pollers.gpu import GpuPoller, TargetState
from watchkeeper.schemas.events import GpuSample

SCRAPES = Path(__file__).parent / "scrapes"
NOW = datetime.fromtimestamp(TS, UTC)


class Exporter(BaseHTTPRequestHandler):
    """Answers with the file of the path's name; ``/broken`` is a 500, ``/big`` never ends by itself."""

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self.send_response(500 if name == "broken" else 200)
        self.end_headers()
        if name == "big":
            self.wfile.write(b"a 1\n" * 50_000)
        elif name == "page":
            self.wfile.write(b"<html>\nnot metrics\xff</html>")
        elif name != "broken":
            self.wfile.write((SCRAPES / name).read_bytes())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def exporter() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    opened_inbox = opened(tmp_path)
    yield opened_inbox
    opened_inbox.close()


def scraped(inbox: Inbox, url: str) -> TargetState:
    poller = GpuPoller(inbox, [url], 1.0, lambda: NOW)
    with httpx.Client(trust_env=False) as client:
        poller.scrape(client, poller.targets[0])
    return poller.targets[0]


def test_a_scrape_is_kept_like_any_event(inbox: Inbox, exporter: str) -> None:
    target = scraped(inbox, f"{exporter}/dcgm_mig.prom")
    assert (target.scrapes, target.failures, target.samples, target.last_error) == (1, 0, 3, "")
    [batch] = inbox.after(0, 10)
    assert (batch.kind, batch.rows, batch.rejected) == (GPU_SAMPLES, 3, [])
    samples = msgspec.json.Decoder(GpuSample).decode_lines(batch.body)
    assert {(sample.uuid, sample.mig, sample.ts) for sample in samples} == {
        ("GPU-bbbb", mig, float(TS)) for mig in ("1", "2", None)
    }


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/broken", "500 Internal Server Error"),
        ("/big", "over 100000 bytes"),
        (None, "refused"),
        ("http://127.0.0.1:abc/", "Invalid port"),
        ("no-url", "protocol"),
    ],
)
def test_what_cannot_be_read_is_counted_and_said_once(
    inbox: Inbox,
    exporter: str,
    path: str | None,
    said: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(poller_module, "_MAX_BYTES", 100_000)
    url = exporter + path if path and path.startswith("/") else path or "http://127.0.0.1:1/metrics"
    poller = GpuPoller(inbox, [url, f"{exporter}/nvidia_smi.prom"], 1.0, lambda: NOW)
    with httpx.Client(trust_env=False) as client:
        for _ in range(3):
            for target in poller.targets:
                poller.scrape(client, target)
    bad, good = poller.targets
    assert (bad.scrapes, bad.failures, bad.samples) == (0, 3, 0)
    assert said in bad.last_error
    assert caplog.text.count("cannot read GPU metrics from") == 1
    assert (good.scrapes, good.failures, good.samples) == (3, 0, 3)


def test_a_page_that_is_no_metrics_holds_no_samples_and_says_so(inbox: Inbox, exporter: str) -> None:
    target = scraped(inbox, f"{exporter}/page")
    assert (target.scrapes, target.samples, target.unreadable_lines) == (1, 0, 2)
    assert inbox.after(0, 10) == []


def test_an_inbox_that_takes_nothing_is_a_failure_too(tmp_path: Path, exporter: str) -> None:
    inbox = opened(tmp_path, backlog_bytes=1)
    kept(inbox.append(incoming(body=b"22")))
    target = scraped(inbox, f"{exporter}/dcgm_mig.prom")
    assert (target.scrapes, target.failures) == (0, 1)
    assert "wait to be loaded" in target.last_error
    inbox.close()


def test_the_thread_goes_on_after_failures_and_says_when_it_is_well_again(
    inbox: Inbox, exporter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter([httpx.ReadTimeout("slow"), "DCGM_FI_DEV_GPU_UTIL{UUID='G'} 5", 'DCGM_FI_DEV_GPU_UTIL{UUID="G"} 5'])
    done = threading.Event()

    def text(client: httpx.Client, url: str) -> str:
        found = next(texts, None)
        if found is None:
            done.set()
            return ""
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(poller_module, "_text", text)
    poller = GpuPoller(inbox, ["http://any"], 0.01, lambda: NOW)
    poller.start()
    assert done.wait(30)
    poller.stop()
    [target] = poller.targets
    assert (target.failures, target.samples, target.unreadable_lines, target.last_error) == (1, 1, 1, "")
    assert target.scrapes >= 2
    assert json.loads(inbox.after(0, 10)[0].body)["utilization"] == 0.05


def test_without_targets_nothing_runs(inbox: Inbox) -> None:
    poller = GpuPoller(inbox, [], 0.01)
    poller.start()
    poller.stop()
    assert inbox.after(0, 10) == []
