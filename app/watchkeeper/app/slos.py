"""How every objective stands now: its SLI with interval, its burn, its budget, what is not known, and its gate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from watchkeeper.analyzers.memo import remembering
from watchkeeper.analyzers.slo.budget import due_steps
from watchkeeper.analyzers.slo.core.policy import DAY, MIN_BAD
from watchkeeper.analyzers.slo.core.slow import LIMIT
from watchkeeper.analyzers.slo.fallback import health
from watchkeeper.analyzers.slo_counts import BadRequests
from watchkeeper.analyzers.slo_own import with_own
from watchkeeper.analyzers.slo_state import State, restated, state_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import NotFound
from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.objectives import Objective
from watchkeeper.store.clock import Clock
from watchkeeper.store.facts.reader import FactReader

Stand = Literal["ok", "burning", "slow_burn", "exhausted", "no_data", "not_measurable"]
GateWord = Literal["open", "closed", "unknown"]
STALE = DAY
"""Without a counted event for so long, a budget is not known to be good."""
KEPT_SECONDS = 30.0
UNKNOWN_MATURITY = 0.5


class Burn(Struct, frozen=True):
    """One pair of windows: how fast the budget burns, from which rate on it alerts, and whether it does."""

    window: str
    seconds: float
    burn: float
    lower: float
    upper: float
    n: int
    limit: float
    severity: str
    can_fire: bool
    fires: bool


class Work(Struct, frozen=True):
    """Planned work that was left out of the budget."""

    id: str
    start: datetime
    end: datetime
    author: str
    reason: str


class Changed(Struct, frozen=True):
    """A budget that was told, and what it is by now: outcomes came late."""

    told_at: datetime
    told_left: float
    now_left: float


class Step(Struct, frozen=True):
    """One step of the budget policy, and whether it is due."""

    at: float
    do: str
    due: bool
    what: str | None = None


class Slo(Struct, frozen=True, kw_only=True):
    """One objective now. Shares are of events, or of slices of time; ``n`` counts them."""

    name: str
    service: str
    model: str
    description: str | None
    measure: str
    method: str
    target: float
    start: datetime
    end: datetime
    zone: str | None
    state: Stand
    reasons: list[str]
    sli: float | None
    sli_lower: float | None
    sli_upper: float | None
    n: int
    bad: float
    per_hour: float
    budget_allowed: float
    budget_left: float | None
    exhausted_at: datetime | None
    least_burn_seen: float | None
    burn: list[Burn]
    slow_burn: float | None
    slow_burn_limit: float | None
    maturity: float | None
    restated: list[Changed]
    planned: list[Work]
    fallback: str | None
    fallback_health: str
    policy: list[Step]
    gate: GateWord


class Slos(Struct, frozen=True):
    """Every objective, the worst budget first."""

    as_of: datetime
    slos: list[Slo]


class GateAnswer(Struct, frozen=True, kw_only=True):
    """What a deploy pipeline asks: go on, stop, or nobody knows."""

    slo: str
    gate: GateWord
    reason: str
    as_of: datetime
    state: Stand
    budget_left: float | None
    exhausted_at: datetime | None


_WORST: dict[str, int] = {"exhausted": 0, "burning": 1, "slow_burn": 2, "no_data": 3, "not_measurable": 4, "ok": 5}


@dataclass(frozen=True, slots=True)
class SloReader:
    """Reads what the objectives stand at; each call reads anew."""

    reader: FactReader
    declarations: Callable[[], Declarations]
    clock: Clock

    def every(self, service: str | None = None) -> Slos:
        """Give all objectives (of one service), the worst first."""
        declared, now = self.declarations(), self.clock()
        facts = remembering(self.reader)
        found = [
            self._one(facts, declared, one, now)
            for one in with_own(declared)
            if service is None or one.service == service
        ]
        left = {one.name: 2.0 if one.budget_left is None else one.budget_left for one in found}
        return Slos(now, sorted(found, key=lambda one: (_WORST[one.state], left[one.name], one.name)))

    def named(self, name: str) -> Slo:
        """Give one objective; NotFound where none is declared by that name."""
        declared = self.declarations()
        one = next((one for one in with_own(declared) if one.name == name), None)
        if one is None:
            known = ", ".join(sorted(other.name for other in with_own(declared)))
            raise NotFound(f"no objective {name!r} is declared; known: {known}")
        return self._one(remembering(self.reader), declared, one, self.clock())

    def gate(self, name: str) -> GateAnswer:
        """Say whether a deployment may go on."""
        slo = self.named(name)
        return GateAnswer(
            slo=name,
            gate=slo.gate,
            reason=_gate_reason(slo),
            as_of=self.clock(),
            state=slo.state,
            budget_left=slo.budget_left,
            exhausted_at=slo.exhausted_at,
        )

    def _one(self, facts: FactReader, declared: Declarations, objective: Objective, now: datetime) -> Slo:
        return told(facts, state_of(facts, declared, objective, now))


class KeptSlos:
    """Gives all objectives, read anew at most every half a minute: whoever scrapes often costs no more."""

    def __init__(self, slos: SloReader) -> None:
        self._slos = slos
        self._kept: Slos | None = None
        self._at = 0.0

    def __call__(self) -> Slos:
        """Give how they stand."""
        now = time.monotonic()
        if self._kept is None or now - self._at > KEPT_SECONDS:
            self._kept, self._at = self._slos.every(), now
        return self._kept


def told(facts: FactReader, state: State) -> Slo:
    """Say how one objective stands."""
    objective, whole, sli = state.objective, state.whole, state.sli
    burns = [_burn(state, number) for number in range(len(state.rows))] if whole.rows else []
    score, limit = _slow(facts, state)
    stand, reasons = _stand(state, burns, score, limit)
    lately = state.over(DAY) if state.over(DAY).rows else whole
    rate = state.burn(lately) if lately.rows else 0.0
    step_now = {id(step) for step in due_steps(state)} if whole.rows else set[int]()
    gone = _gone_at(state, rate) if whole.rows else None
    return Slo(
        name=objective.name,
        service=objective.service,
        model=state.model,
        description=objective.description or objective.display_name,
        measure=objective.sli.measure,
        method=objective.method,
        target=objective.target,
        start=state.window.start,
        end=state.window.end,
        zone=objective.calendar.zone if objective.calendar else None,
        state=stand,
        reasons=reasons,
        sli=sli[0] if sli else None,
        sli_lower=sli[1] if sli else None,
        sli_upper=sli[2] if sli else None,
        n=whole.rows,
        bad=whole.affected,
        per_hour=state.per_hour,
        budget_allowed=state.allowed,
        budget_left=state.budget_left() if whole.rows else None,
        exhausted_at=gone,
        least_burn_seen=state.seeing.least_burn,
        burn=burns,
        slow_burn=score,
        slow_burn_limit=limit,
        maturity=state.bad.maturity,
        restated=[Changed(one.told_at, one.told, one.now) for one in restated(facts, objective, state.as_of)],
        planned=[Work(one.id, one.start, one.end, one.author, one.reason) for one in state.planned],
        fallback=objective.fallback.name if objective.fallback else None,
        fallback_health=health(facts, objective, state.as_of),
        policy=[Step(one.at, one.do, id(one) in step_now, one.what) for one in objective.budget_policy],
        gate=_gate(state, stand),
    )


def _burn(state: State, number: int) -> Burn:
    row = state.rows[number]
    count = state.over(row.long)
    lower, upper = count.interval
    budget = state.objective.budget
    can = row.can_fire(budget)
    return Burn(
        row.name,
        row.long.total_seconds(),
        state.burn(count),
        lower / budget,
        upper / budget,
        count.rows,
        row.burn,
        row.severity.value,
        can,
        can and state.burns(row, MIN_BAD),
    )


def _gone_at(state: State, rate: float) -> datetime | None:
    """Say when the budget is gone at the last day's rate; None while it grows back as fast as it goes."""
    if state.budget_left() <= 0:
        return state.as_of
    return state.as_of + state.left_for(rate) if rate > 1 else None


def _slow(facts: FactReader, state: State) -> tuple[float | None, float | None]:
    """Give the newest sum of the slow-burn detector, and its limit."""
    window = Window(state.as_of - timedelta(days=3), state.as_of)
    rows = facts.readings("slow_burn", window, state.as_of, state.objective.service)
    values = rows.filter(subject=state.objective.name)["value"].to_list()
    return (values[-1], LIMIT) if values else (None, None)


def _stand(state: State, burns: list[Burn], score: float | None, limit: float | None) -> tuple[Stand, list[str]]:
    reasons: list[str] = []
    if not state.whole.rows:
        return "no_data", ["nothing was counted in the window"]
    if state.bad.maturity is not None and state.bad.maturity < 1:
        reasons.append(f"{100 * state.bad.maturity:.0f} % is known of what decides")
    reasons += [f"the rule on {one.window} can never fire at this target" for one in burns if not one.can_fire]
    reasons += _parts(state)
    reasons += [f"left out: {one.reason} ({one.author})" for one in state.planned]
    if state.budget_left() <= 0:
        return "exhausted", reasons
    spending = _spending(burns, score, limit)
    if spending is not None:
        return spending[0], [spending[1], *reasons]
    if not state.over(STALE).rows and state.bad.maturity is None:
        return "no_data", ["nothing was counted in the last day", *reasons]
    if state.objective.slice is None and not state.seeing.measurable:
        return "not_measurable", [*state.seeing.advice, *reasons]
    return "ok", reasons


def _parts(state: State) -> list[str]:
    """Say how each part of a composite objective stands, what burns most of the budget first."""
    if isinstance(state.bad, BadRequests):
        return []
    return [
        f"{part.name} (weight {part.weight:g}): {100 * (1 - count.share):.4g} % good of {count.rows}, "
        f"target {100 * part.objective.target:.6g} %"
        if count.rows
        else f"{part.name} (weight {part.weight:g}): nothing was counted, the others stand for it"
        for part, count in state.bad.standing(state.window.start)
    ]


def _spending(burns: list[Burn], score: float | None, limit: float | None) -> tuple[Stand, str] | None:
    """Say whether the budget goes too fast, or slowly but surely."""
    firing = [one for one in burns if one.fires]
    if firing:
        return "burning", f"burn {firing[0].burn:.1f} over {firing[0].window}, limit {firing[0].limit:.1f}"
    if score is not None and limit is not None and score >= limit:
        return "slow_burn", "it creeps up, see the finding of slo.slow_burn"
    return None


def _gate(state: State, stand: Stand) -> GateWord:
    """Close at the declared share of the budget, else once it is spent; say unknown where data lack."""
    if stand == "no_data" or (state.bad.maturity is not None and state.bad.maturity < UNKNOWN_MATURITY):
        return "unknown"
    shares = [one.at for one in state.objective.budget_policy if one.do == "close_gate"]
    return "closed" if state.spent >= min(shares, default=1.0) else "open"


def _gate_reason(slo: Slo) -> str:
    if slo.gate == "unknown":
        return slo.reasons[0] if slo.reasons else "too little is known"
    left = 0.0 if slo.budget_left is None else slo.budget_left
    said = f"{100 * left:.1f} % of the error budget is left"
    closing = [one.what for one in slo.policy if one.do == "close_gate" and one.what]
    return f"{said}: {closing[0]}" if slo.gate == "closed" and closing else said
