"""What requests cost: the sender's own figure where it gave one, else dated prices of disjoint token classes.

A rollup row mixes requests with and without a declared cost; then the tokens are priced by the share of requests
without one. ``request`` prices are per million requests. Reasoning tokens without a price of their own cost what
output costs. What has tokens but no price is unknown, never free. Where a sender samples, money, tokens and requests
are those that its rows stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from watchkeeper.analyzers.evaluation import Scope
from watchkeeper.analyzers.maturity import DAY
from watchkeeper.analyzers.rows import TrafficRow, rows
from watchkeeper.schemas.declared import Price, PriceTable
from watchkeeper.schemas.findings import Window

MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Spend:
    """Money and traffic of one model; ``unknown`` names what has tokens but no price."""

    amount: float = 0.0
    currency: str = ""
    requests: int = 0
    errors: int = 0
    attempts: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    unknown: tuple[str, ...] = ()
    known: bool = False
    """Whether anything that costs was seen at all."""
    rows: int = 0
    """Rows that came: fewer than the requests where a sender samples."""

    @property
    def per_request(self) -> float:
        """Money a request."""
        return self.amount / self.requests if self.requests else 0.0


def price_on(
    tables: Iterable[PriceTable], provider: str | None, model: str, token_class: str, day: date
) -> tuple[float, str] | None:
    """Find the price in force: (per million, currency); the provider's own before one for all, newest first.

    >>> from datetime import date
    >>> old = Price(model="m", token_class="input", per_million=3.0, valid_from=date(2026, 1, 1))
    >>> new = Price(model="m", token_class="input", per_million=2.0, valid_from=date(2026, 6, 1))
    >>> table = PriceTable(name="t", currency="USD", prices=[old, new])
    >>> [price_on([table], "p", "m", "input", date(2026, month, 15)) for month in (5, 6)]
    [(3.0, 'USD'), (2.0, 'USD')]
    """
    found: list[tuple[bool, date, float, str]] = [
        (price.provider is not None, price.valid_from, price.per_million, table.currency)
        for table in tables
        for price in table.prices
        if price.model == model
        and price.token_class == token_class
        and price.provider in (None, provider)
        and _in_force(price, day)
    ]
    if not found:
        return None
    _, _, per_million, currency = max(found)
    return per_million, currency


def _in_force(price: Price, day: date) -> bool:
    return price.valid_from <= day and (price.valid_to is None or day < price.valid_to)


def spend_of(row: TrafficRow, tables: Sequence[PriceTable], day: date) -> Spend:
    """Price one row of traffic on one day."""
    declared = min(row.cost_n / row.requests, 1.0) if row.requests else 0.0
    amount, currency, unknown, known = row.cost, "", list[str](), row.cost_n > 0
    if declared < 1.0:
        for meter, quantity in _quantities(row).items():
            price = _price(row, tables, meter, day)
            if price is not None:
                amount += (1.0 - declared) * quantity * price[0] / MILLION
                currency, known = price[1], True
            elif quantity and meter != "request":
                unknown.append(meter)
    name = f"{row.provider}/{row.model}" if row.provider else row.model
    return Spend(
        amount,
        currency,
        row.requests,
        row.errors,
        row.attempts,
        row.tokens_input + row.tokens_cache_read + row.tokens_cache_write,
        row.tokens_output + row.tokens_reasoning,
        tuple(f"{name} {meter}" for meter in unknown),
        known,
        row.rows,
    )


def _price(row: TrafficRow, tables: Sequence[PriceTable], meter: str, day: date) -> tuple[float, str] | None:
    names = [row.model, row.model_version] if row.model_version else [row.model]
    classes = [meter, "output"] if meter == "reasoning" else [meter]
    for model in names:
        for one in classes:
            price = price_on(tables, row.provider, model or "", one, day)
            if price is not None:
                return price
    return None


def _quantities(row: TrafficRow) -> dict[str, int]:
    return {
        "input": row.tokens_input,
        "cache_read": row.tokens_cache_read,
        "cache_write": row.tokens_cache_write,
        "output": row.tokens_output,
        "reasoning": row.tokens_reasoning,
        "request": row.requests,
    }


def total(spends: Sequence[Spend]) -> Spend:
    """Add up; conserves money, requests and tokens.

    >>> total([Spend(1.0, "EUR", 10, known=True), Spend(2.0, "EUR", 5, known=True)]).per_request
    0.2
    """
    return Spend(
        sum(spend.amount for spend in spends),
        next((spend.currency for spend in spends if spend.currency), ""),
        sum(spend.requests for spend in spends),
        sum(spend.errors for spend in spends),
        sum(spend.attempts for spend in spends),
        sum(spend.tokens_in for spend in spends),
        sum(spend.tokens_out for spend in spends),
        tuple(sorted({name for spend in spends for name in spend.unknown})),
        any(spend.known for spend in spends),
        sum(spend.rows for spend in spends),
    )


def spending(scope: Scope, window: Window) -> Spend:
    """Price all traffic of the model in the window, each day at its own prices."""
    frame = scope.facts.traffic(window, service=scope.service, model=scope.model, step=DAY, weighted=True)
    return total([spend_of(row, scope.declared.prices, _day(row, window.start)) for row in rows(frame, TrafficRow)])


def _day(row: TrafficRow, start: datetime) -> date:
    return start.date() if row.bucket is None else row.bucket.replace(tzinfo=UTC).date()
