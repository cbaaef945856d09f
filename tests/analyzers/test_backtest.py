from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from analyzers.world import day, from_day, made

from watchkeeper.analyzers.backtest import backtest
from watchkeeper.schemas.errors import InputError


def written(frame: pl.DataFrame, folder: Path, name: str = "stream.parquet") -> Path:
    file = folder / name
    frame.write_parquet(file)
    return file


def broken(days: int = 30) -> pl.DataFrame:
    late = from_day(20)
    return made(days=days, rows=100).with_columns(
        pl.when(late).then(pl.col("carrier").replace("B6", "JBU")).otherwise(pl.col("carrier")).alias("carrier"),
        pl.lit("x").alias("segment"),
    )


def alerts(result: dict[str, object]) -> list[tuple[int, tuple[str, ...]]]:
    return [
        (finding["day"], tuple(finding["subjects"]))
        for finding in result["findings"]  # type: ignore[attr-defined]
        if finding["severity"] in ("page", "ticket")
    ]


@pytest.fixture(scope="module")
def of_broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return backtest(written(broken(), tmp_path_factory.mktemp("broken")), 14)


@pytest.fixture(scope="module")
def of_its_first_24_days(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return backtest(written(broken().filter(~from_day(24)), tmp_path_factory.mktemp("cut")), 14)


def test_the_result_follows_the_contract(of_broken: dict[str, object]) -> None:
    result = json.loads(json.dumps(of_broken))
    assert (result["reference_days"], result["first_day"], result["days"]) == (14, "2026-01-05", 30)
    for finding in result["findings"]:
        assert 14 <= finding["day"] < 30
        assert finding["severity"] in ("page", "ticket", "notice")
        assert all(isinstance(name, str) for name in finding["subjects"])
    assert alerts(result)[0] == (20, ("carrier",))
    assert {subjects[0] for _, subjects in alerts(result)} == {"carrier"}


def test_nothing_looks_ahead(of_broken: dict[str, object], of_its_first_24_days: dict[str, object]) -> None:
    whole, cut = of_broken, of_its_first_24_days
    assert cut["days"] == 24
    early = [
        (finding["day"], finding["subjects"], finding["metric"], finding["severity"])
        for finding in whole["findings"]  # type: ignore[attr-defined]
        if finding["day"] < 24
    ]
    assert early == [
        (finding["day"], finding["subjects"], finding["metric"], finding["severity"])
        for finding in cut["findings"]  # type: ignore[attr-defined]
    ]


def test_times_with_a_zone_are_the_same(of_its_first_24_days: dict[str, object], tmp_path: Path) -> None:
    zoned = (
        broken()
        .filter(~from_day(24))
        .with_columns(pl.col("ts", "outcome_ts").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    )
    assert alerts(of_its_first_24_days)
    assert alerts(backtest(written(zoned, tmp_path), 14)) == alerts(of_its_first_24_days)


@pytest.mark.parametrize(
    "columns",
    [["ts"], ["ts", "temp"], ["ts", "prediction", "score"], ["ts", "latency_ms", "ok", "cost", "tokens_in", "carrier"]],
)
def test_a_file_with_few_columns_works(columns: list[str], tmp_path: Path) -> None:
    result = backtest(written(made(days=20, rows=60).select(columns), tmp_path), 14)
    assert result["days"] == 20
    assert alerts(result) == []


def test_text_outcomes_and_predictions_work(tmp_path: Path) -> None:
    frame = made(days=36, rows=100).with_columns(
        pl.col("prediction", "outcome").replace_strict({0: "no", 1: "yes"}, return_dtype=pl.String)
    )
    wrong = from_day(20) & (pl.int_range(pl.len()) % 3 == 0)
    frame = frame.with_columns(pl.when(wrong).then(pl.lit("maybe")).otherwise(pl.col("outcome")).alias("outcome"))
    assert ("error",) in [subjects for _, subjects in alerts(backtest(written(frame, tmp_path), 14))]


def test_what_cannot_be_replayed_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs at least one row and a column ts"):
        backtest(written(pl.DataFrame({"x": [1]}), tmp_path), 14)
    with pytest.raises(InputError, match="column ts must hold times, not String"):
        backtest(written(pl.DataFrame({"ts": ["today"]}), tmp_path), 14)
    with pytest.raises(InputError, match=r"column score of .* must hold numbers, not String"):
        backtest(written(pl.DataFrame({"ts": [day(0)], "score": ["high"]}), tmp_path), 14)
    with pytest.raises(InputError, match=r"column ok of .* must hold true or false, not String"):
        backtest(written(pl.DataFrame({"ts": [day(0)], "ok": ["yes"]}), tmp_path), 14)
    with pytest.raises(InputError, match=r"column where of .* holds List.*: take it out"):
        backtest(written(pl.DataFrame({"ts": [day(0)], "where": [[1.0, 2.0]]}), tmp_path), 14)
    with pytest.raises(InputError, match=r"1 of 2 rows of .* have no ts: take them out"):
        backtest(written(pl.DataFrame({"ts": [day(0), None]}), tmp_path), 14)
    with pytest.raises(InputError, match=r"column reason_codes of .* must hold lists of text, not String"):
        backtest(written(pl.DataFrame({"ts": [day(0)], "reason_codes": ["old"]}), tmp_path), 14)
    text = tmp_path / "text.parquet"
    text.write_text("no")
    with pytest.raises(InputError, match=r"cannot read .*text\.parquet as Parquet"):
        backtest(text, 14)


def test_what_is_no_number_counts_as_unknown(tmp_path: Path) -> None:
    gaps = pl.int_range(pl.len()) % 7 == 0
    frame = made(days=40, rows=60).with_columns(pl.col("outcome").cast(pl.Float64))
    named = ("score", "cost", "latency_ms", "outcome")
    nan = frame.with_columns(pl.when(gaps).then(float("nan")).otherwise(pl.col(one)).alias(one) for one in named)
    null = frame.with_columns(pl.when(gaps).then(None).otherwise(pl.col(one)).alias(one) for one in named)
    found = [backtest(written(one, tmp_path), 28, notices=True) for one in (nan, null)]
    assert found[0] == found[1]
    assert "nan" not in str(found[0]["findings"])


def test_a_feature_may_have_any_name(tmp_path: Path) -> None:
    """Such as that of a column that the replay needs itself."""
    frame = broken(days=24).rename({"carrier": "row_id"})
    assert alerts(backtest(written(frame, tmp_path), 14))[0] == (20, ("row_id",))


def worse(days: int = 44) -> pl.DataFrame:
    """From day 26 on a third of the answers comes out otherwise; the model says how sure it was, and why."""
    sure = pl.int_range(pl.len()) % 2 == 0
    wrong = from_day(26) & (pl.int_range(pl.len()) % 3 == 0)
    return made(days=days, rows=120).with_columns(
        pl.when(wrong).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome"),
        pl.when(sure).then(0.9).otherwise(0.6).alias("confidence"),
        pl.lit(0.8).alias("confidence_threshold"),
        pl.concat_list(pl.when(from_day(30)).then(pl.lit("new")).otherwise(pl.lit("old"))).alias("reason_codes"),
    )


def test_notices_are_looked_for_when_they_are_asked_for_and_change_no_alert(tmp_path: Path) -> None:
    file = written(worse(), tmp_path)
    quick, full = (backtest(file, 14, notices=notices) for notices in (False, True))
    told = {finding["metric"]: finding["severity"] for finding in full["findings"]}  # type: ignore[attr-defined]
    assert told["error_rate"] == told["accuracy_gap"] == told["reason_share"] == "notice"
    shown = {finding["metric"] for finding in quick["findings"]}  # type: ignore[attr-defined]
    assert shown & {"error_rate", "accuracy_gap", "reason_share"} == set()
    assert alerts(full) == alerts(quick)
    assert ("error", "automation") in [subjects for _, subjects in alerts(quick)], "what it decides alone is judged"


class Killed(Exception):
    pass


def lively(days: int = 64) -> pl.DataFrame:
    """Two faults, one of them in the outcomes, so that there is something to forget."""
    carrier = pl.when(from_day(35)).then(pl.col("carrier").replace("B6", "JBU")).otherwise(pl.col("carrier"))
    wrong = from_day(42) & (pl.int_range(pl.len()) % 4 == 0)
    return made(days=days, rows=60).with_columns(
        carrier.alias("carrier"),
        pl.when(wrong).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome"),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return backtest(written(lively(), tmp_path_factory.mktemp("whole")), 28)


def test_one_that_was_killed_and_killed_again_goes_on_and_says_the_same(
    whole: dict[str, object], tmp_path: Path
) -> None:
    """It keeps where it is every 28 days."""
    file = written(lively(), tmp_path)
    begun: list[int] = []
    for at in (31, 61):
        heard: list[int] = []

        def told(done: int, days: int, at: int = at, heard: list[int] = heard) -> None:
            assert days == 64
            heard.append(done)
            if done == at:
                raise Killed

        with pytest.raises(Killed):
            backtest(file, 28, tmp_path / "kept", told)
        assert heard[-1] == at
        begun.append(heard[0])
    assert begun == [1, 29]
    again: list[int] = []
    assert backtest(file, 28, tmp_path / "kept", lambda done, _: again.append(done)) == whole
    assert (again[0], again[-1]) == (57, 64)


def test_another_file_or_reference_is_begun_anew(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    few = made(days=30, rows=20)
    for frame, days in ((few, 14), (few.filter(~from_day(29)), 14), (few, 15)):
        heard: list[int] = []
        found = backtest(written(frame, tmp_path), days, kept, lambda done, _, heard=heard: heard.append(done))
        assert heard[0] <= 2
    nothing: list[int] = []
    assert backtest(written(few, tmp_path), 15, kept, lambda done, _: nothing.append(done)) == found
    assert nothing == []
