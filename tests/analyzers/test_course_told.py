"""What speaks again says what people do not know: a larger size, or something new; more evidence is neither."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import polars as pl
from analyzers.world import World, day, from_day, made

from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.verdict.change import Change
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import STRONGER, SURER, Finding, Window

DAY = timedelta(days=1)
LAST = 100


def warmer(degrees: float, since: int) -> pl.Expr:
    return pl.col("temp") + pl.when(from_day(since)).then(degrees).otherwise(0.0)


def found(frame: pl.DataFrame) -> list[tuple[int, Finding]]:
    """Ask day by day for what is said of the temperature."""
    world, analyzer = World().load(frame).with_reference(), Change()
    reader = remembering(world.reader)
    said: list[tuple[int, Finding]] = []
    for number in range(14, LAST):
        at = day(number)
        findings = analyzer.evaluate(reader, Declarations(), Window(at - DAY, at), at).findings
        said += [(number - 1, finding) for finding in findings if finding.subject == "temp"]
    return said


def metrics(said: list[tuple[int, Finding]]) -> list[str]:
    return list(dict.fromkeys(finding.metric for _, finding in said))


def test_a_fault_that_stays_as_it_is_becomes_surer_and_goes_on_by_the_name_it_was_told_by() -> None:
    said = found(made(days=LAST).with_columns(warmer(6.0, 20).alias("temp")))
    assert metrics(said)[0] == "strength"
    again = [one for _, one in said if one.metric != "strength"]
    assert again, "the evidence grows"
    assert all(SURER in one.metric and "The evidence has grown, the size has not." in one.summary for one in again)
    assert len({one.metric for one in again}) == len(again), "said once each"
    days = [number for number, one in said if one.metric == "strength"]
    assert max(later - earlier for earlier, later in pairwise(days)) == 3
    assert days[-1] >= LAST - 5
    assert not any("further" in one.summary for _, one in said)


def test_one_that_grows_is_told_again_and_the_new_size_is_what_later_ones_are_held_against() -> None:
    said = found(made(days=LAST).with_columns((warmer(5.0, 20) + warmer(9.0, 50) - pl.col("temp")).alias("temp")))
    louder = [(number, one) for number, one in said if STRONGER in one.metric]
    assert louder
    assert 50 <= louder[0][0] < 60
    assert "has changed further" in louder[0][1].summary
    assert len({one.metric for _, one in louder}) == 1, "once: what comes later is as large"
    assert louder[-1][0] >= LAST - 5, "and goes on by that name"
