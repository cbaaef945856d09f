"""docs/backtest.md: a file with just the documented columns is replayed, and the answer has the documented fields."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from watchkeeper.app.backtesting import run, streams
from watchkeeper.schemas.findings import Severity

TEXT = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text()
FILE, FINDINGS = TEXT.split("## The findings")
START = datetime(2025, 1, 6, tzinfo=UTC)
DAYS, PER_DAY = 40, 40
VALUES = {
    "prediction": True,
    "score": 0.5,
    "outcome": True,
    "segment": "AA",
    "latency_ms": 12.0,
    "ok": True,
    "attempts": 1,
    "tokens_in": 10,
    "tokens_out": 20,
    "cost": 0.01,
    "sample_weight": 10.0,
    "confidence": 0.9,
    "confidence_threshold": 0.8,
    "reason_codes": ["amount"],
    "protected_group": "f",
    "checks": [{"name": "grounded", "passed": True}],
    "review": "approved",
    "ranking": ["a", "b"],
}


def table(text: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \| .+ \|$", text, re.MULTILINE)


def frame() -> pl.DataFrame:
    """A category that spells one value otherwise from day 32 on."""
    times = [START + timedelta(days=day, minutes=30 * n) for day in range(DAYS) for n in range(PER_DAY)]
    rows = len(times)
    carrier = ["UA" if row % 3 else ("JBU" if row // PER_DAY >= 32 else "B6") for row in range(rows)]
    columns = {"ts": times}
    columns |= {name: [time + timedelta(days=7) for time in times] for name in ("outcome_ts", "review_ts")}
    return pl.DataFrame(columns | {name: [value] * rows for name, value in VALUES.items()} | {"carrier": carrier})


def test_the_columns_and_the_fields_are_those_of_the_page(tmp_path):
    made = frame()
    assert {*table(FILE)} == set(made.columns) - {"carrier"}
    made.write_parquet(tmp_path / "checkout.parquet")

    asked = streams([tmp_path / "checkout.parquet"], tmp_path / "found.json")
    report = run(asked, 28, 1, lambda *_: None)["checkout"]

    (example,) = re.findall(r"^```json\n(.*?)^```", FINDINGS, re.MULTILINE | re.DOTALL)
    shown = json.loads(example)
    assert list(report) == list(shown)
    assert (report["first_day"], report["days"]) == ("2025-01-06", DAYS)
    told = [finding for finding in report["findings"] if finding["subjects"][0] == "carrier"]
    assert told
    assert min(finding["day"] for finding in told) >= 32
    assert all(list(finding) == list(shown["findings"][0]) for finding in told)
    assert all(list(one) == list(shown["told"][0]) for one in report["told"])
    assert report["told"][0]["subjects"][0] == "carrier"
    fields = [*(name for name in report if name != "told"), *told[0], "told", *report["told"][0]]
    assert list(dict.fromkeys(fields)) == table(FINDINGS)
    assert {finding["severity"] for finding in report["findings"]} <= set(Severity)
