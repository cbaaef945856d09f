"""One row a model: everything that Fleet health shows of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchkeeper.dashboard import asked, rows, series, verdict
from watchkeeper.dashboard.series import Key, Points

ABOUT_LATENCY = frozenset({"latency", "late", "latency_ms"})


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model of one service over seven days; what is not known is None."""

    key: Key
    name: str
    state: str
    incidents: tuple[rows.Incident, ...]
    budget: float | None
    budget_course: Points
    p95: float | None
    limit: float | None
    latency: Points
    share: Points
    drift: tuple[rows.Reading, ...]
    error: rows.Reading | None
    per_thousand: float | None
    cost_course: Points
    requests: float

    @property
    def share_now(self) -> float | None:
        """p95 of the last day, as a share of its objective."""
        return self.p95 / self.limit if self.p95 is not None and self.limit else None

    @property
    def drift_now(self) -> float | None:
        """PSI of the feature that moved most."""
        return self.drift[-1].value if self.drift else None

    @property
    def slow(self) -> bool:
        """Whether an open incident is about its latency."""
        return any(ABOUT_LATENCY & set(incident.subjects) for incident in self.incidents)

    @property
    def drifted(self) -> bool:
        """Whether an open incident is about the feature that moved most."""
        return bool(self.drift) and any(self.drift[-1].subject in incident.subjects for incident in self.incidents)


def models(head: asked.Head, numbers: asked.Fleet) -> list[ModelRow]:
    """Give one row a model, the worst first: by state, its incident's place among all, its error budget."""
    day = {(row.service, row.model): row for row in numbers.day}
    traffic = series.by_model(numbers.traffic)
    named = series.names((row.service, row.model) for row in numbers.week)
    drift, errors = series.top_drift(numbers.drift), series.latest(numbers.errors)
    budgets, costs = worst_budget(numbers.budgets), series.latest(numbers.costs)
    promised = {objective.service for objective in head.declared.objectives}
    found: list[ModelRow] = []
    for row in numbers.week:
        key = (row.service, row.model)
        incidents = tuple(verdict.of_model(head.incidents, key))
        limit = series.latency_limit(head.declared.objectives, key)
        latency = series.traffic_line(traffic.get(key, ()), lambda one: one.latency_p95_ms, numbers.step, numbers.span)
        today, course = day.get(key), budgets.get(row.service, ())
        found.append(
            ModelRow(
                key=key,
                name=named[key],
                state=verdict.state_of(
                    incidents,
                    asked_lately=bool(today and today.requests),
                    promised=row.service in promised,
                ),
                incidents=incidents,
                budget=course[-1].value if course else None,
                budget_course=series.reading_points(course),
                p95=today.latency_p95_ms if today else None,
                limit=limit,
                latency=latency,
                share=tuple((at, value / limit if value is not None else None) for at, value in latency)
                if limit
                else (),
                drift=tuple(drift.get(key, ())),
                error=errors.get((*key, "error")),
                per_thousand=_per_thousand(row, costs.get((*key, "cost"))),
                cost_course=_cost_course(key, traffic.get(key, ()), numbers),
                requests=row.requests or 0.0,
            )
        )
    places = {incident.id: place for place, incident in enumerate(head.incidents)}
    return sorted(
        found,
        key=lambda one: (
            verdict.STATES.index(one.state),
            places[one.incidents[0].id] if one.incidents else len(places),
            1.0 if one.budget is None else one.budget,
            one.name,
        ),
    )


def worst_budget(readings: Iterable[rows.Reading]) -> dict[str, tuple[rows.Reading, ...]]:
    """Give, for each service, the course of the objective that has least of its budget left now."""
    grouped: dict[str, dict[str, list[rows.Reading]]] = defaultdict(lambda: defaultdict(list))
    for reading in readings:
        if reading.value is not None:
            grouped[reading.service][reading.subject].append(reading)
    worst: dict[str, tuple[rows.Reading, ...]] = {}
    for service, objectives in grouped.items():
        courses = [tuple(sorted(course, key=lambda one: one.window_end)) for course in objectives.values()]
        worst[service] = min(courses, key=lambda course: course[-1].value or 0.0)
    return worst


def requests_course(numbers: asked.Fleet) -> list[float]:
    """Sum the requests of all models by bucket, without the bucket that has just begun."""
    by_bucket: dict[datetime, float] = defaultdict(float)
    for row in numbers.traffic:
        by_bucket[row.bucket] += row.requests or 0.0
    return [many for bucket, many in sorted(by_bucket.items()) if bucket + numbers.step <= numbers.span[1]]


def fleet_cost(models: Sequence[ModelRow]) -> tuple[float | None, list[float]]:
    """Give the cost of a thousand requests over all models with a known cost, by their requests, and its course."""
    priced = [model for model in models if model.per_thousand is not None]
    now = _weighted([(model.per_thousand or 0.0, model.requests) for model in priced])
    by_time: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for model in priced:
        for at, value in model.cost_course:
            if value is not None:
                by_time[at].append((value * 1000, model.requests))
    course = [_weighted(found) for _, found in sorted(by_time.items()) if len(found) == len(priced)]
    return now, [value for value in course if value is not None]


def _weighted(found: Sequence[tuple[float, float]]) -> float | None:
    return series.share(sum(value * weight for value, weight in found), sum(weight for _, weight in found))


def cost_per_request(row: rows.Overview | rows.Traffic | None) -> float | None:
    """Divide cost by requests, where a cost is known."""
    return series.share(row.cost, row.requests) if row is not None and row.cost is not None else None


def _per_thousand(row: rows.Overview, reading: rows.Reading | None) -> float | None:
    """Give what the service sent, else what the declared prices make of its tokens."""
    sent = cost_per_request(row)
    cost = sent if sent is not None else reading.value if reading is not None else None
    return None if cost is None else cost * 1000


def _cost_course(key: Key, traffic: Sequence[rows.Traffic], numbers: asked.Fleet) -> Points:
    sent = series.traffic_line(traffic, cost_per_request, numbers.step, numbers.span)
    if any(value is not None for _, value in sent):
        return sent
    mine = (one for one in numbers.costs if (one.service, one.model, one.subject) == (*key, "cost"))
    return series.reading_points(mine)
