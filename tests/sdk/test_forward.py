"""The forwarder sends what dead and silent processes left, and tells how much."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import watchkeeper_sdk
from watchkeeper_sdk import Client
from watchkeeper_sdk.forward import forward

SDK = Path(watchkeeper_sdk.__file__).parents[1]


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "edge spool"


def leave(spool: Path, count: int, service: str = "edge") -> list[str]:
    """Let a client end with all of its events on disk."""
    client = Client("", service, spool_dir=str(spool), site="ship 7")
    ids = [client.log_prediction(prediction=n) for n in range(count)]
    client.log_outcome(ids[0], 1)
    client.shutdown()
    return ids


def left_over(spool: Path) -> list[str]:
    return [path.name for path in spool.rglob("*") if path.is_file()]


@pytest.fixture
def start(spool):
    """Start a forwarder as its own process."""
    started = []

    def go(url: str, *more: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "watchkeeper_sdk.forward", "--spool", str(spool), "--url", url, *more]
        started.append(
            subprocess.Popen(
                argv,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(SDK)},
            )
        )
        return started[-1]

    yield go
    for process in started:
        process.kill()
        process.communicate()


def test_once_sends_all_and_ends(sink, spool, capsys):
    ids = leave(spool, 700) + leave(spool, 5, "other")
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    assert sink.ids() == Counter(ids)
    assert len(sink.rows("outcomes")) == 2
    assert capsys.readouterr().out == f"707 events sent to {sink.url}; 0 segments left\n"
    assert left_over(spool) == []
    told = sink.taken[0].headers["Watchkeeper-Client"]
    name = ids[0].partition(".")[0]
    assert told.startswith(f"{name}; logged=701; dropped=0; pending=701; service=edge; site=ship%207; version=")
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    assert capsys.readouterr().out.startswith("0 events sent")


def test_it_waits_for_the_network_and_ends_on_sigterm(spool, start, start_sink, free_port):
    ids = leave(spool, 30)
    process = start(f"http://127.0.0.1:{free_port}")
    assert "cannot be reached" in process.stderr.readline()
    late = start_sink(free_port)
    _until(lambda: len(late.rows()) == 30 and not left_over(spool))
    assert late.ids() == Counter(ids)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert re.fullmatch(rf"31 events sent to {late.url}; 0 segments left\n", out)


def test_killed_in_the_middle_it_sends_the_rest_the_next_time(sink, spool, start, capsys):
    ids = leave(spool, 2500)
    sink.answer(503, times=10_000)
    process = start(sink.url)
    assert "503" in process.stderr.readline()
    process.kill()
    process.wait()
    sink.answers.clear()
    keys = {taken.headers["Idempotency-Key"] for taken in sink.taken}
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    assert sink.ids() == Counter(ids)
    assert keys < {taken.headers["Idempotency-Key"] for taken in sink.accepted()}


def test_a_living_process_that_does_not_send_is_read_while_it_writes(sink, spool, start):
    client = Client("", "edge", spool_dir=str(spool))
    ids = [client.log_prediction() for _ in range(10)]
    process = start(sink.url)
    _until(lambda: len(sink.rows()) == 10)
    ids += [client.log_prediction() for _ in range(10)]
    _until(lambda: len(sink.rows()) == 20)
    assert sink.ids() == Counter(ids)
    assert left_over(spool)  # it may write more
    client.shutdown()
    _until(lambda: not left_over(spool))
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0].startswith("20 events sent")


def test_a_living_process_that_sends_is_left_alone(sink, connect, spool, capsys):
    sink.answer(503, retry_after="600")
    client = connect(spool_dir=str(spool))
    event_id = client.log_prediction()
    _until(lambda: sink.taken)
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    assert capsys.readouterr().out == f"0 events sent to {sink.url}; 1 segments left\n"
    assert not client.shutdown(0.1)  # its events stay on disk
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    assert list(sink.ids()) == [event_id]


def test_what_the_server_refuses_is_told(sink, spool, capsys):
    leave(spool, 3)
    sink.answer(400, b"no")
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    said = capsys.readouterr()
    assert said.out == f"1 events sent to {sink.url}, 3 lost (refused); 0 segments left\n"
    assert "400: no" in said.err


def test_beyond_its_bounds_the_oldest_are_dropped(sink, spool, capsys):
    leave(spool, 100)
    assert forward(["--spool", str(spool), "--url", sink.url, "--once", "--max-bytes", "100"]) == 0
    assert "0 events sent" in (said := capsys.readouterr()).out
    assert "101 lost (spool_full)" in said.out
    assert "101 events of edge were dropped" in said.err


def test_bounds_hold_while_the_server_is_away(spool, start, start_sink, free_port):
    leave(spool, 200)
    process = start(f"http://127.0.0.1:{free_port}", "--max-bytes", "1000")
    _until(lambda: not list(spool.rglob("*.log")))
    late = start_sink(free_port)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert out == f"0 events sent to {late.url}, 201 lost (spool_full); 0 segments left\n"


def test_empty_folders_of_the_dead_are_taken_away(sink, spool):
    leave(spool, 1)
    dead, strange = spool / "edge" / "7-dead", spool / "edge" / "8-strange"
    for folder in (dead, strange):
        folder.mkdir()
        (folder / "sent").touch()
    (strange / "note").touch()  # somebody put it there
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    assert not dead.exists()
    assert left_over(spool) == ["note"]


def test_more_folders_than_are_held_at_once(sink, spool, monkeypatch, capsys):
    monkeypatch.setattr(watchkeeper_sdk.forward, "_MOST_HELD", 3)
    ids = [event_id for _ in range(10) for event_id in leave(spool, 2)]
    assert forward(["--spool", str(spool), "--url", sink.url, "--once"]) == 0
    assert sink.ids() == Counter(ids)
    assert capsys.readouterr().out == f"30 events sent to {sink.url}; 0 segments left\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [([], "no spool"), (["--spool", "x"], "no url"), (["--spool", "x", "--url", "ftp://x"], "cannot be used")],
)
def test_what_cannot_be_used_is_said(arguments, reason, capsys, monkeypatch):
    for name in ("WATCHKEEPER_URL", "WATCHKEEPER_SPOOL_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert forward(arguments) == 2
    assert reason in capsys.readouterr().err


def _until(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
