"""How many bytes does an event take on disk, ours and PostgreSQL's, of the same rows?

Twelve columns and twenty features: ids are random, numbers have the digits that services send. Ours is the whole file
after a checkpoint, rollups and all; PostgreSQL's is one table of the same columns without an index, after a vacuum.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import psycopg

from watchkeeper.store.facts.batch import Batch, ModelRows, Predictions, Wide
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader

QUESTION = "How many bytes does an event take on disk?"
CHUNK = 50_000
"""As many as the server loads at a time."""
START = datetime(2026, 3, 2, tzinfo=UTC)
SPAN = timedelta(days=30)
NUMBERS, CATEGORIES = 16, 4


def measure(options: argparse.Namespace) -> dict:
    rows: int = options.events
    with tempfile.TemporaryDirectory() as name, cluster() as url, psycopg.connect(url, autocommit=True) as peer:
        file = Path(name) / "facts.duckdb"
        facts = FactStore(file)
        loader = Loader(facts, lambda: START + SPAN)
        cpu = 0.0
        for number, first in enumerate(range(0, rows, CHUNK)):
            frame = events(first, min(CHUNK, rows - first), rows)
            began = time.process_time()
            assert loader.load(batch(frame)).loaded == frame.height
            cpu += time.process_time() - began
            copy(peer, frame, create=number == 0)
        facts.checkpoint()
        stored = facts.read("SELECT count(*) FROM predictions").item()
        facts.close()
        peer.execute("VACUUM ANALYZE events")
        peer.execute("CHECKPOINT")
        found = peer.execute("SELECT count(*), pg_total_relation_size('events') FROM events").fetchone()
        assert found is not None
        assert stored == found[0] == rows
        ours = file.stat().st_size / rows
    return {
        "events": rows,
        "bytes_an_event": round(ours, 1),
        "postgresql_bytes_an_event": round(found[1] / rows, 1),
        "share_of_postgresql": round(ours / (found[1] / rows), 3),
        "postgresql": version(),
        "load_cpu_us_an_event": round(cpu / rows * 1e6, 2),
    }


def goals(figures: dict) -> dict[str, bool]:
    ours, share = figures["bytes_an_event"], figures["share_of_postgresql"]
    return {
        f"at most 110 bytes an event ({ours})": ours <= 110,
        f"at most half of PostgreSQL's ({share})": share <= 0.5,
    }


def events(first: int, rows: int, total: int) -> pl.DataFrame:
    dice = np.random.default_rng(first)
    step = SPAN / total
    base = int((START + first * step).timestamp() * 1e6)
    moments = base + np.sort(dice.integers(0, max(1, int(rows * step.total_seconds() * 1e6)), rows))
    own = {
        "id": [f"{number:016x}" for number in dice.integers(0, 2**63, rows)],
        "ts": pl.Series(moments // 1000 * 1000).cast(pl.Datetime("us")),
        "service": ["bench"] * rows,
        "model": ["scorer"] * rows,
        "model_version": np.array(["v1", "v2", "v3"])[dice.integers(0, 3, rows)],
        "prediction": np.array(["yes", "no"])[dice.integers(0, 2, rows)],
        "score": dice.random(rows).round(4),
        "latency_ms": dice.exponential(40, rows).round(2),
        "status": np.array(["ok"] * 99 + ["error"])[dice.integers(0, 100, rows)],
        "tokens_input": dice.integers(0, 2000, rows),
        "tokens_output": dice.integers(0, 500, rows),
        "cost": (dice.random(rows) * 0.01).round(6),
    }
    numbers = {f"x{place}": dice.normal(0, 1, rows).round(4) for place in range(NUMBERS)}
    texts = {f"c{place}": np.array([f"kind{n}" for n in range(10)])[dice.integers(0, 10, rows)] for place in range(4)}
    return pl.DataFrame(own | numbers | texts)


def batch(frame: pl.DataFrame) -> Batch:
    names = features(frame)
    wide = Wide({name: frame[name] for name in names})
    rows = ModelRows("bench", "scorer", np.arange(frame.height), wide, Wide())
    made = frame.drop(names).with_columns(pl.col("ts").alias("received_at"), pl.lit(1).alias("attempts"))
    return Batch(predictions=Predictions(made, [rows], {}))


def features(frame: pl.DataFrame) -> list[str]:
    return frame.columns[-NUMBERS - CATEGORIES :]


def copy(peer: psycopg.Connection, frame: pl.DataFrame, *, create: bool) -> None:
    if create:
        types = {pl.String: "text", pl.Int64: "bigint", pl.Float64: "double precision"}
        columns = ", ".join(f"{name} {types.get(type(dtype), 'timestamp')}" for name, dtype in frame.schema.items())
        peer.execute(f"CREATE TABLE events ({columns})")
    text = io.BytesIO()
    frame.write_csv(text)
    with peer.cursor() as cursor, cursor.copy("COPY events FROM STDIN (FORMAT csv, HEADER)") as target:
        target.write(text.getvalue())


def programs() -> Path:
    return max(Path("/usr/lib/postgresql").glob("*/bin/initdb")).parent


def version() -> str:
    return subprocess.run(
        [programs() / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()


@contextmanager
def cluster() -> Iterator[str]:
    """Run a PostgreSQL of its own on a Unix socket; Debian's package must be there."""
    folder = Path(tempfile.mkdtemp(prefix="wk-disk-"))
    user: list[str] = []
    if os.geteuid() == 0:  # initdb refuses to run as root
        shutil.chown(folder, "postgres")
        user = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*user, str(programs() / program), *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL
        )

    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "-A", "trust", "-U", "watchkeeper", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://watchkeeper@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
