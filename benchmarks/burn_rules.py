"""What does a round of a thousand burn-rate rules cost, ours and Prometheus's, on the same machine one after the other?

A hundred services with one objective each on 99.9 %, three days of traffic by the minute. Prometheus: Debian's package,
the rules as Sloth writes them (seven windows, the period, two alerts an objective: a thousand rules), every 30 s; the
data are backfilled with promtool and end as it starts; CPU is of the whole process less what it took without rules.
Ours: the analyzer ``slo.burn_rate`` on the same counts in rollups, thirty days of hours beside the minutes: four pairs
of windows and the whole period an objective, once a minute; every fifteenth round also keeps its readings. The work is
not quite the same: ours reads exact sums of minutes and hours, Prometheus extrapolates counters and stores results.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.slo import burn_rate
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.objectives import Objective, Sli
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.reader import FactReader

QUESTION = "What does a round of a thousand burn-rate rules cost, against Prometheus in the same run?"
SERVICES, DAYS, PER_MINUTE, BAD = 100, 3, 20, 0.0004
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
INTERVAL, WARM, MEASURED, IDLE = 30, 45, 90, 20
ROUNDS = 16


def measure(_options: argparse.Namespace) -> dict:
    rng = np.random.default_rng(8)
    minutes = DAYS * 1440
    total = rng.poisson(PER_MINUTE, (SERVICES, minutes))
    bad = rng.binomial(total, BAD)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    ours = _ours(bad, total, end)
    theirs = _prometheus(bad, total)
    return {
        "rules": SERVICES * (len(WINDOWS) + 3),
        "ours": ours,
        "prometheus": theirs,
        "ratio_cpu": ours["cpu_seconds_a_round"] / theirs["cpu_seconds_a_round"],
        "ratio_wall": ours["wall_seconds_a_round"] / theirs["wall_seconds_a_round"],
    }


def goals(figures: dict) -> dict[str, bool]:
    return {
        f"CPU of a round at most half of Prometheus's (is {figures['ratio_cpu']:.2f})": figures["ratio_cpu"] <= 0.5,
        f"wall time of a round at most half (is {figures['ratio_wall']:.2f})": figures["ratio_wall"] <= 0.5,
    }


def _ours(bad: np.ndarray, total: np.ndarray, end: datetime) -> dict:
    facts = FactStore()
    last = end.replace(tzinfo=None)
    with facts.transaction() as connection:
        for table, step, length in (("minute", timedelta(minutes=1), 2 * 1440), ("hour", timedelta(hours=1), 720)):
            frame = _rollup(bad, total, last, step, length)
            connection.register("made", frame.to_arrow())
            connection.execute(f"INSERT INTO traffic_{table} BY NAME SELECT * FROM made")
            connection.unregister("made")
    declared = Declarations(
        objectives=tuple(
            Objective(name=f"slo{n}", service=f"s{n}", sli=Sli(measure="errors"), target=0.999, days=30)
            for n in range(SERVICES)
        )
    )
    reader = FactReader(facts)
    cpu, wall = [], []
    for number in range(ROUNDS):
        at = end - timedelta(minutes=number)
        began, spent = time.perf_counter(), time.process_time()
        window = Window(at - burn_rate.ANALYZER.span, at)
        evaluation = burn_rate.ANALYZER.evaluate(remembering(reader), declared, window, at)
        cpu.append(time.process_time() - spent)
        wall.append(time.perf_counter() - began)
        if len(evaluation.judged) != SERVICES:
            raise AssertionError("not every objective was judged")
    facts.close()
    return {"rounds": ROUNDS, "cpu_seconds_a_round": median(cpu[1:]), "wall_seconds_a_round": median(wall[1:])}


def _rollup(bad: np.ndarray, total: np.ndarray, last: datetime, step: timedelta, length: int) -> pl.DataFrame:
    if step == timedelta(hours=1):
        last = last.replace(minute=0)
        bad, total = (np.tile(one.reshape(SERVICES, -1, 60).sum(axis=2), 10) for one in (bad, total))
    bad, total = bad[:, -length:], total[:, -length:]
    times = [last - step * (length - place) for place in range(length)]
    zero = [
        "late", "due", "checked", "check_failures", "blocked", "deferred", "weighed", "attempts", "retried",
        "fallbacks",
        "latency_n", "tokens_input", "tokens_cache_read", "tokens_cache_write", "tokens_output", "tokens_reasoning",
        "cost_n",
    ]  # fmt: skip
    return pl.DataFrame(
        {
            "bucket": times * SERVICES,
            "service": np.repeat([f"s{n}" for n in range(SERVICES)], length),
            "requests": total.ravel(),
            "errors": bad.ravel(),
        }
    ).with_columns(
        pl.lit("m").alias("model"),
        pl.lit("").alias("dim"),
        pl.lit("").alias("value"),
        pl.lit(0.0).alias("latency_sum_ms"),
        pl.lit(0.0).alias("cost"),
        *(pl.lit(0).alias(name) for name in zero),
    )


def _prometheus(bad: np.ndarray, total: np.ndarray) -> dict:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        raise SystemExit("burn_rules needs prometheus and promtool: Debian package prometheus")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _backfill(folder, bad, total)
        (folder / "rules.yml").write_text("groups: []\n")
        (folder / "p.yml").write_text(
            f"global: {{evaluation_interval: {INTERVAL}s}}\nrule_files: [{folder / 'rules.yml'}]\n"
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            "prometheus", f"--config.file={folder / 'p.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle", "--storage.tsdb.retention.time=60d",
            "--log.level=error",
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return _watched(process.pid, f"http://127.0.0.1:{port}", folder)
        finally:
            process.terminate()
            process.wait(30)


def _watched(pid: int, url: str, folder: Path) -> dict:
    deadline = time.monotonic() + 60
    while True:
        try:
            _get(f"{url}/-/ready")
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    time.sleep(10)
    idle = _cpu_over(pid, IDLE) / IDLE
    (folder / "rules.yml").write_text(_rules())
    urllib.request.urlopen(urllib.request.Request(f"{url}/-/reload", method="POST"), timeout=30).read()
    time.sleep(WARM)
    spent = _cpu_over(pid, MEASURED)
    cycles = MEASURED / INTERVAL
    durations = [
        float(line.rsplit(" ", 1)[1])
        for line in _get(f"{url}/metrics").splitlines()
        if line.startswith("prometheus_rule_group_last_duration_seconds{")
    ]
    failed = sum(
        float(line.rsplit(" ", 1)[1])
        for line in _get(f"{url}/metrics").splitlines()
        if line.startswith("prometheus_rule_evaluation_failures_total{")
    )
    version = subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True)
    return {
        "version": (version.stdout or version.stderr).splitlines()[0].split(" (")[0],
        "groups": len(durations),
        "failed_evaluations": failed,
        "idle_cpu_share": idle,
        "cpu_seconds_a_round": spent / cycles - idle * INTERVAL,
        "wall_seconds_a_round": sum(durations),
    }


def _cpu_over(pid: int, seconds: float) -> float:
    begun = _cpu(pid)
    time.sleep(seconds)
    return _cpu(pid) - begun


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def _backfill(folder: Path, bad: np.ndarray, total: np.ndarray) -> None:
    now = int(time.time())
    times = now - 60 * np.arange(bad.shape[1] - 1, -1, -1)
    with (folder / "made.txt").open("w") as file:
        for metric, counts in (("bad_requests", bad), ("requests", total)):
            file.write(f"# TYPE {metric} counter\n")
            for number in range(SERVICES):
                series = f'{metric}_total{{service="s{number}"}} '
                sums = np.cumsum(counts[number])
                file.writelines(f"{series}{value} {at}\n" for value, at in zip(sums, times, strict=True))
        file.write("# EOF\n")
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(folder / "made.txt"), str(folder / "data")]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)


def _rules() -> str:
    groups = []
    for number in range(SERVICES):
        match = f'service="s{number}"'
        record = "slo:sli_error:ratio_rate"
        rules = [
            f"  - {{record: '{record}{window}', labels: {{slo: s{number}}}, expr: "
            f"'sum(rate(bad_requests_total{{{match}}}[{window}])) / sum(rate(requests_total{{{match}}}[{window}]))'}}"
            for window in WINDOWS
        ]
        own = f'{{slo="s{number}"}}'
        rules.append(
            f"  - {{record: '{record}30d', labels: {{slo: s{number}}}, expr: 'sum_over_time({record}5m{own}[30d]) / "
            f"ignoring(none) count_over_time({record}5m{own}[30d])'}}"
        )
        for severity, pairs in (
            ("page", (("1h", "5m", 14.4), ("6h", "30m", 6))),
            ("ticket", (("1d", "2h", 3), ("3d", "6h", 1))),
        ):
            says = " or ".join(
                f"({record}{long}{own} > {burn * 0.001} and {record}{short}{own} > {burn * 0.001})"
                for long, short, burn in pairs
            )
            rules.append(f"  - {{alert: 'burn-{severity}-{number}', expr: '{says}'}}")
        groups.append(f"- name: g{number}\n  rules:\n" + "\n".join(rules))
    return "groups:\n" + "\n".join(groups) + "\n"
