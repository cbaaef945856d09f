"""The child that makes Evidently's page: run as a process of its own, within limits, and nothing else of ours in it.

Evidently takes seconds and hundreds of megabytes only to be imported; a server must never do that.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from pathlib import Path

GIB = 2**30
MEMORY_BYTES = 6 * GIB
"""Of address space, of which numeric libraries reserve much and use little."""
CPU_SECONDS = 300
MISSING = 3
"""The exit code where Evidently is not installed."""


PAGE, RESULT = "page.html", "result.json"
"""What it writes: the page, and its numbers as Evidently's own JSON."""


def main(folder: str) -> int:
    """Read the two Parquet files of the folder, write what it makes beside them; give the exit code."""
    _limit()
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread reserves memory
    warnings.simplefilter("ignore")
    try:
        pandas, evidently = importlib.import_module("pandas"), importlib.import_module("evidently")
        presets = importlib.import_module("evidently.presets")
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return MISSING
    current, reference = (pandas.read_parquet(Path(folder) / f"{part}.parquet") for part in ("current", "reference"))
    numbers = list(reference.select_dtypes("number").columns)
    definition = evidently.DataDefinition(
        numerical_columns=numbers,
        categorical_columns=[name for name in reference.columns if name not in numbers],
    )
    datasets = [evidently.Dataset.from_pandas(frame, definition) for frame in (current, reference)]
    report = evidently.Report([presets.DataDriftPreset(), presets.DataSummaryPreset()])
    snapshot = report.run(*datasets)
    snapshot.save_html(str(Path(folder) / PAGE))
    (Path(folder) / RESULT).write_text(snapshot.json())
    return 0


def _limit() -> None:
    try:
        import resource  # noqa: PLC0415
    except ImportError:  # not on Windows; there only the parent's time limit holds
        return
    for limit, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, CPU_SECONDS)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
