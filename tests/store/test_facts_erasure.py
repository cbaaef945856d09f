"""A person's rows go from everywhere, nobody else's, and the counts stay."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from store.facts_made import DAY, HOUR, START, Made, event, outcome, times

from watchkeeper.schemas.errors import InputError
from watchkeeper.store.facts import readings, retention
from watchkeeper.store.facts.erasure import ERASED, erase
from watchkeeper.store.facts.kept import Keep, Policy
from watchkeeper.store.sealed import SealedDays, digest
from watchkeeper.store.subjects import Subject, parse

NOW = START + 4 * DAY + HOUR
USER = Subject("user_id", "u-17")
HOLDERS = {
    "segment": {"segments": {"user_id": "u-17"}},
    "feature": {"features": {"user_id": "u-17", "x": 1.0}},
    "extra": {"extra": {"content": "hello", "who": [{"user_id": "u-17"}]}},
}
OTHERS = {
    "no one": {},
    "like it": {"segments": {"user_id": "u-171"}},
    "elsewhere": {"extra": {"note": "u-17", "user": "u-17"}},
}


def filled() -> Made:
    """The same six events on each of four days, each with an outcome and a review; some rejects."""
    made = Made(now=NOW)
    for day in range(4):
        at = START + day * DAY
        rows = {f"{name}-{day}": parts for name, parts in (HOLDERS | OTHERS).items()}
        made.load(*(event(id=name, ts=at, **parts) for name, parts in rows.items()))
        made.outcomes(*(outcome(name, True, at + HOUR) for name in rows))
        decided = pl.DataFrame({"prediction_id": list(rows), "ts": [at] * 6, "service": ["shop"] * 6})
        made.load(reviews=decided.with_columns(decision=pl.lit("edited"), ts=pl.col("ts").cast(pl.Datetime("us"))))
    made.outcomes(outcome("feature-9", True, START))
    raws = [
        b'{"segments": {"user_id": "u-17"}}',
        b'{"id": "segment-3", "service": 7}',
        b'{"prediction_id": "no one-3", "value": []}',
        b'{"user_id": "u-17" \xff',
        b"\xff u-1 7",
    ]
    made.load(
        rejects=pl.DataFrame(
            {"id": [str(n) for n in range(5)], "raw": raws, "received_at": times(*[START] * 5)}
        ).with_columns(reason=pl.lit("no"), service=pl.lit("shop"), kind=pl.lit("predictions"))
    )
    return made


@pytest.fixture
def made() -> Made:
    return filled()


@pytest.fixture
def sealed(tmp_path: Path, made: Made) -> SealedDays:
    """Two of the four days are sealed."""
    folder = SealedDays(tmp_path / "sealed")
    retention.run(made.facts, folder, Policy(Keep(facts=2)), NOW)
    return folder


def ids(made: Made, table: str, column: str = "prediction_id") -> set[str]:
    return {str(row[0]).rpartition("-")[0] for row in made.rows(f"SELECT {column} FROM {table}")}


def frames(sealed: SealedDays, table: str) -> pl.DataFrame:
    files = [(day, f) for day in sealed.days() for f in sealed.manifest(day).files if f.table == table]
    return pl.concat([pl.read_parquet(sealed.path(day, file)) for day, file in files], how="diagonal")


def test_every_row_of_a_person_goes_and_no_other(made: Made, sealed: SealedDays) -> None:
    requests = made.rows("SELECT dim, sum(requests) FROM traffic_hour GROUP BY ALL ORDER BY ALL")
    said = erase(made.facts, sealed, [USER], dry_run=True)
    assert count(made, "predictions") == 12, "a dry run changes nothing"
    done = erase(made.facts, sealed, [USER])
    assert (said.deleted, said.sealed_rows, said.sealed_files) == (done.deleted, done.sealed_rows, done.sealed_files)
    assert done.deleted == {
        "features_1": 6,
        "matched": 6,
        "outcomes": 6,
        "predictions": 6,
        "rejects": 3,
        "reviews": 6,
    }
    for table, column in (("predictions", "id"), ("features_1", "id"), ("outcomes", "prediction_id")):
        assert ids(made, table, column) == set(OTHERS), table
    assert ids(made, "matched") == ids(made, "reviews") == set(OTHERS)
    assert made.rows("SELECT id FROM rejects ORDER BY id") == [("2",), ("4",)]
    assert done.sealed_rows == 3 * 2 * 3
    for table in ("predictions", "outcomes", "reviews"):
        frame = frames(sealed, table)
        names = frame["id" if table == "predictions" else "prediction_id"]
        left = [name for name in names if name != "feature-9"]
        assert {name.rpartition("-")[0] for name in left} == set(OTHERS), table
        assert len(left) == 6
    for day in sealed.days():
        for file in sealed.manifest(day).files:
            assert digest(sealed.path(day, file)) == file.sha256
            assert len(pl.read_parquet(sealed.path(day, file))) == file.rows
        kept = {file.name for file in sealed.manifest(day).files}
        assert {path.name for path in sealed.of(day).glob("*.parquet")} == kept
    assert made.rows("SELECT dim, sum(requests) FROM traffic_hour GROUP BY ALL ORDER BY ALL") == requests
    assert made.rows("SELECT DISTINCT value FROM traffic_hour WHERE dim = 'user_id' ORDER BY ALL") == [
        (ERASED,),
        ("u-171",),
    ]
    again = erase(made.facts, sealed, [USER])
    assert (again.rows, again.relabelled) == (0, 0)


def count(made: Made, table: str) -> int:
    return made.value(f"SELECT count(*) FROM {table}")


def test_one_prediction_by_its_id_also_where_only_its_outcome_is_left(made: Made, sealed: SealedDays) -> None:
    done = erase(made.facts, sealed, [parse("no one-3"), parse("feature-9"), parse("id=no one-0")])
    assert done.deleted["predictions"] == done.deleted["features_1"] == 1
    assert done.deleted["rejects"] == 1
    assert count(made, "pending_outcomes") == 0
    assert done.sealed_rows == 3 + 1, (
        "the prediction of the first day, its outcome and review, and the outcome of feature-9"
    )
    assert erase(made.facts, sealed, [parse("never sent")]).rows == 0


def test_a_column_of_the_prediction_is_a_name_too(made: Made, sealed: SealedDays) -> None:
    made.load(event(id="by workflow", ts=NOW, workflow="w-1"), event(id="other", ts=NOW, workflow="w-2"))
    assert erase(made.facts, sealed, [Subject("workflow", "w-1")]).deleted == {"features_1": 1, "predictions": 1}
    assert made.rows("SELECT id FROM predictions WHERE workflow IS NOT NULL") == [("other",)]
    assert erase(made.facts, sealed, [Subject("x", "1")]).deleted["predictions"] == 2, "a number is one however written"


def test_a_file_of_which_nothing_is_left_goes(made: Made, sealed: SealedDays) -> None:
    done = erase(made.facts, sealed, [Subject("service", "shop")])
    assert count(made, "predictions") == count(made, "outcomes") == 0
    assert done.sealed_rows >= 36
    assert list(sealed.folder.glob("day=*/predictions-*.parquet")) == []
    assert all(file.table == "outcomes" for day in sealed.days() for file in sealed.manifest(day).files)


def test_readings_of_a_segment_that_is_a_person_name_them_no_more(made: Made, sealed: SealedDays) -> None:
    """Analyzers write ``segment:VALUE`` and ``segment:NAME=VALUE``; other subjects are names, of features and such."""
    subjects = ["segment:u-17", "segment:user_id=u-17", "segment:u-171", "segment:plan=u-17", "user_id", "error"]
    numbers = [float(n) for n in range(len(subjects))]
    frame = pl.DataFrame({"subject": subjects, "value": numbers, "as_of": times(*[START] * len(subjects))})
    readings.write(made.facts, frame.with_columns(pl.lit("shop").alias("service")))
    relabelled = erase(made.facts, sealed, [USER]).relabelled
    assert made.rows("SELECT subject FROM readings ORDER BY value") == [
        (f"segment:{ERASED}",), (f"segment:user_id={ERASED}",), *((name,) for name in subjects[2:])
    ]  # fmt: skip
    assert relabelled > 2
    assert made.rows("SELECT value FROM readings ORDER BY value") == [(n,) for n in numbers], "the numbers stay"


def test_every_subject_that_analyzers_write_names_no_value_but_a_segments() -> None:
    """What else a subject is made of: a new form of it must be looked at here and in the erasure."""
    source = Path(__file__).parents[2] / "analyzers" / "watchkeeper" / "analyzers"
    made = {found for path in source.rglob("*.py") for found in re.findall(r'f"([a-z]+):\{', path.read_text())}
    assert made <= {"segment", "site", "check", "duplicates"}, made


def test_what_the_loader_knows_is_read_again(made: Made, sealed: SealedDays) -> None:
    erase(made.facts, sealed, [USER])
    assert made.load(event(ts=NOW, segments={"user_id": "u-18"})).loaded == 1
    assert (ERASED,) in made.rows("SELECT DISTINCT value FROM traffic_hour")


@pytest.mark.parametrize("text", ["", "=", "a=", "=b", " "])
def test_whom_nobody_is_meant_by_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names nobody"):
        parse(text)
