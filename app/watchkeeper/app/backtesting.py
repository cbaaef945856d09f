"""Replays several files at once, a process each, and goes on where a run was killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import connection
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from watchkeeper.schemas.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

TICK_SECONDS = 0.2
PARTIAL = ".partial"
THREADS = ("POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS")
SHOWN_SUBJECTS = 6
Hear = Callable[[str, int, int], object]
"""Hears of a stream how many days are done, of how many."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One file to replay, where its findings go, where it is kept how far it is, and if notices are looked for."""

    file: Path
    out: Path
    keep: Path
    notices: bool = False

    @property
    def name(self) -> str:
        """What it is called: the file without its ending."""
        return self.file.stem


def streams(files: Sequence[Path], out: Path, *, notices: bool = False) -> list[Stream]:
    """Say where everything goes: one file's findings to ``out``, those of several to ``out``/NAME.json."""
    keep = out.with_name(out.name + PARTIAL)
    if len(files) == 1:
        return [Stream(files[0], out, keep / files[0].stem, notices)]
    made = [Stream(file, out / f"{file.stem}.json", keep / file.stem, notices) for file in files]
    names = [stream.name for stream in made]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"several files are called {', '.join(twice)}: each needs a name of its own")
    return made


def run(asked: Sequence[Stream], reference_days: int, jobs: int, hear: Hear) -> dict[str, dict[str, Any]]:
    """Replay them, ``jobs`` at a time; give each stream's report. What is kept is removed when all are done."""
    if min(jobs, len(asked)) == 1:
        for stream in asked:
            replay(stream, reference_days, hear)
    else:
        _in_processes(asked, reference_days, min(jobs, len(asked)), hear)
    for folder in {stream.keep.parent for stream in asked}:
        shutil.rmtree(folder)
    return {stream.name: json.loads(stream.out.read_bytes()) for stream in asked}


def replay(stream: Stream, reference_days: int, hear: Hear) -> None:
    """Replay one and write its findings; one that an earlier run has finished is left as it is."""
    from watchkeeper.analyzers.backtest import backtest  # noqa: PLC0415
    from watchkeeper.analyzers.backtest_kept import recipe  # noqa: PLC0415
    from watchkeeper.app.backtest_told import Told  # noqa: PLC0415

    if not stream.file.is_file():
        raise InputError(f"{stream.file}: no such file")
    done, this = stream.keep.with_suffix(".done"), recipe(stream.file, reference_days, notices=stream.notices)
    if stream.out.is_file() and done.is_file() and done.read_text() == this:
        hear(stream.name, 1, 1)
        return
    people = Told()
    report = backtest(
        stream.file,
        reference_days,
        stream.keep,
        lambda days, of: hear(stream.name, days, of),
        notices=stream.notices,
        listener=people,
    )
    report["told"] = people.lines
    stream.out.parent.mkdir(parents=True, exist_ok=True)
    new = stream.out.with_name(stream.out.name + ".new")
    new.write_text(json.dumps(report, indent=1) + "\n")
    new.replace(stream.out)
    done.write_text(this)
    shutil.rmtree(stream.keep)


def lines(reports: Mapping[str, Mapping[str, Any]], *, notices: bool = False) -> list[str]:
    """Say what people would have been told, and when; with ``notices`` also each finding on its day, told or not."""
    from watchkeeper.analyzers.course import LEAST_DAYS  # noqa: PLC0415

    said: list[str] = []
    for name, report in reports.items():
        first, reference = date.fromisoformat(report["first_day"]), report["reference_days"]
        days = report["days"] - reference
        if days <= 0:
            whole = f"all of its {report['days']} days are in the reference ({reference} days)"
            said.append(f"{name}: {whole}: nothing was judged")
            continue
        told = [one for one in report["told"] if one["kind"] != "resolved"]
        incidents = len({one["incident"] for one in told})
        said.append(
            f"{name}: {_times(incidents, 'incident')}, told {_times(len(told), 'time')} in {days} days "
            f"after the reference, {30 * len(told) / days:.2f} in 30 days"
        )
        if reference < LEAST_DAYS:
            said.append(f"  verdict.change did not look: it needs a reference of at least {LEAST_DAYS} days")
        dated = [(one["day"], 0, _message(one)) for one in report["told"]]
        if notices:
            dated += [(one["day"], 1, f"  found: {one['severity']:<6}  {one['summary']}") for one in report["findings"]]
        dated.sort(key=lambda one: one[:2])
        said += [f"  {first + timedelta(days=day)}  {words}" for day, _, words in dated]
    return said


def _message(told: Mapping[str, Any]) -> str:
    """Write what was told in one line: how loud, what, and where to look first."""
    if told["kind"] == "resolved":
        return f"{'over':<15}  {told['summary']}"
    loud = f"{told['severity']} (update)" if told["kind"] == "updated" else told["severity"]
    more = ", ".join(told["subjects"][:SHOWN_SUBJECTS])
    return f"{loud:<15}  {told['summary'].rstrip('.')}. Look first at: {more}."


def _times(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _in_processes(asked: Sequence[Stream], reference_days: int, jobs: int, hear: Hear) -> None:
    context = multiprocessing.get_context("spawn")  # DuckDB's and Polars' threads do not survive a fork
    queue: Queue[tuple[str, int, int]] = context.Queue()
    with (
        _single_threaded(),
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(queue,)) as pool,
    ):
        left: set[Future[None]] = {pool.submit(_child, stream, reference_days) for stream in asked}
        try:
            while left:
                done, left = wait(left, TICK_SECONDS, FIRST_EXCEPTION)
                _pass_on(queue, hear)
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        _pass_on(queue, hear)


@contextmanager
def _single_threaded() -> Generator[None]:
    """Let each child use one core: as many of them run as there are cores."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _pass_on(queue: Queue[tuple[str, int, int]], hear: Hear) -> None:
    while True:
        try:
            hear(*queue.get_nowait())
        except Empty:
            return


_told: list[Queue[tuple[str, int, int]]] = []
"""In a child: where to say how far it is."""


def _start(queue: Queue[tuple[str, int, int]]) -> None:
    _told.append(queue)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the parent was killed: an orphan would hold the files that the next run goes on with."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _child(stream: Stream, reference_days: int) -> None:
    replay(stream, reference_days, lambda name, done, of: _told[0].put((name, done, of)))
