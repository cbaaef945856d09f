"""What every analyzer keeps, ours and any plugin's."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache

import polars as pl
import pytest
from analyzers.world import NOTHING, World, day, from_day, made

from watchkeeper.analyzers import backtest_rows
from watchkeeper.analyzers.evaluation import Analyzer, Evaluation
from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.registry import discover
from watchkeeper.schemas.declared import Declarations, Objective, Price, PriceTable, System, ValueModel
from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.objectives import BudgetStep, Fallback, Sli
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import telemetry
from watchkeeper.store.facts.batch import Batch
from watchkeeper.store.facts.reader import FactReader

ALL = discover()
EVERY = pytest.mark.parametrize("analyzer", ALL.values(), ids=ALL.keys())
DECLARED = Declarations(
    objectives=(
        Objective(
            name="ok",
            service="flights",
            sli=Sli(measure="errors"),
            target=0.99,
            days=28,
            budget_policy=[BudgetStep(at=0.5, do="notify"), BudgetStep(at=1.0, do="close_gate")],
            fallback=Fallback(name="itself", service="flights"),
        ),
        Objective(name="fast", service="flights", sli=Sli(measure="latency", max_ms=500.0), target=0.9, days=7),
    ),
    prices=(
        PriceTable(
            name="t",
            currency="EUR",
            prices=[Price(model="m1", token_class="input", per_million=3.0, valid_from=date(2020, 1, 1))],
        ),
    ),
    systems=(System(name="s", services=["flights"], owner="o", protected=["gender"], expect_every="1h"),),
    values=(ValueModel(name="v", service="flights", currency="EUR", values={"wrong": -10.0}),),
)


LEDGER = ("data.telemetry", "data.silence", "data.duplicates", "data.orphans")
"""They speak of what is not here."""


def gpus(world: World) -> World:
    times = [day(30).replace(tzinfo=None) - timedelta(minutes=10 * place) for place in range(1, 100)]
    samples = pl.DataFrame(
        {"ts": times, "uuid": "g", "utilization": 0.0, "memory_used_mib": 900.0, "memory_free_mib": 100.0}
    )
    world.loader.load(Batch(gpus=samples))
    return world


def lossy(world: World) -> World:
    for at, dropped in ((day(28), 0), (day(30) - timedelta(minutes=6), 50)):
        group = {
            "service": "flights",
            "site": "ams",
            "version": "1",
            "clients": 1,
            "accepted": 1000,
            "dropped": dropped,
        }
        telemetry.write(world.facts, pl.DataFrame([group]), at)
    return world


@cache
def silent() -> World:
    """The books of clients were looked at, and nobody wrote into them for two hours."""
    world = World().load(made(days=20))
    group = {
        "service": "flights",
        "site": "ams",
        "version": "1",
        "clients": 1,
        "seen_at": stored(day(30) - timedelta(hours=2)),
    }
    for minute in range(180):
        telemetry.write(world.facts, pl.DataFrame([group]), day(30) - timedelta(minutes=minute))
    return world


@cache
def twice_and_for_nothing() -> World:
    """On the last day before day 30 all is sent twice, and its outcomes name what was never predicted."""
    world = World()
    for number in range(30):
        world.now = day(number + 1) - timedelta(hours=1)
        rows = made(days=1, first_day=number)
        ids = pl.lit(f"{number}/") + pl.int_range(pl.len()).cast(pl.String)
        rows = rows.with_columns(ids.alias(backtest_rows.ROW), outcome_ts=pl.col("ts"))
        known = backtest_rows.outcomes(rows, "flights")
        assert known is not None
        if number == 29:
            known = known.with_columns(pl.lit("ORD-").add(pl.col("prediction_id")).alias("prediction_id"))
        for _ in range(2 if number == 29 else 1):
            world.loader.load(Batch(predictions=backtest_rows.predictions(rows, "flights"), outcomes=known))
    return world


@cache
def blocking() -> World:
    """From day 29 on half of the answers fail a check that all passed before."""
    frame = made(days=40)
    check = pl.struct(
        pl.lit("grounded").alias("name"), pl.lit("policy").alias("kind"),
        (~from_day(29) | (pl.int_range(pl.len()) % 2 == 0)).alias("passed"),
        pl.lit(False).alias("blocked"), pl.lit(None, pl.Float64).alias("score"),
    )  # fmt: skip
    return World().load(frame, fields=frame.select(checks=pl.concat_list(check))).with_reference()


def beside(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Give what no file of a backtest has: groups of people, of which the fault meets one; confidence; a check."""
    row = pl.int_range(pl.len())
    sure = pl.when(row % 10 < 6).then(0.9).otherwise(0.6)
    off = (pl.col("prediction") != pl.col("outcome")).fill_null(False)
    check = pl.struct(
        pl.lit("grounded").alias("name"), pl.lit("policy").alias("kind"), (~off | (row % 5 == 0)).alias("passed"),
        pl.lit(False).alias("blocked"), pl.lit(None, pl.Float64).alias("score"),
    )  # fmt: skip
    fifth = (row % 5 == 0) & (pl.col("ts") >= day(20).replace(tzinfo=None))
    gender = pl.when(fifth).then(pl.lit("f")).otherwise(pl.when(row % 7 < 2).then(pl.lit("f")).otherwise(pl.lit("m")))
    code = pl.when(fifth).then(pl.lit("R2")).otherwise(pl.lit("R1"))
    fields = {
        "reason_codes": pl.concat_list(code),
        "confidence": sure,
        "confidence_threshold": pl.lit(0.8),
        "checks": pl.concat_list(check),
    }
    return {"segments": frame.select(gender.alias("gender")), "fields": frame.select(**fields)}


@cache
def faulty() -> World:
    """Everything that can go wrong does, from day 20 on."""
    late = from_day(20)
    fifth = late & (pl.int_range(pl.len()) % 5 == 0)
    frame = made(days=40).with_columns(
        pl.when(fifth).then(None).otherwise(pl.col("temp")).alias("temp"),
        pl.when(fifth).then(pl.col("distance") * 1000).otherwise(pl.col("distance")).alias("distance"),
        pl.when(late).then(pl.col("carrier").replace("B6", "JBU")).otherwise(pl.col("carrier")).alias("carrier"),
        pl.when(fifth).then(1 - pl.col("outcome")).otherwise(pl.col("outcome")).alias("outcome"),
        pl.when(fifth).then(0).otherwise(pl.col("ok")).alias("ok"),
        pl.when(late).then(pl.col("cost") * 2).otherwise(pl.col("cost")).alias("cost"),
        pl.when(late).then(1.0).otherwise(pl.col("score")).alias("still"),
        pl.when(from_day(25)).then(9.0).alias("added"),
    )
    return lossy(gpus(World().load(frame, **beside(frame)))).with_reference()


@cache
def mistyped() -> World:
    world = World().load(made(days=20))
    text = made(days=20, first_day=20).with_columns(pl.col("temp").cast(pl.String))
    return world.load(text).with_reference()


@cache
def misranked() -> World:
    """What is relevant stands first, and from day 20 on last in every second ranking."""
    off = from_day(20) & (pl.int_range(pl.len()) % 2 == 0)
    relevant = pl.when(off).then(pl.lit("c")).otherwise(pl.lit("a"))
    frame = made(days=40).drop("prediction", "score").with_columns(relevant.alias("outcome"))
    return World().load(frame, extra=[{"ranking": ["a", "b", "c"]}] * frame.height).with_reference()


@cache
def converted() -> World:
    """From day 20 on one input comes in thousandths."""
    metres = pl.when(from_day(20)).then(pl.col("distance") * 1000).otherwise(pl.col("distance"))
    return World().load(made(days=40).with_columns(metres.alias("distance"))).with_reference()


@cache
def joined() -> World:
    """From day 20 on a fifth of the traffic is of a new version, which takes twice as long."""
    fifth = from_day(20) & (pl.int_range(pl.len()) % 5 == 0)
    frame = made(days=40, rows=300).with_columns(
        pl.when(fifth).then(pl.col("latency_ms") * 2).otherwise(pl.col("latency_ms")).alias("latency_ms")
    )
    version = pl.when(fifth).then(pl.lit("v2")).otherwise(pl.lit("v1"))
    return World().load(frame, fields=frame.select(model_version=version)).with_reference()


def world_of(analyzer: Analyzer) -> Callable[[], World]:
    other = {
        "data.checks": blocking,
        "data.duplicates": twice_and_for_nothing,
        "data.mismatch": mistyped,
        "data.orphans": twice_and_for_nothing,
        "data.silence": silent,
        "data.unit": converted,
        "quality.newcomer": joined,
        "quality.ranking": misranked,
    }
    return other.get(analyzer.name, faulty)


@cache
def situations() -> dict[str, World]:
    few = made(days=30).head(1)
    odd = made(days=30).with_columns(pl.lit(float("nan")).alias("temp"), pl.lit(None, pl.Float64).alias("score"))
    constant = made(days=30).with_columns(pl.lit(5.0).alias("temp"), pl.lit("AA").alias("carrier"))
    return {
        "nothing": World(),
        "one prediction": World().load(few).with_reference(),
        "never a number": World().load(odd).with_reference(),
        "one value": World().load(constant).with_reference(),
        "no reference": World().load(made(days=30)),
        "only times": World().load(made(days=30).select("ts")).with_reference(),
    }


@cache
def in_one_round(make: Callable[[], World]) -> FactReader:
    """What analyzers read is remembered for all of them, as in a round of the server."""
    return remembering(make().reader)


@cache
def in_a_round_of(words: str, at: datetime, *, declared: bool) -> FactReader:
    return remembering(situations()[words].reader)


@EVERY
def test_it_says_what_it_is(analyzer: Analyzer) -> None:
    folder = type(analyzer).__module__.split(".")
    assert analyzer.name == ".".join(folder[-2:])
    assert analyzer.question.endswith("?")
    assert timedelta(0) < analyzer.every <= analyzer.span
    assert analyzer.quiet > timedelta(0)


@EVERY
def test_no_input_crashes_it_or_makes_it_alert(analyzer: Analyzer) -> None:
    for words in situations():
        for at in (day(25), day(30) + timedelta(hours=7), day(90)):
            for declared in (NOTHING, DECLARED):
                facts = in_a_round_of(words, at, declared=declared is DECLARED)
                evaluation = analyzer.evaluate(facts, declared, Window(at - analyzer.span, at), at)
                assert not [one for one in evaluation.findings if one.severity.alerts], (words, at)


TOLD: dict[str, Evaluation] = {}


def at_day_30(analyzer: Analyzer, facts: FactReader) -> Evaluation:
    return analyzer.evaluate(facts, DECLARED, Window(day(30) - analyzer.span, day(30)), day(30))


def told(analyzer: Analyzer) -> Evaluation:
    """Give what it said when it was first asked."""
    if analyzer.name not in TOLD:
        TOLD[analyzer.name] = at_day_30(analyzer, in_one_round(world_of(analyzer)))
    return TOLD[analyzer.name]


@EVERY
def test_what_alerts_names_predictions_of_its_window_that_show_it(analyzer: Analyzer) -> None:
    world = world_of(analyzer)()
    for finding in told(analyzer).findings:
        shows = (
            not analyzer.name.startswith("gpu.") and analyzer.name not in LEDGER and analyzer.name != "quality.fairness"
        )
        assert finding.examples or not finding.severity.alerts or not shows
        for one in finding.examples:
            ts = world.facts.read("SELECT ts FROM predictions WHERE id = $id AND service = 'flights'", {"id": one})
            assert finding.window.start <= ts["ts"].item().replace(tzinfo=finding.as_of.tzinfo) < finding.window.end


@EVERY
def test_its_findings_can_be_recomputed_from_their_snapshot(analyzer: Analyzer) -> None:
    evaluation = told(analyzer)
    assert evaluation.findings or evaluation.readings
    for finding in evaluation.findings:
        snapshot = json.loads(json.dumps(finding.evidence.snapshot, allow_nan=False))
        assert snapshot == finding.evidence.snapshot
        assert analyzer.recompute(snapshot) == finding.observed
        assert finding.analyzer == analyzer.name
        assert finding.as_of == day(30)
        assert finding.window.end <= finding.as_of
        assert 0 < len(finding.summary) <= 200
        assert finding.evidence.grade in "ABCD"
        assert finding.subjects


def test_the_faulty_world_makes_all_but_the_readers_speak() -> None:
    silent = {name for name, analyzer in ALL.items() if not told(analyzer).findings}
    distances = {name for name in ALL if name.startswith("drift.")} - {"drift.reasons"}
    silent -= {"verdict.change"}  # said once, not daily
    assert silent == {"cost.per_success", "impact.value", "slo.slow_burn"} | distances


@EVERY
def test_its_readings_are_numbers_of_its_own_window(analyzer: Analyzer) -> None:
    for reading in told(analyzer).readings:
        assert reading.analyzer == analyzer.name
        assert reading.value == reading.value
        assert abs(reading.value) < float("inf")
        assert reading.window.start < reading.window.end <= reading.as_of
        assert reading.lower is None or reading.lower <= reading.value + 1e-9
        assert reading.upper is None or reading.value <= reading.upper + 1e-9
        assert reading.maturity is None or 0 <= reading.maturity <= 1


@EVERY
def test_the_same_question_has_the_same_answer(analyzer: Analyzer) -> None:
    """Asked in a round with all others, and alone."""
    assert world_of(analyzer)().evaluate(analyzer, day(30), DECLARED) == told(analyzer)


@cache
def whole_and_cut() -> tuple[FactReader, FactReader]:
    """Give a world as it is read in one round, and the same one as it was known on day 30."""
    frame = made(days=40).with_columns(
        pl.when(from_day(20) & (pl.int_range(pl.len()) % 5 == 0)).then(None).otherwise(pl.col("temp")).alias("temp")
    )
    cut = frame.filter(~from_day(30)).with_columns(
        pl.when(pl.col("outcome_ts") <= day(30).replace(tzinfo=None)).then(pl.col("outcome_ts")).alias("outcome_ts")
    )
    whole, known = World().load(frame).with_reference(), World().load(cut).with_reference()
    return remembering(whole.reader), remembering(known.reader)


@EVERY
def test_what_comes_later_changes_nothing(analyzer: Analyzer) -> None:
    """Facts after ``as_of`` are in no answer: the world cut at that time says the same."""
    whole, cut = whole_and_cut()
    assert at_day_30(analyzer, cut) == at_day_30(analyzer, whole)
