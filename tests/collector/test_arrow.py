"""Predictions as columns: the facts of their JSON, every rule of the schema, and no stream that ends the process."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from collector.sent import TS
from collector.test_loader import Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector.decoding import Sent, Taken
from watchkeeper.collector.inbox import Incoming
from watchkeeper.collector.registry import discover
from watchkeeper.schemas.errors import InputError, NotDecodable, TooLarge
from watchkeeper.schemas.settings import Ingest

DECODER = discover(Ingest())["arrow"]
MOMENT = datetime.fromtimestamp(TS, UTC)


def stream(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()


def checked(body: bytes, max_rows: int = 1000, services: frozenset[str] | None = None) -> Taken:
    return DECODER.check(Sent("predictions_arrow", "arrow", body, max_rows, {}, services))


def frame(**columns: object) -> pl.DataFrame:
    height = max((len(values) for values in columns.values() if isinstance(values, list | pl.Series)), default=1)
    return pl.DataFrame({"id": [f"p{n}" for n in range(height)], "service": ["shop"] * height} | columns)


def stored(folder: Path, *bodies: tuple[str, str, bytes, int]) -> list[tuple[dict[str, object], ...]]:
    bench = Bench(folder)
    for kind, encoding, body, rows in bodies:
        bench.inbox.append(Incoming(kind, encoding, TS * 10**6, body, rows, (), b"")).result(timeout=30)
        bench.load()
    told = [
        bench.facts.read(sql).to_dicts()
        for sql in (
            "SELECT * EXCLUDE (extra, received_at) FROM predictions ORDER BY id",
            "SELECT * EXCLUDE (bucket) FROM traffic_hour ORDER BY ALL",
            "SELECT * FROM feature_hour ORDER BY ALL",
            "SELECT role, name, kind FROM feature_columns ORDER BY ALL",
        )
    ]
    bench.close()
    return told


ROWS = [
    {"id": "a", "service": "shop", "ts": TS, "model": "m", "score": 0.5, "prediction": True, "latency_ms": 3.0,
     "features": {"x": 1.5, "c": "é"}, "segments": {"plan": "pro", "n": 1}, "tokens": {"input": 3, "output": 4},
     "attempts": 2, "fallback": {"from": "big"}, "cost": 0.25},
    {"id": "b", "service": "shop", "ts": TS + 1, "model": "m", "status": "error", "error_class": "timeout",
     "prediction": False, "features": {"x": 2.0}, "needed_by": TS, "used_at": TS + 5},
    {"id": "c", "service": "other"},
]  # fmt: skip
AS_COLUMNS = pl.DataFrame(
    {
        "id": ["a", "b", "c"],
        "service": pl.Series(["shop", "shop", "other"], dtype=pl.Categorical),
        "ts": [MOMENT, datetime.fromtimestamp(TS + 1, UTC), None],
        "model": ["m", "m", None],
        "score": [0.5, float("nan"), None],
        "prediction": [True, False, None],
        "latency_ms": [3, None, None],
        "features.x": [1.5, 2.0, None],
        "features.c": ["é", None, None],
        "segments": [{"plan": "pro", "n": 1}, None, None],
        "tokens.input": [3, None, None],
        "tokens.output": [4, None, None],
        "attempts": [2, None, None],
        "fallback.from": ["big", None, None],
        "cost": [0.25, None, None],
        "status": [None, "error", None],
        "error_class": [None, "timeout", None],
        "needed_by": [None, TS, None],
        "used_at": [None, TS + 5.0, None],
    }
)


def test_the_same_facts_as_json(tmp_path: Path) -> None:
    (tmp_path / "json").mkdir()
    lines = b"\n".join(json.dumps(row).encode() for row in ROWS)
    plain = stored(tmp_path / "json", ("predictions", "ndjson", lines, 3))
    taken = checked(stream(AS_COLUMNS))
    assert (taken.rows, list(taken.rejected)) == (3, [])
    columns = stored(tmp_path, ("predictions_arrow", "arrow", taken.body, 3))
    columns[0][0].update(dict.fromkeys(("tokens_cache_read", "tokens_cache_write", "tokens_reasoning"), 0))
    assert columns == plain


def test_bad_rows_are_named_and_the_others_kept(tmp_path: Path) -> None:
    sent = frame(
        score=[0.5, 1.0, float("inf"), 0.1, 0.2, 0.3],
        latency_ms=[1.0, -1.0, 1.0, 1.0, 1.0, 1.0],
        ts=[TS, TS, TS, 5, TS, TS],
        status=["ok", "ok", "ok", "ok", "broken", "ok"],
        id=["a", "b", "c", "d", "e", None],
    )
    taken = checked(stream(sent))
    assert [(reject.index, reject.field) for reject in taken.rejected] == [
        (1, "latency_ms"),
        (2, "score"),
        (3, "ts"),
        (4, "status"),
        (5, "id"),
    ]
    assert json.loads(taken.rejected[0].raw)["id"] == "b"
    assert json.loads(taken.reply)["accepted"] == taken.rows == 1
    [rows, *_] = stored(tmp_path, ("predictions_arrow", "arrow", taken.body, 1))
    assert [row["id"] for row in rows] == ["a"]


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"id": ["x" * 201]}, "id"),
        ({"id": ["a\nb"]}, "id"),
        ({"service": [""]}, "service"),
        ({"confidence": [1.5]}, "confidence"),
        ({"currency": ["euro"]}, "currency"),
        ({"sample_weight": [0.0]}, "sample_weight"),
        ({"tokens.input": [-1]}, "tokens.input"),
        ({"attempts": [0]}, "attempts"),
        ({"ts": ["yesterday"]}, "ts"),
        ({"ts": [datetime(1950, 1, 1, tzinfo=UTC)]}, "ts"),
    ],
)
def test_every_rule_of_the_schema_holds(columns: dict[str, object], field: str) -> None:
    taken = checked(stream(frame(**columns)))
    assert [reject.field for reject in taken.rejected] == [field]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"colour": ["red"]}, "name it features.colour"),
        ({"model": [1]}, "send text"),
        ({"score": ["1"]}, "send numbers"),
        ({"attempts": [1.5]}, "send whole numbers"),
        ({"features.x": [[1, 2]]}, "send text, numbers or booleans"),
        ({"prediction": [[1]]}, "send text, numbers or booleans"),
        ({"ts": [True]}, "send timestamps"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused_by_name(columns: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        checked(stream(frame(**columns)))
    with pytest.raises(InputError, match="'service' is missing"):
        checked(stream(pl.DataFrame({"id": ["a"]})))


def test_a_key_of_one_service_hands_over_no_other() -> None:
    taken = checked(stream(AS_COLUMNS), services=frozenset({"shop"}))
    assert [(reject.index, reject.field) for reject in taken.rejected] == [(2, "service")]


def test_limits_hold_before_anything_is_read() -> None:
    with pytest.raises(TooLarge, match=r"ingest\.max_rows"):
        checked(stream(frame(score=[0.5] * 11)), max_rows=10)
    table = pa.table({"id": pa.array(["a"] * 1000), "service": pa.array(["s"] * 1000)})
    for codec in ("zstd", "lz4"):
        out = io.BytesIO()
        with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
            writer.write_table(table)
        with pytest.raises(NotDecodable, match="buffers are compressed"):
            checked(out.getvalue())
    many = pa.record_batch([pa.nulls(5000)], ["n"])
    out = io.BytesIO()
    with pa.ipc.new_stream(out, many.schema) as writer:
        writer.write_batch(many)
    with pytest.raises(TooLarge):
        checked(out.getvalue())


@pytest.mark.parametrize("body", [b"", b"PAR1", b"\xff\xff\xff\xff", b"\xff" * 400, struct.pack("<i", 2**31 - 1)])
def test_what_is_no_stream_is_refused(body: bytes) -> None:
    with pytest.raises(NotDecodable):
        checked(body)


WHOLE = stream(AS_COLUMNS)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_stream_is_refused_or_read(damage: list[tuple[int, int]]) -> None:
    body = bytearray(WHOLE)
    for place, byte in damage:
        body[place] = byte
    try:
        taken = checked(bytes(body))
    except InputError:
        return
    if taken.rows:
        [made] = DECODER.events("predictions_arrow", "arrow", taken.body).columns
        assert made.height == taken.rows


FUZZ = """
import random, sys
from collector.test_arrow import WHOLE, checked
from watchkeeper.schemas.errors import InputError
dice = random.Random(int(sys.argv[1]))
for _ in range(4_000):
    body = bytearray(WHOLE)
    for _ in range(dice.choice((1, 1, 2, 4))):
        place = dice.randrange(len(body)) // 4 * 4
        body[place:place + 4] = dice.choice((dice.randbytes(4), bytes(4), b"\\xff\\xff\\xff\\x7f", b"\\xff" * 4))
    try:
        checked(bytes(body))
    except InputError:
        pass
"""


def test_no_stream_ends_the_process() -> None:
    """In a process of its own: what polars alone would do with some of these is no exception but an abort."""
    paths = [str(Path(__file__).parents[1]), *sys.path]
    code = f"import sys; sys.path[:0] = {paths!r}\n{FUZZ}"
    done = subprocess.run([sys.executable, "-c", code, "1"], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_text_without_end_is_rejected() -> None:
    taken = checked(stream(frame(**{"id": ["a", "b"], "service": ["s", "s"], "features.x": ["x" * 100_001, "x"]})))
    assert [(reject.index, reject.field) for reject in taken.rejected] == [(0, "features.x")]
