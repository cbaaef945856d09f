"""Does an objective creep towards its limit, slower than any burn rate sees?

Once a day the days since a frozen baseline (the first eight weeks of traffic, at least four) are summed up as daily
surprises; see ``core/slow.py`` for the method, what it estimates and when it misleads. Days that planned work touched
are left out. Of outcomes only days count that have had time to be known. Told with the slope, the change since the
baseline with its interval, when the objective would be missed at this rate, and its cost where a value is declared.
The baseline is read from rollups: it stays the same as long as these are kept (``retention.rollups_days``, 400 days),
after that the oldest eight weeks that are kept take its place; a finding's snapshot says which days it rests on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases, slo_sampled
from watchkeeper.analyzers.evaluation import Evaluation, Param, Reading, Settings, Snapshot, settings_for
from watchkeeper.analyzers.slo.core import slow
from watchkeeper.analyzers.slo_counts import DAY, cleared_days, events, matured_end, outcomes
from watchkeeper.analyzers.slo_state import only_model
from watchkeeper.analyzers.slo_words import SUBJECTS, examples, impact_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Impact, Severity, Window
from watchkeeper.schemas.objectives import READ, Objective

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

BASELINE = timedelta(days=56)
LONGEST = timedelta(days=1100)


class SlowBurn:
    """A slow rise of the share of bad events, against a frozen baseline."""

    name = "slo.slow_burn"
    question = "Does an objective creep towards its limit, slower than any burn rate sees?"
    every = DAY
    span = DAY
    quiet = timedelta(days=3)

    @property
    def params(self) -> dict[str, Param]:
        """Days of the baseline."""
        return {"baseline_days": 56}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every objective that counts events, and has not opted out."""
        findings: list[Finding] = []
        readings: list[Reading] = []
        judged: set[tuple[str, str]] = set()
        for objective in declared.objectives:
            model = objective.sli.model or only_model(facts, objective.service, as_of)
            settings = settings_for(self, declared, objective.service, model)
            if objective.sli.measure in READ or not objective.slow_burn or not settings.enabled:
                continue
            days = _days(facts, declared, objective, as_of)
            length = int(settings.number("baseline_days"))
            length = min(length, max(slow.LEAST_DAYS, len(days) - 1))  # a younger service: four weeks do, to begin
            baseline, after = slow.learn(days[:length]), days[length:]
            if baseline is None or not after:
                continue
            judged.add((objective.service, model))
            readings.append(self._reading(objective, model, baseline, after, window, as_of))
            found = slow.rise(baseline, after)
            if found is not None:
                finding = self._tell(declared, objective, model, settings, baseline, days[0].day, found, as_of)
                findings.append(replace(finding, examples=examples(facts, objective, finding.window)))
        return Evaluation(tuple(findings), tuple(readings), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Give the share since the rise began, the weekly cycle taken out."""
        bad, expected, total, baseline = (
            cast("float", snapshot[name]) for name in ("bad", "expected", "total", "baseline")
        )
        return baseline + (bad - expected) / total

    def _reading(
        self,
        objective: Objective,
        model: str,
        baseline: slow.Baseline,
        after: list[slow.DayCount],
        window: Window,
        as_of: datetime,
    ) -> Reading:
        score = slow.sums(baseline, after)[-1]
        return Reading(
            self.name, "slow_burn", objective.service, model, objective.name, window, as_of, score,
            n=round(after[-1].worth), reference=slow.LIMIT,
        )  # fmt: skip

    def _tell(
        self,
        declared: Declarations,
        objective: Objective,
        model: str,
        settings: Settings,
        baseline: slow.Baseline,
        first: date,
        found: slow.Rise,
        as_of: datetime,
    ) -> Finding:
        snapshot: Snapshot = {
            "bad": found.bad,
            "expected": found.expected,
            "total": found.total,
            "baseline": baseline.share,
            "baseline_days": baseline.days,
            "baseline_from": first.isoformat(),
            "dispersion": baseline.dispersion,
            "slope_per_day": found.slope,
            "score": found.score,
            "limit": slow.LIMIT,
        }
        today = as_of.date()
        breach = slow.breach(found, today, objective.budget)
        return Finding(
            analyzer=self.name,
            service=objective.service,
            model=model,
            metric=f"slow_burn {objective.name}",
            subjects=(SUBJECTS[objective.sli.measure], objective.name),
            window=Window(_midnight(found.since), as_of),
            as_of=as_of,
            observed=self.recompute(snapshot),
            severity=settings.severity_or(Severity.TICKET),
            summary=phrases.sentence(_sentence(objective, baseline, found, today, breach)),
            evidence=Evidence("CUSUM against a frozen baseline", round(found.worth), None, "C", snapshot),
            interval=(baseline.share + found.interval[0], baseline.share + found.interval[1]),
            reference=baseline.share,
            effect=found.change / baseline.share if baseline.share else None,
            unit="share",
            impact=_impact(declared, objective, found),
            since=_midnight(found.since),
            labels={"slo": objective.name},
        )


def _sentence(objective: Objective, baseline: slow.Baseline, found: slow.Rise, today: date, breach: date | None) -> str:
    low, high = (100 * one for one in found.interval)
    if breach is None:
        ahead = "no breach is in sight"
    elif breach <= today:
        ahead = "by now over its limit"
    else:
        ahead = f"missed by {breach.day} {breach:%b %Y} at this rate"
    return (
        f"{objective.service}: {objective.name} creeps up, {phrases.percent(found.share)} bad now against "
        f"{phrases.percent(baseline.share)} (+{low:.2g} to {high:.2g} points on average, "
        f"{700 * found.slope:+.2g} a week since {found.since.day} {found.since:%b}); {ahead}."
    )


def _impact(declared: Declarations, objective: Objective, found: slow.Rise) -> Impact | None:
    days = max((found.found - found.since) / DAY + 1, 1.0)
    return impact_of(declared, objective, (found.bad - found.expected) / days, "more bad events")


def _days(facts: FactReader, declared: Declarations, objective: Objective, as_of: datetime) -> list[slow.DayCount]:
    """Give whole days since the first full one, as known now."""
    firsts = [
        info.first_ts
        for info in facts.models(as_of)
        if info.service == objective.service and objective.sli.model in (None, info.model)
    ]
    end = matured_end(facts, objective, as_of) if objective.sli.measure == "quality" else as_of
    if not firsts or end is None:
        return []
    begin = max(_midnight(min(firsts).date() + DAY), as_of - LONGEST)
    window = Window(begin, _midnight(end.date()))
    if window.end <= window.start:
        return []
    if objective.sli.measure == "quality":
        counts: dict[date, list[float]] = {}
        for row in outcomes(facts, objective, window, as_of):
            if row.bucket is not None:
                sums = counts.setdefault(row.bucket.date(), [0.0, 0.0])
                sums[0] += row.wrong
                sums[1] += row.correct + row.wrong
        return [slow.DayCount(day, bad, total) for day, (bad, total) in sorted(counts.items())]
    frame = cleared_days(events(facts, objective, window, DAY), declared, objective)
    return [slow.DayCount(bucket.date(), *rest) for bucket, *rest in slo_sampled.days(frame).iter_rows()]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


ANALYZER = SlowBurn()
