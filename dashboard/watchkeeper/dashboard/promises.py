"""What the server answers about objectives, as typed frozen rows (see docs/http-api.md)."""

from __future__ import annotations

from watchkeeper.dashboard.rows import Row, Time


class Burn(Row, frozen=True, kw_only=True):
    """How fast the budget burns over one window, from which rate on that alerts, and whether it does."""

    window: str
    burn: float
    lower: float = 0.0
    upper: float = 0.0
    n: int = 0
    limit: float = 1.0
    severity: str = "ticket"
    can_fire: bool = True
    fires: bool = False


class PlannedWork(Row, frozen=True, kw_only=True):
    """Planned work that is left out of the budget."""

    start: Time
    end: Time
    author: str
    reason: str


class RestatedBudget(Row, frozen=True, kw_only=True):
    """What was told of a budget, and what it is by now."""

    told_at: Time
    told_left: float
    now_left: float


class PolicyStep(Row, frozen=True, kw_only=True):
    """What is done once so much of the budget is spent."""

    at: float
    do: str
    due: bool = False
    what: str | None = None


class Slo(Row, frozen=True, kw_only=True):
    """How one objective stands now."""

    name: str
    service: str
    target: float
    state: str
    start: Time
    end: Time
    model: str = "*"
    description: str | None = None
    measure: str = ""
    method: str = "Occurrences"
    zone: str | None = None
    reasons: tuple[str, ...] = ()
    sli: float | None = None
    sli_lower: float | None = None
    sli_upper: float | None = None
    n: int = 0
    bad: float = 0.0
    per_hour: float = 0.0
    budget_allowed: float = 0.0
    budget_left: float | None = None
    exhausted_at: Time | None = None
    burn: tuple[Burn, ...] = ()
    maturity: float | None = None
    restated: tuple[RestatedBudget, ...] = ()
    planned: tuple[PlannedWork, ...] = ()
    fallback: str | None = None
    fallback_health: str = "missing"
    policy: tuple[PolicyStep, ...] = ()
    gate: str = "unknown"


class Slos(Row, frozen=True, kw_only=True):
    """Every objective, the worst first."""

    as_of: Time
    slos: tuple[Slo, ...] = ()
