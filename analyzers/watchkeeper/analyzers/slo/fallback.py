"""Would the fallback of an objective hold, if it were needed now?

A fallback that is a service of ours is judged by its own last day: it fails if it errs more often than the objective
that it stands in for allows, beyond what few requests do by chance. One that is no service of ours cannot be watched,
and one that had no request is not proven: neither is said to be well. Misleads where the fallback gets only the hard
requests.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases, slo_sampled
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Snapshot, settings_for
from watchkeeper.analyzers.intervals import Count
from watchkeeper.analyzers.slo.core.policy import MIN_BAD, sure
from watchkeeper.analyzers.slo_state import ALL_MODELS, only_model
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window
from watchkeeper.schemas.objectives import Fallback, Objective
from watchkeeper.store.facts.examples import Requests

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

DAY = timedelta(days=1)
PROVEN = timedelta(days=28)


class FallbackHealth:
    """The health of what answers when a promise breaks."""

    name = "slo.fallback"
    question = "Would the fallback of an objective hold, if it were needed now?"
    every = timedelta(hours=1)
    span = DAY
    quiet = timedelta(hours=3)

    @property
    def params(self) -> dict[str, Param]:
        """The least number of failed requests."""
        return {"min_bad": MIN_BAD}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge the fallback of every objective that names one of our services."""
        findings: list[Finding] = []
        judged: set[tuple[str, str]] = set()
        for objective in declared.objectives:
            fallback = objective.fallback
            if fallback is None or fallback.service is None:
                continue
            model = fallback.model or only_model(facts, fallback.service, as_of)
            settings = settings_for(self, declared, fallback.service, model)
            count = failures(facts, fallback, window)
            if not settings.enabled or count.rows == 0:
                continue
            judged.add((fallback.service, model))
            if sure(objective.budget, count, settings.number("min_bad")):
                shown = facts.example_ids(fallback.service, fallback.model or ALL_MODELS, window, Requests("errors"))
                severity = settings.severity_or(Severity.TICKET)
                findings.append(self._tell(objective, fallback, model, count, window, as_of, severity, shown))
        return Evaluation(tuple(findings), tuple[Reading, ...](), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share of requests that failed."""
        failed, requests = cast("list[int]", snapshot["failed"])
        return Count(failed, requests).share

    def _tell(
        self,
        objective: Objective,
        fallback: Fallback,
        model: str,
        count: Count,
        window: Window,
        as_of: datetime,
        severity: Severity,
        shown: tuple[str, ...],
    ) -> Finding:
        snapshot: Snapshot = {"failed": [count.affected, count.rows], "budget": objective.budget}
        return Finding(
            analyzer=self.name,
            service=fallback.service or "",
            model=model,
            metric=f"fallback {objective.name}",
            subjects=("ok", objective.name),
            window=window,
            as_of=as_of,
            observed=self.recompute(snapshot),
            severity=severity,
            summary=phrases.sentence(
                f"{fallback.service}: the fallback of {objective.service} ({fallback.name}) fails itself: "
                f"{phrases.percent(count.share)} of {count.rows} requests in a day, where {objective.name} allows "
                f"{phrases.percent(objective.budget)}."
            ),
            evidence=Evidence("share of failed requests", count.came, None, "C", snapshot),
            interval=count.interval,
            reference=objective.budget,
            unit="share",
            examples=shown,
            labels={"slo": objective.name},
        )


def failures(facts: FactReader, fallback: Fallback, window: Window) -> Count:
    """Count the failed requests of a fallback."""
    sampled = facts.sampled(window)
    frame = facts.traffic(window, service=fallback.service, model=fallback.model, weighted=sampled)
    if not sampled:
        return Count(int(frame["errors"].sum()), int(frame["requests"].sum()))
    return slo_sampled.whole(frame, facts.traffic(window, service=fallback.service, model=fallback.model))


def health(facts: FactReader, objective: Objective, as_of: datetime) -> str:
    """Say how the fallback stands: missing, unwatched, unproven (no request in 28 days), failing or ok."""
    fallback = objective.fallback
    if fallback is None:
        return "missing"
    if fallback.service is None:
        return "unwatched"
    count = failures(facts, fallback, Window(as_of - DAY, as_of))
    if count.rows == 0:
        lately = failures(facts, fallback, Window(as_of - PROVEN, as_of))
        return "unproven" if lately.rows == 0 else "failing" if sure(objective.budget, lately) else "ok"
    return "failing" if sure(objective.budget, count) else "ok"


ANALYZER = FallbackHealth()
