"""What the call returned for arrives: through outages, SIGKILL, forks and exits, from files on disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from watchkeeper_sdk import Client, _adopt, _folder, _sender

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs flock")
TOLD = re.compile(r"(?P<client>\w+); logged=(?P<logged>\d+); dropped=(?P<dropped>\d+); pending=(?P<pending>\d+)")


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def script(sink, tmp_path, spool):
    """Start a script in a process of its own, and give it when it has said a line."""
    started = []

    def start(text: str, url: str | None = None) -> subprocess.Popen[str]:
        known = {"WATCHKEEPER_URL": sink.url if url is None else url, "WATCHKEEPER_SERVICE": "checkout"}
        known["WATCHKEEPER_SPOOL_DIR"] = str(spool)
        process = subprocess.Popen(
            [sys.executable, "-c", "import watchkeeper_sdk as wk\n" + textwrap.dedent(text)],
            env={**os.environ, **known},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def told(taken) -> dict[str, int | str]:
    found = TOLD.match(taken.headers["Watchkeeper-Client"])
    assert found
    return {name: text if name == "client" else int(text) for name, text in found.groupdict().items()}


def missing(sink) -> dict[str, int]:
    """What the server finds to be missing for each client: its last word, less what arrived, dropped or waits."""
    arrived: Counter[str] = Counter()
    last = {}
    for taken in sink.accepted():
        said = told(taken)
        if taken.repeated:
            continue
        last[said["client"]] = said["logged"] - said["dropped"] - said["pending"] - arrived[said["client"]]
        arrived[said["client"]] += len(taken.rows)
    return last


def files(spool: Path) -> list[Path]:
    return sorted(path for path in spool.rglob("*") if path.is_file())


def size(spool: Path) -> int:
    total = 0
    for path in files(spool):
        with contextlib.suppress(FileNotFoundError):  # sent or dropped meanwhile
            total += path.stat().st_size
    return total


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Wait for the line of ids, then SIGKILL."""
    ids = process.stdout.readline().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    return ids


def test_the_file_is_there_when_the_call_returns_and_goes_with_the_answer(sink, connect, spool):
    client = connect(flush_interval=60)
    event_id = client.log_prediction(features={"a": 1})
    [log] = [path for path in files(spool) if path.suffix == ".log"]
    assert log.name == "0000000000000001.log"
    assert log.parent.name == f"{os.getpid()}-{event_id.partition('.')[0]}"
    mark, _, text = log.read_bytes().partition(b" ")
    assert (mark, json.loads(text)["id"]) == (b"p1", event_id)
    assert {oct(path.stat().st_mode & 0o777) for path in files(spool)} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in (spool, log.parent)} == {"0o700"}
    assert client.stats().spool == "disk"
    assert client.shutdown(5)
    assert files(spool) == []
    assert list(sink.ids()) == [event_id]


def test_sigkill_loses_nothing_that_the_call_returned_for(sink, script, connect, conserved):
    sink.answer(503, times=1000)
    ids = kill(
        script(
            "wk.init(); print(*[wk.log_prediction(prediction=n) for n in range(3000)], flush=True)"
            "\nimport time; time.sleep(60)"
        )
    )
    assert len(ids) == 3000
    sink.answers.clear()
    sink.taken.clear()
    client = connect()
    client.log_prediction(id="next start")
    until(lambda: len(sink.rows()) == 3001)
    assert sink.ids() == Counter([*ids, "next start"])
    dead = [taken for taken in sink.accepted() if told(taken)["client"] == ids[0].partition(".")[0]]
    assert [told(taken)["logged"] for taken in dead] == [3000] * 6
    assert [told(taken)["pending"] for taken in dead] == [3000, 2500, 2000, 1500, 1000, 500]
    assert all("service=checkout" in taken.headers["Watchkeeper-Client"] for taken in dead)
    assert set(missing(sink).values()) == {0}
    assert conserved(client.stats()).accepted == 1


def test_what_was_lost_at_the_call_is_known_after_sigkill(sink, script, connect):
    sink.answer(503, times=1000)
    kill(
        script("""
        import time
        wk.init()
        wk.log_prediction(features=5)
        wk.log_prediction(features={"f": 10**5000})
        wk.log_prediction(features={"f": "x" * 2**20})
        print(wk.log_prediction(), flush=True)
        time.sleep(60)
    """)
    )
    sink.answers.clear()
    client = connect()
    client.log_prediction()
    until(lambda: len(sink.rows()) == 2)
    [dead] = [told(taken) for taken in sink.accepted() if told(taken)["client"] not in client.log_prediction()]
    assert (dead["logged"], dead["dropped"], dead["pending"]) == (4, 3, 1)


def test_an_exit_without_flush_while_the_server_is_away(sink, script, connect, spool):
    process = script(
        "wk.init(exit_timeout=0.05); print(*[wk.log_prediction() for _ in range(20)])", "http://127.0.0.1:9"
    )
    ids = process.communicate(timeout=30)[0].split()
    assert process.returncode == 0
    assert len(ids) == 20
    # It was meant for another address: only a forwarder may bring it elsewhere.
    client = connect()
    client.log_prediction(id="mine")
    assert client.flush(5)
    time.sleep(0.3)
    assert client.shutdown(5)
    assert list(sink.ids()) == ["mine"]
    assert [path.suffix for path in files(spool)] == [".log", "", ""]


def test_an_outage_that_outlasts_the_process(sink, free_port, start_sink, script, connect):
    url = f"http://127.0.0.1:{free_port}"
    first = script("wk.init(exit_timeout=0.05); print(*[wk.log_prediction() for _ in range(700)])", url)
    ids = first.communicate(timeout=30)[0].split()
    client = connect(url)
    more = [client.log_prediction() for _ in range(300)]
    assert not client.flush(0.5)
    assert client.stats().queued == 300
    late = start_sink(free_port)
    assert client.flush(20)
    until(lambda: len(late.rows()) == 1000)
    assert late.ids() == Counter(ids + more)
    assert set(missing(late).values()) == {0}


def test_a_crash_between_the_answer_and_the_note_of_it_sends_the_same_again(sink, script, connect):
    process = script("""
        import os
        from watchkeeper_sdk._backlog import Backlog
        Backlog.finish = lambda *_: os._exit(7)  # the answer is there, and nothing says so on disk
        wk.init(max_batch=10, flush_interval=3600)
        for n in range(10):
            wk.log_prediction(id=str(n))
        import time; time.sleep(60)
    """)
    assert process.wait(30) == 7
    client = connect(max_batch=500)
    client.log_prediction(id="next")
    until(lambda: len(sink.rows()) == 11)
    again = [taken for taken in sink.accepted() if taken.rows[0]["id"] == "0"]
    assert len(again) == 2
    assert again[0].headers["Idempotency-Key"] == again[1].headers["Idempotency-Key"]
    assert again[0].body == again[1].body
    assert told(again[0]) == told(again[1])


def test_workers_that_were_forked_after_init_and_killed(sink, script, connect):
    """As gunicorn --preload does: the master logs, forks, and its workers end in all ways."""
    process = script("""
        import os, signal, sys, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        wk.init(flush_interval=60)
        ids = [wk.log_prediction() for _ in range(5)]
        reader, writer = os.pipe()
        workers = []
        for n in range(3):
            pid = os.fork()
            if pid == 0:
                mine = [wk.log_prediction() for _ in range(100)]
                os.write(writer, (" ".join(mine) + " ").encode())
                if n == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                os._exit(0)
            workers.append(pid)
        for pid in workers:
            os.waitpid(pid, 0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            ids += pipe.read().split()
        print(*ids, flush=True)
        time.sleep(60)
    """)
    ids = kill(process)
    assert len(set(ids)) == 305
    client = connect()
    client.log_prediction(id="next start")
    until(lambda: len(sink.rows()) == 306)
    assert sink.ids() == Counter([*ids, "next start"])
    assert len(missing(sink)) == 5
    assert set(missing(sink).values()) == {0}


def test_a_living_sibling_takes_over_within_seconds(sink, script, connect, monkeypatch):
    monkeypatch.setattr(_sender, "_LOOK_EVERY", 0.05)
    client = connect()
    client.log_prediction()
    assert client.flush(5)
    process = script("""
        import time
        wk.init(flush_interval=3600)
        print(*[wk.log_prediction() for _ in range(5)], flush=True)
        time.sleep(60)
    """)
    line = process.stdout.readline()
    time.sleep(0.3)
    assert len(sink.rows()) == 1  # its owner lives
    process.kill()
    until(lambda: len(sink.rows()) == 6)
    assert set(line.split()) < set(sink.ids())


def test_two_processes_share_a_spool(sink, script, spool):
    text = "import time\nwk.init(flush_interval=0.01)\nfor n in range(400): wk.log_prediction(); time.sleep(0.0005)"
    both = [script(text), script(text)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(sink.rows()) == 800
    assert set(sink.ids().values()) == {1}
    assert files(spool) == []
    assert list(missing(sink).values()) == [0, 0]


def test_beyond_the_bound_the_oldest_are_dropped_and_counted(sink, connect, conserved, spool):
    sink.answer(503, times=10_000)
    client = connect(max_spool_bytes=40_000, max_batch=20)
    ids = [client.log_prediction(features={"text": "x" * 100}) for _ in range(1000)]
    until(lambda: size(spool) <= 50_000)
    sink.answers.clear()
    assert client.flush(30)
    stats = conserved(client.stats())
    lost = stats.dropped["spool_full"]
    assert 700 < lost < 990
    assert [row["id"] for row in sink.rows()] == ids[lost:]
    assert told(sink.accepted()[-1])["dropped"] == lost
    assert set(missing(sink).values()) == {0}


def test_what_is_too_old_is_dropped_also_of_the_dead(sink, script, connect, spool, caplog):
    sink.answer(503, times=1000)
    ids = kill(
        script("wk.init(); print(*[wk.log_prediction() for _ in range(7)], flush=True)\nimport time; time.sleep(60)")
    )
    [log] = [path for path in files(spool) if path.suffix == ".log"]
    os.utime(log, (1.0, 1.0))
    sink.answers.clear()
    client = connect(max_spool_age=3600.0)
    client.log_prediction(id="young")
    assert client.flush(5)
    until(lambda: not log.exists())
    assert len(ids) == 7
    assert list(sink.ids()) == ["young"]
    assert "spool is full" in caplog.text


def test_who_asks_for_memory_is_not_warned_of_it(sink, connect, caplog):
    client = connect(spool_dir="")
    ids = [client.log_prediction()]
    assert client.flush(5)
    assert sink.ids() == Counter(ids)
    assert client.stats().spool == "memory"
    assert not caplog.records


def test_a_folder_that_cannot_be_written_means_memory(sink, connect, tmp_path, caplog, conserved):
    (tmp_path / "file").write_text("not a folder")
    client = connect(spool_dir=str(tmp_path / "file" / "spool"))
    ids = [client.log_prediction() for _ in range(5)]
    assert client.stats().spool == "memory"
    assert client.flush(5)
    assert sink.ids() == Counter(ids)
    assert sink.taken[0].headers["Watchkeeper-Client"].endswith("spool=memory")
    assert conserved(client.stats()).accepted == 5
    assert "they wait in memory" in caplog.text


def test_a_disk_that_is_full_means_memory_until_it_is_not(sink, script):
    process = script("""
        import resource, signal
        from watchkeeper_sdk import _spool
        _spool._DISK_AGAIN = 0.0
        wk.init(flush_interval=60)
        before = [wk.log_prediction() for _ in range(10)]
        size, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1100, most))  # no file may grow beyond: the next line is cut short
        full = [wk.log_prediction() for _ in range(10)]
        assert wk.stats().spool == "memory", wk.stats()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
        after = [wk.log_prediction() for _ in range(10)]
        assert wk.flush(20)
        assert wk.stats().accepted == 30 and not wk.stats().dropped, wk.stats()
        assert wk.stats().spool == "disk", wk.stats()
        print(*before, *full, *after)
    """)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert sink.ids() == Counter(out.split())
    assert list(missing(sink).values()) == [0]


def test_files_that_somebody_took_away_are_counted(sink, connect, spool, conserved, monkeypatch):
    monkeypatch.setattr(_sender, "_LOOK_EVERY", 0.05)
    sink.hold.clear()
    client = connect(flush_interval=60)
    for _ in range(5):
        client.log_prediction()
    for path in files(spool):
        if path.suffix == ".log":
            path.unlink()
    sink.hold.set()
    assert client.flush(5)
    assert conserved(client.stats()).dropped == {"spool_gone": 5}
    until(lambda: client._pipe._spool._writer.growing == 0)
    event_id = client.log_prediction()
    assert client.flush(5)
    assert list(sink.ids()) == [event_id]


def test_the_usual_folder_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert _folder.usable(None) == tmp_path / "state" / "watchkeeper" / "spool"
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(_folder.tempfile, "tempdir", None)
    temporary = tmp_path / f"watchkeeper-spool-{os.getuid()}"
    assert _folder.usable(None) == temporary
    temporary.chmod(0o777)  # others may have put something there
    assert _folder.usable(None) is None


def test_without_a_url_a_named_folder_keeps_the_events(spool):
    client = Client("", "edge", spool_dir=str(spool), exit_timeout=60.0)
    for _ in range(5):
        client.log_prediction()
    assert client.stats().queued == 5
    assert not client.flush(0)
    assert client.shutdown()
    [log] = [path for path in files(spool) if path.suffix == ".log"]
    assert log.read_bytes().count(b"\n") == 5


def test_without_a_thread_events_stay_on_disk(sink, connect, spool, monkeypatch, conserved):
    def none_left(_: object) -> None:
        raise RuntimeError("can't start new thread")

    client = connect()
    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", none_left)
        first = client.log_prediction()
        assert (conserved(client.stats()).queued, client.stats().dropped) == (1, {})
    second = client.log_prediction()
    assert client.flush(5)
    assert [row["id"] for row in sink.rows()] == [first, second]


@pytest.mark.parametrize("spool_dir", ["", None], ids=["memory", "disk"])
def test_the_thread_sleeps_while_there_is_nothing_to_do(sink, connect, monkeypatch, spool_dir):
    looked = []
    real = _sender.Sender._look_around
    monkeypatch.setattr(_sender.Sender, "_look_around", lambda self: looked.append(1) or real(self))
    client = connect(spool_dir=spool_dir)
    client.log_prediction()
    assert client.flush(5)
    time.sleep(0.2)
    looked.clear()
    time.sleep(0.5)
    assert len(looked) < 5


def test_a_child_that_outlives_its_killed_parent_sends_what_the_parent_left(sink, script):
    process = script("""
        import os, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from watchkeeper_sdk import _sender
        _sender._LOOK_EVERY = 0.05
        wk.init(flush_interval=3600)
        ids = [wk.log_prediction() for _ in range(5)]
        if os.fork() == 0:
            ids.append(wk.log_prediction())
            print(*ids, flush=True)
            wk.flush(30)
            time.sleep(10)
            os._exit(0)
        time.sleep(60)
    """)
    ids = kill(process)
    until(lambda: len(sink.rows()) == 6)
    assert sink.ids() == Counter(ids)
    assert list(missing(sink).values()) == [0, 0]


def test_a_loss_is_told_even_if_nothing_else_is_ever_sent(sink, python):
    python("import watchkeeper_sdk as wk\nwk.init()\nwk.log_prediction(features=5)\n", quiet=False)
    [taken] = sink.accepted()
    assert taken.rows == []
    assert (told(taken)["logged"], told(taken)["dropped"], told(taken)["pending"]) == (1, 1, 0)


def test_more_dead_processes_than_are_taken_over_at_once(sink, connect, monkeypatch, spool):
    monkeypatch.setattr(_adopt, "_MOST_HELD", 4)
    ids = []
    for number in range(12):
        folder = spool / "checkout" / f"7-dead{number}"
        folder.mkdir(parents=True)
        (folder / "owner").write_text(json.dumps({"client": f"dead{number}", "url": sink.url}))
        _folder.segment(folder, 1).write_bytes(b'p1 {"id":"e%d"}\n' % number)
        ids.append(f"e{number}")
    client = connect()
    ids.append(client.log_prediction())
    until(lambda: len(sink.rows()) == 13)
    assert sink.ids() == Counter(ids)
    until(lambda: len(list((spool / "checkout").iterdir())) == 1)
