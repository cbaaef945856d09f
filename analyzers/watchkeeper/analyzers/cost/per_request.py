"""What does a request cost, and has that crept up?

A notice when the cost of a request is at least ``min_rise`` above the reference's on two days in a row, with the
tokens or attempts that rose besides. Misleads when the mix of requests changes: more of the long ones is dearer
without anything being wrong. What has no price is said to be unknown, and no cost is given for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Scope, Snapshot, scopes
from watchkeeper.analyzers.spending import Spend, spending
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.examples import Requests

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader


def rises(now: Spend, usual: Spend) -> Mapping[str, float]:
    """Say by what share cost, tokens and attempts per request rose.

    >>> rises(Spend(12.0, "USD", 100, attempts=100), Spend(10.0, "USD", 100, attempts=100))["cost"]
    0.2
    """
    pairs = {
        "cost": (now.amount, usual.amount),
        "tokens_in": (now.tokens_in, usual.tokens_in),
        "tokens_out": (now.tokens_out, usual.tokens_out),
        "attempts": (now.attempts, usual.attempts),
    }
    return {
        name: round((after / now.requests) / (before / usual.requests) - 1, 12)
        for name, (after, before) in pairs.items()
        if before and now.requests and usual.requests
    }


class PerRequest:
    """Money a request, by day."""

    name = "cost.per_request"
    question = "What does a request cost, and has that risen over the reference?"
    every = timedelta(days=1)
    span = timedelta(days=1)
    quiet = timedelta(days=3)

    @property
    def params(self) -> dict[str, Param]:
        """How much dearer is worth a notice, and how many requests a day it takes."""
        return {"min_rise": 0.2, "min_requests": 50}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Price every model's day."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            now = spending(scope, window)
            if now.unknown:
                findings += [self._unknown(scope, name, now) for name in now.unknown]
                continue
            if not now.requests:
                continue
            judged.add(scope.pair)
            if now.known:
                usual = None if scope.reference is None else spending(scope, scope.reference)
                readings.append(self._reading(scope, now, usual))
                finding = self._dearer(scope, now, usual) if usual is not None else None
                findings += [finding] if finding else []
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the cost of a request, or the requests without a price."""
        if "unpriced" in snapshot:
            return float(cast("int", snapshot["requests"]))
        return Spend(cast("float", snapshot["amount"]), requests=cast("int", snapshot["requests"])).per_request

    def _reading(self, scope: Scope, now: Spend, usual: Spend | None) -> Reading:
        return Reading(
            self.name,
            "cost_per_request",
            scope.service,
            scope.model,
            "cost",
            scope.window,
            scope.as_of,
            now.per_request,
            n=now.rows,
            reference=usual.per_request if usual and usual.known and not usual.unknown else None,
        )

    def _dearer(self, scope: Scope, now: Spend, usual: Spend) -> Finding | None:
        least = scope.settings.number("min_rise")
        before = spending(scope, scope.window.before(scope.window.length))
        if min(now.rows, before.rows) < scope.settings.number("min_requests") or usual.unknown:
            return None
        risen, earlier = rises(now, usual), rises(before, usual)
        if min(risen.get("cost", 0.0), earlier.get("cost", 0.0)) < least:
            return None
        others = [name for name in risen if name != "cost" and min(risen[name], earlier.get(name, 0.0)) >= least / 2]
        others.sort(key=lambda name: -risen[name])
        snapshot: Snapshot = {"amount": now.amount, "requests": now.requests, "rises": dict[str, Json](risen)}
        observed = self.recompute(snapshot)
        causes = "".join(f"; {name} per request rose by {phrases.percent(risen[name])}" for name in others)
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="cost_per_request",
            subjects=("cost", *others),
            window=scope.window,
            as_of=scope.as_of,
            observed=observed,
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"A request to {scope.model} of {scope.service} costs {phrases.amount(observed)} {now.currency}, "
                f"{phrases.percent(risen['cost'])} more than in the reference{causes}.".replace(" ,", ",")
            ),
            evidence=Evidence("ratio over the reference, two days", now.rows, None, "C", snapshot),
            reference=usual.per_request,
            effect=observed - usual.per_request,
            unit=now.currency,
            examples=scope.examples(Requests("cost")),
        )

    def _unknown(self, scope: Scope, name: str, now: Spend) -> Finding:
        snapshot: Snapshot = {"unpriced": name, "requests": now.requests}
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="unknown_price",
            subjects=(name,),
            window=scope.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(Severity.NOTICE),
            summary=phrases.sentence(
                f"There is no price for {name} tokens, so the cost of {now.requests} requests to {scope.service} is "
                "not known: declare one in a PriceTable."
            ),
            evidence=Evidence("price look-up", now.rows, None, "C", snapshot),
            unit="requests",
            data_state=DataState.ABSENT,
        )


ANALYZER = PerRequest()
