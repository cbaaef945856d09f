"""Evidently's page of one model and window: a bounded sample from the server, rendered by a child within limits."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from watchkeeper.app import evidently_html
from watchkeeper.app.remote import Remote
from watchkeeper.schemas.errors import NotFound, SettingsError, Unavailable
from watchkeeper.store.facts.sample import CURRENT, PART, REFERENCE

WALL_SECONDS = 300.0


def make(remote: Remote, asked: Mapping[str, str], out: Path) -> dict[str, Any]:
    """Write the page; give how many rows and columns it shows, and which had nothing to compare."""
    stream = remote.arrow("/v1/queries/sample", asked)
    rows, left_out = comparable(pl.read_ipc_stream(io.BytesIO(stream)))
    if not out.parent.is_dir():
        raise SettingsError(f"--out: there is no folder {out.parent}")
    render(rows, out)
    return {
        "reference_rows": rows.filter(pl.col(PART) == REFERENCE).height,
        "current_rows": rows.filter(pl.col(PART) == CURRENT).height,
        "columns": rows.width - 1,
        "left_out": left_out,
        "bytes": out.stat().st_size,
    }


def comparable(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Leave out the columns that hold no value in one of the two parts, of which Evidently makes an error.

    >>> rows = pl.DataFrame({PART: ["reference", "current"], "a": [1.0, 2.0], "b": [1.0, None]})
    >>> comparable(rows)[1]
    ['b']
    """
    for part, why in (
        (REFERENCE, "its reference has no rows here: none is made yet, or they are older than retention.facts_days"),
        (CURRENT, "it sent nothing in this window: give another --start and --end"),
    ):
        if rows.filter(pl.col(PART) == part).is_empty():
            raise NotFound(f"nothing to compare: {why}")
    finite = rows.with_columns(pl.when(pl.col(pl.Float64).is_finite()).then(pl.col(pl.Float64)))
    held = finite.group_by(PART).agg(pl.exclude(PART).count())
    left_out = [name for name in rows.columns if name != PART and held[name].min() == 0]
    if len(left_out) == rows.width - 1:
        raise NotFound("nothing to compare: no feature, score or prediction has values in both reference and window")
    return rows.drop(left_out), left_out


def render(rows: pl.DataFrame, out: Path, seconds: float = WALL_SECONDS) -> None:
    """Let the child make the page (for a name that ends in .json the result); it is put in place when it is whole."""
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".evidently-") as folder:
        made = Path(folder) / (evidently_html.RESULT if out.suffix == ".json" else evidently_html.PAGE)
        for part in (REFERENCE, CURRENT):
            rows.filter(pl.col(PART) == part).drop(PART).write_parquet(Path(folder) / f"{part}.parquet")
        argv = [sys.executable, "-m", evidently_html.__name__, folder]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603  our own module
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"Evidently took over {seconds:.0f} s and was stopped: try again when the machine is less busy"
            ) from None
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if done.returncode == evidently_html.MISSING:
            raise SettingsError(
                f"Evidently cannot be used here ({said}): pip install 'watchkeeper[evidently]' where this command runs"
            )
        if done.returncode != 0 or not made.is_file():
            raise Unavailable(
                f"Evidently failed with exit code {done.returncode} ({said}); it may use "
                f"{evidently_html.MEMORY_BYTES // evidently_html.GIB} GiB of address space and "
                f"{evidently_html.CPU_SECONDS} CPU seconds"
            )
        made.replace(out)
