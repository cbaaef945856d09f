"""How many events of a composite objective were bad: its parts' shares, weighted.

The share of bad events is the mean of the parts' shares by weight, the budget the mean of their budgets: as if requests
were drawn from the parts in proportion to their weights. So a part burns the common budget as fast as its weight says,
however much traffic it has. A part without events in a stretch says nothing of it: the others stand for the whole, at
the same burn rate. How exactly the mean is known is said by the number of events that would know it as exactly: a part
with few events and much weight makes it small. Misleads where the parts fail for one reason together: then the mean is
known less exactly than said. Source: OpenSLO v1 (compositeWeight); the specification leaves the arithmetic open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.slo_counts import BadRequests, bad_requests
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Json
from watchkeeper.schemas.objectives import Component, Objective

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader


@dataclass(frozen=True, slots=True)
class Weighted:
    """Bad events of all parts together, asked like those of one objective; ``maturity`` is that of the least known."""

    end: datetime
    parts: tuple[tuple[Component, BadRequests], ...]
    budget: float

    @property
    def finest(self) -> timedelta:
        """The shortest window that says anything of every part."""
        return max(bad.finest for _, bad in self.parts)

    @property
    def maturity(self) -> float | None:
        """The share of what decides that is known, of the part of which least is."""
        return min((bad.maturity for _, bad in self.parts if bad.maturity is not None), default=None)

    def over(self, length: timedelta) -> Count:
        """Weigh the last stretch of this length."""
        return self.between(self.end - length)

    def between(self, start: datetime, end: datetime | None = None) -> Count:
        """Weigh the stretch that begins at a time and ends at another, or now."""
        counts = [(part, bad.between(start, end)) for part, bad in self.parts]
        return weighed(counts, self.budget)

    def standing(self, start: datetime) -> list[tuple[Component, Count]]:
        """Give each part's own count since a time, the one that burns most of the common budget first."""
        counts = [(part, bad.between(start)) for part, bad in self.parts]
        return sorted(counts, key=lambda one: -one[0].weight * one[1].share)


def weighed(counts: list[tuple[Component, Count]], budget: float) -> Count:
    """Give the count that has the weighted share, and as many events as would know it as exactly.

    >>> from watchkeeper.schemas.objectives import Sli
    >>> def part(weight, target):
    ...     one = Objective(name="x", service="s", sli=Sli(measure="errors"), target=target, days=28)
    ...     return Component(name="x", weight=weight, objective=one)
    >>> found = weighed([(part(3, 0.99), Count(2, 100)), (part(1, 0.99), Count(10, 100))], 0.01)
    >>> round(found.share, 6), found.rows
    (0.04, 160)
    """
    known = [(part, count) for part, count in counts if count.rows]
    if not known:
        return Count(0, 0)
    whole = sum(part.weight for part, _ in known)
    share = sum(part.weight * count.share for part, count in known) / whole
    allowed = sum(part.weight * part.objective.budget for part, _ in known) / whole
    share = min(share * (budget / allowed), 1.0)
    rows = int(whole**2 / sum(part.weight**2 / count.worth for part, count in known) + 1e-9)
    return Count(share * max(rows, 1), max(rows, 1))


def counted_bad(
    facts: FactReader, declared: Declarations, objective: Objective, end: datetime
) -> BadRequests | Weighted:
    """Read what an objective needs at a time, of a composite one what its parts need."""
    if not objective.components:
        return bad_requests(facts, declared, objective, end)
    parts = [(part, bad_requests(facts, declared, part.objective, end)) for part in objective.components]
    return Weighted(end, tuple(parts), objective.budget)


def shown_parts(bad: BadRequests | Weighted, start: datetime) -> dict[str, Json]:
    """Give what a snapshot keeps of the parts."""
    if isinstance(bad, BadRequests):
        return {}
    return {
        part.name: {
            "weight": part.weight,
            "target": part.objective.target,
            "bad": count.affected,
            "total": count.rows,
        }
        for part, count in bad.standing(start)
    }
