from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from analyzers.world import World, day, from_day, made
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.analyzers.cost import per_request, per_success
from watchkeeper.analyzers.rows import TrafficRow
from watchkeeper.analyzers.spending import Spend, price_on, spend_of, total
from watchkeeper.schemas.declared import Declarations, Price, PriceTable
from watchkeeper.schemas.findings import DataState, Severity

REQUEST, SUCCESS = per_request.ANALYZER, per_success.ANALYZER


def price(token_class: str, per_million: float, valid_from: date = date(2026, 1, 1), **more: object) -> Price:
    return Price(model="m1", token_class=token_class, per_million=per_million, valid_from=valid_from, **more)


def table(*prices: Price) -> PriceTable:
    return PriceTable(name="t", currency="EUR", prices=list(prices))


COUNTS = ("requests", "errors", "attempts", "cost", "cost_n")
TOKENS = ("tokens_input", "tokens_cache_read", "tokens_cache_write", "tokens_output", "tokens_reasoning")


def row(**columns: object) -> TrafficRow:
    return TrafficRow(**(dict.fromkeys((*COUNTS, *TOKENS), 0) | {"service": "s", "model": "m1"} | columns))


DAY = date(2026, 6, 15)


def test_token_classes_add_up() -> None:
    prices = table(price("input", 3.0), price("cache_read", 0.3), price("output", 15.0), price("request", 100.0))
    used = row(requests=10, tokens_input=1_000_000, tokens_cache_read=2_000_000, tokens_output=100_000)
    spend = spend_of(used, [prices], DAY)
    assert spend.amount == pytest.approx(3.0 + 0.6 + 1.5 + 0.001)
    assert (spend.currency, spend.unknown, spend.known) == ("EUR", (), True)


def test_reasoning_costs_what_output_costs_unless_it_has_a_price() -> None:
    used = row(requests=1, tokens_reasoning=1_000_000)
    assert spend_of(used, [table(price("output", 15.0))], DAY).amount == 15.0
    assert spend_of(used, [table(price("output", 15.0), price("reasoning", 20.0))], DAY).amount == 20.0


def test_the_price_in_force_on_the_day_is_used() -> None:
    tables = [table(price("input", 3.0, valid_to=date(2026, 6, 1)), price("input", 2.0, date(2026, 6, 1)))]
    days = (date(2025, 12, 31), date(2026, 5, 31), date(2026, 6, 1))
    assert [price_on(tables, None, "m1", "input", one) for one in days] == [None, (3.0, "EUR"), (2.0, "EUR")]


def test_the_providers_own_price_comes_first() -> None:
    tables = [table(price("input", 3.0), price("input", 4.0, provider="p"), price("input", 9.0, provider="q"))]
    assert price_on(tables, "p", "m1", "input", DAY) == (4.0, "EUR")
    assert price_on(tables, "other", "m1", "input", DAY) == (3.0, "EUR")


def test_what_the_sender_declared_wins_and_the_rest_is_priced_by_share() -> None:
    prices = [table(price("input", 4.0))]
    declared = row(requests=10, tokens_input=1_000_000, cost=7.0, cost_n=10)
    assert spend_of(declared, prices, DAY).amount == 7.0
    half = row(requests=10, tokens_input=1_000_000, cost=7.0, cost_n=5)
    assert spend_of(half, prices, DAY).amount == pytest.approx(7.0 + 2.0)


def test_tokens_without_a_price_are_unknown_and_never_free() -> None:
    spend = spend_of(row(requests=10, tokens_input=5, provider="p"), [], DAY)
    assert (spend.unknown, spend.known) == (("p/m1 input",), False)


rows = st.builds(
    row,
    requests=st.integers(1, 1000),
    tokens_input=st.integers(0, 10**7),
    tokens_output=st.integers(0, 10**7),
    cost=st.floats(0, 100),
    cost_n=st.integers(0, 1000),
)


@given(st.lists(rows, max_size=20))
def test_a_total_conserves_money_requests_and_tokens(parts: list[TrafficRow]) -> None:
    prices = [table(price("input", 3.0), price("output", 15.0))]
    spends = [spend_of(part, prices, DAY) for part in parts]
    whole = total(spends)
    assert whole.amount == pytest.approx(sum(spend.amount for spend in spends))
    assert whole.requests == sum(part.requests for part in parts)
    assert whole.tokens_in + whole.tokens_out == sum(part.tokens_input + part.tokens_output for part in parts)
    assert total([total(spends[:3]), total(spends[3:])]).amount == pytest.approx(whole.amount)


def test_a_stable_cost_is_read_and_not_told() -> None:
    world = World().load(made(days=40)).with_reference()
    for number in range(16, 41, 4):
        evaluation = world.evaluate(REQUEST, day(number))
        assert evaluation.findings == ()
        assert [reading.value for reading in evaluation.readings] == [pytest.approx(0.01, rel=0.1)]


def test_a_dearer_request_is_a_notice_that_names_the_tokens() -> None:
    longer = [
        pl.when(from_day(20)).then(pl.col(name) * 1.4).otherwise(pl.col(name)).alias(name)
        for name in ("cost", "tokens_in")
    ]
    world = World().load(made(days=30).with_columns(longer)).with_reference()
    assert world.findings(REQUEST, day(21)) == ()
    finding = world.findings(REQUEST, day(24))[0]
    assert finding.severity is Severity.NOTICE
    assert finding.subjects == ("cost", "tokens_in")
    assert "more than in the reference; tokens_in per request rose by 4" in finding.summary


def test_a_model_without_a_price_is_said_to_be_without() -> None:
    world = World().load(made(days=20).drop("cost")).with_reference()
    evaluation = world.evaluate(REQUEST, day(18))
    assert evaluation.readings == ()
    assert {finding.subject for finding in evaluation.findings} == {"m1 input", "m1 output"}
    assert {finding.data_state for finding in evaluation.findings} == {DataState.ABSENT}
    assert {finding.severity for finding in evaluation.findings} == {Severity.NOTICE}
    prices = Declarations(prices=(table(price("input", 3.0), price("output", 15.0)),))
    priced = world.evaluate(REQUEST, day(18), prices)
    assert priced.findings == ()
    assert [reading.value for reading in priced.readings] == [pytest.approx((800 * 3 + 100 * 15) / 1e6, rel=0.05)]


def test_a_model_without_tokens_or_cost_is_left_alone() -> None:
    world = World().load(made(days=20).drop("cost", "tokens_in", "tokens_out")).with_reference()
    for analyzer in (REQUEST, SUCCESS):
        evaluation = world.evaluate(analyzer, day(18))
        assert (evaluation.findings, evaluation.readings) == ((), ())


def test_failures_and_wrong_answers_make_a_good_answer_dearer() -> None:
    frame = made(days=20).with_columns((pl.int_range(pl.len()) % 4 != 0).cast(pl.Int64).alias("ok"))
    plain = World().load(frame.drop("outcome", "outcome_ts")).with_reference().evaluate(SUCCESS, day(18)).readings[0]
    assert plain.value == pytest.approx(0.01 / 0.75, rel=0.1)
    assert plain.maturity is None
    matured = World().load(frame).with_reference().evaluate(SUCCESS, day(18)).readings[0]
    ripe = frame.filter(from_day(15) & ~from_day(16))
    right = (ripe["prediction"] == ripe["outcome"]).mean()
    assert matured.value == pytest.approx(ripe["cost"].sum() / (ripe["ok"].sum() * right))
    assert matured.maturity == 1.0
    assert matured.window.end == day(16)


def test_a_spend_of_nothing_is_zero() -> None:
    assert total([]) == Spend()
    assert Spend().per_request == 0.0
