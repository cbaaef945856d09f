"""What people would have been told by a replay is what a live server writes into its outbox for the same findings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from alerts.samples import LINKS, sqlite_control
from analyzers.world import START, from_day, made

from watchkeeper.alerts.incidents.intake import record
from watchkeeper.analyzers.backtest import backtest
from watchkeeper.app.backtest_told import Told
from watchkeeper.schemas.declared import Declarations, Receiver, Route
from watchkeeper.schemas.findings import Finding
from watchkeeper.store.control import outbox

Evening = tuple[Sequence[Finding], Mapping[str, datetime]]


class Recorder(Told):
    """Keeps each evening beside what is made of it."""

    def __init__(self) -> None:
        super().__init__()
        self.evenings: list[Evening] = []

    def hear(self, findings: Sequence[Finding], watermarks: Mapping[str, datetime]) -> None:
        self.evenings.append((findings, dict(watermarks)))
        super().hear(findings, watermarks)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """From day 35 on a third of the outcomes comes out otherwise; from day 50 to 60 a category is spelled otherwise."""
    wrong = from_day(35) & (pl.int_range(pl.len()) % 3 == 0)
    spelled = from_day(50) & ~from_day(60)
    frame = made(days=84, rows=150).with_columns(
        pl.when(wrong).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome"),
        pl.when(spelled).then(pl.col("carrier").replace("B6", "JBU")).otherwise(pl.col("carrier")).alias("carrier"),
    )
    file = tmp_path_factory.mktemp("told") / "flights.parquet"
    frame.write_parquet(file)
    heard = Recorder()
    backtest(file, 28, listener=heard)
    return heard


def test_one_fault_is_told_once_with_its_ranked_subjects_and_what_is_new_is_an_update(replayed: Recorder) -> None:
    told = [(one["kind"], one["severity"], one["subjects"][0]) for one in replayed.lines if one["kind"] != "resolved"]  # type: ignore[index]
    assert [kind for kind, *_ in told] == ["fired", *["updated"] * (len(told) - 1)]
    answers = {"error", "outcome", "calibration"}
    early = [one for one in replayed.lines if one["subjects"][0] in answers and one["day"] < 50]  # type: ignore[index,operator]
    assert len(early) == 1, "three measures of one fault are one message"
    assert set(early[0]["subjects"]) == answers  # type: ignore[arg-type]
    found = [finding.subject for findings, _ in replayed.evenings for finding in findings]
    assert len(answers & {*found}) > 1, "and more than one finding"
    assert ("updated", "ticket", "carrier") in told
    assert len(told) == 2, "what is only better proven is told to nobody"
    assert len({one["incident"] for one in replayed.lines}) == 1


def test_what_goes_on_is_not_told_to_be_over(replayed: Recorder) -> None:
    assert [one["kind"] for one in replayed.lines if one["kind"] == "resolved"] == []


def test_it_is_what_a_live_server_tells(replayed: Recorder, tmp_path: Path) -> None:
    declared = Declarations(routes=(Route(name="all", receiver=Receiver(type="log")),))
    control = sqlite_control(tmp_path)
    for findings, marks in replayed.evenings:
        record(control, findings, declared, max(marks.values()), LINKS, watermarks=marks)
    with control.snapshot() as tx:
        messages = sorted(outbox.of_incident(tx, replayed.lines[0]["incident"]), key=lambda message: message.created_at)
    live = [
        (
            (message.created_at - START).days - 1,
            message.transition,
            message.incident_id,
            message.payload["subjects"],
        )
        for message in messages
    ]
    assert live == [(one["day"], one["kind"], one["incident"], one["subjects"]) for one in replayed.lines]
    control.close()


def test_one_that_is_kept_goes_on_and_tells_the_same(replayed: Recorder) -> None:
    kept = None
    for findings, marks in replayed.evenings:
        told = Told()
        told.begin(START, kept)
        told.hear(findings, marks)
        kept = json.loads(json.dumps(told.keep()))
    assert kept["lines"] == replayed.lines  # type: ignore[index]
