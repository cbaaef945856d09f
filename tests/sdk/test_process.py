"""Forks, exits and imports, each in a process of its own."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

import watchkeeper_sdk

SOURCES = sorted(Path(watchkeeper_sdk.__file__).parent.glob("*.py"))
posix = pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="needs os.fork")


def _by_client(sink) -> dict[str, list[dict]]:
    clients: dict[str, list[dict]] = {}
    for taken in sink.accepted():
        clients.setdefault(taken.headers["Watchkeeper-Client"].partition(";")[0], []).extend(taken.rows)
    return clients


def test_what_is_logged_before_the_end_still_arrives(sink, python):
    out = python(
        """
import watchkeeper_sdk as wk
wk.init(flush_interval=60)
print(*[wk.log_prediction(prediction=n) for n in range(1200)])
"""
    )
    assert [row["id"] for row in sink.rows()] == out.split()


@pytest.mark.parametrize(
    "after", ["raise SystemExit(0)", "import threading; threading.Thread(target=wk.log_prediction).start()"]
)
def test_other_ways_to_end(sink, python, after):
    python(f"import watchkeeper_sdk as wk\nwk.init()\nwk.log_prediction()\n{after}\n")
    assert len(sink.rows()) == 1 + ("Thread" in after)


def test_the_end_does_not_wait_for_a_server_that_hangs(sink, python):
    sink.hold.clear()
    out = python(
        """
import logging, sys
import watchkeeper_sdk as wk
logging.basicConfig(stream=sys.stdout, format="%(message)s")
wk.init(exit_timeout=0.05, spool_dir="")
wk.log_prediction()
"""
    )
    assert "1 events could not be sent" in out
    sink.hold.set()


@posix
def test_a_forked_child_sends_its_own_and_the_parent_its_own(sink, python):
    out = python(
        """
import json, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside a thread is what is tested here
import watchkeeper_sdk as wk
wk.init(flush_interval=60)
parent = [wk.log_prediction() for _ in range(100)]
pid = os.fork()
if pid == 0:
    assert wk.stats().logged == 0
    child = [wk.log_prediction() for _ in range(7)]
    wk.log_outcome(parent[0], True)
    assert wk.flush(10)
    assert wk.stats().accepted == 8
    os.write(1, json.dumps(child).encode() + b"\\n")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert wk.flush(10)
assert wk.stats().accepted == 100
print(json.dumps(parent))
"""
    )
    child, parent = [json.loads(line) for line in out.splitlines()]
    first, second = sorted(_by_client(sink).values(), key=len)
    assert [row.get("id", row.get("prediction_id")) for row in first] == [*child, parent[0]]
    assert "prediction_ts" in first[-1]
    assert [row["id"] for row in second] == parent
    assert len(set(child + parent)) == 107


@posix
def test_a_child_that_ends_by_itself_flushes_too(sink, python):
    python(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import watchkeeper_sdk as wk
wk.init(flush_interval=60)
wk.log_prediction(id="parent")
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
else:
    wk.log_prediction(id="child")
"""
    )
    assert sink.ids() == {"parent": 1, "child": 1}


@posix
def test_a_worker_of_multiprocessing_flushes_too(sink, python):
    python(
        """
import multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import watchkeeper_sdk as wk
wk.init(flush_interval=60)
wk.log_prediction(id="parent")
process = multiprocessing.get_context("fork").Process(target=wk.log_prediction, kwargs={"id": "worker"})
process.start()
process.join()
assert process.exitcode == 0
"""
    )
    assert sink.ids() == {"parent": 1, "worker": 1}


@posix
def test_a_fork_while_other_threads_log_leaves_no_lock_behind(sink, python):
    python(
        """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import watchkeeper_sdk as wk
wk.init(flush_interval=0.001)
stop = threading.Event()
def busy():
    while not stop.is_set():
        wk.log_prediction()
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for n in range(10):
    pid = os.fork()
    if pid == 0:
        wk.log_prediction(id=f"child-{n}")
        os._exit(0 if wk.flush(20) else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
"""
    )
    assert {f"child-{n}" for n in range(10)} <= sink.ids().keys()
    assert set(sink.ids().values()) == {1}


@posix
def test_a_fork_whose_hooks_do_not_run_is_noticed_by_the_next_call(sink, python):
    out = python(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
os.register_at_fork = lambda **hooks: None  # as of a host that forks without telling
import watchkeeper_sdk as wk
wk.init(flush_interval=60)
parent = wk.log_prediction()
pid = os.fork()
if pid == 0:
    child = wk.log_prediction()
    assert child.partition(".")[0] != parent.partition(".")[0]
    assert wk.stats().logged == 1
    assert wk.flush(10)
    os.write(1, child.encode() + b" ")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(parent)
"""
    )
    assert sink.ids() == dict.fromkeys(out.split(), 1)
    assert len(_by_client(sink)) == 2


@posix
def test_a_signal_handler_may_log_at_any_moment(sink, python):
    python(
        """
import signal, time
import watchkeeper_sdk as wk
wk.init(max_queue_events=100_000)
signals = 0
def handler(*_):
    global signals
    signals += 1
    wk.log_prediction()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for _ in range(5000):
    wk.log_prediction()
signal.setitimer(signal.ITIMER_REAL, 0)
assert signals > 3
assert wk.flush(20)
assert wk.stats().accepted == 5000 + signals, wk.stats()
"""
    )


def test_nothing_but_the_standard_library_is_imported_and_nothing_late(sink, python):
    out = python(
        """
import sys
before = set(sys.modules)
import watchkeeper_sdk as wk
print(*sorted(set(sys.modules) - before))
wk.init()
print(*sorted(set(sys.modules) - before))
wk.log_prediction(score=float("nan"), features={"a": object(), "b": 1}, typo=1)
wk.log_outcome("x", 1)
assert wk.flush(10)
print(*sorted(set(sys.modules) - before))
""",
        flags=("-S",),
        quiet=False,
    )
    at_import, at_init, at_work = [set(line.split()) for line in out.splitlines()]
    assert {name.partition(".")[0] for name in at_work} - sys.stdlib_module_names == {"watchkeeper_sdk"}
    slow = {"ssl", "http.client", "email", "json", "random", "urllib.parse"}
    assert slow <= at_init
    assert at_import & {*slow, "asyncio", "pathlib", "watchkeeper_sdk._sender"} == set()
    assert "asyncio" not in at_work
    # An import in the sender's thread during a fork would lock that module in the child.
    assert at_work == at_init
    assert len(sink.rows()) == 1


def test_the_source_is_python_3_10():
    for path in SOURCES:
        tree = ast.parse(path.read_text(), feature_version=(3, 10))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & {"UTC", "StrEnum", "ExceptionGroup", "TaskGroup", "timeout", "tomllib"}, path


def test_the_sdk_stays_small():
    assert sum(len(path.read_text().splitlines()) for path in SOURCES) < 3400


def test_the_version_is_the_one_of_the_distribution():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(watchkeeper_sdk.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert (project["version"], project["dependencies"]) == (watchkeeper_sdk.__version__, [])


def test_everything_public_has_a_docstring_and_is_named():
    for name in watchkeeper_sdk.__all__:
        assert getattr(watchkeeper_sdk, name).__doc__, name
