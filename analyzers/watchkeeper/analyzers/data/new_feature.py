"""Does a feature come that the reference did not have?

A notice for a week after its first row: nothing is wrong with it, but nothing watches it either, until a reference
holds it. A ticket where a model sends more features than there are columns for: what exceeds is kept with each event
and never compared, and it is most often a name made anew for each event (a user's id inside it). Misleads where a
feature existed all along and was merely never sent in the reference's days. One that vanishes is told by
``data.missing``, one that changes its type by ``data.mismatch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from watchkeeper.analyzers import phrases
from watchkeeper.analyzers.evaluation import Evaluation, Param, Scope, Snapshot, scopes
from watchkeeper.analyzers.feature_days import FeatureDays, aware, feature_days, history
from watchkeeper.analyzers.rows import FeatureRow
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.findings import Evidence, Finding, Json, Severity, Window
from watchkeeper.store.facts.examples import WithAnyValue
from watchkeeper.store.facts.features import MAX_FEATURES, OVERFLOW

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

SHOWN = 5


class NewFeature:
    """Features without a reference, by the day of their first row."""

    name = "data.new_feature"
    question = "Does a feature come that the reference did not have?"
    every = timedelta(hours=1)
    span = timedelta(days=1)
    quiet = timedelta(days=1)

    @property
    def params(self) -> dict[str, Param]:
        """Rows that must hold it, and for how many days it is called new."""
        return {"min_rows": 30, "days": 7}

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Look at every model that has a reference."""
        findings: list[Finding] = []
        judged: set[tuple[str, str]] = set()
        for scope in scopes(self, facts, declared, window, as_of):
            if scope.reference is None:
                continue
            days, least = feature_days(scope), scope.settings.number("min_rows")
            if max((one.now.rows for one in days), default=0) >= least:
                judged.add(scope.pair)
            unknown = [one for one in days if _held(one.now) >= least and not any(map(_held, one.reference))]
            findings += self._findings(scope, unknown) if unknown else []
        return Evaluation(tuple(findings), (), frozenset(judged))

    def recompute(self, snapshot: Snapshot) -> float:
        """Count the features that are new."""
        return float(len(cast("list[str]", snapshot["features"])))

    def _findings(self, scope: Scope, unknown: Sequence[FeatureDays]) -> list[Finding]:
        past = history(scope)
        young = timedelta(days=scope.settings.number("days"))
        since: dict[str, datetime] = {}
        for one in unknown:
            first = next((aware(row.bucket) for row in past.get(one.feature, ()) if _held(row)), None)
            since[one.feature] = first or scope.window.start
        findings: list[Finding] = []
        if OVERFLOW in since:
            words = f"{scope.service} sends more than {MAX_FEATURES} features to {scope.model}: what exceeds is kept"
            said = f"{words} with each event, but not watched. Is there an id inside their names?"
            findings.append(self._finding(scope, (OVERFLOW,), since[OVERFLOW], Severity.TICKET, said))
        names = sorted(name for name in since if name != OVERFLOW and scope.window.end - since[name] <= young)
        if names:
            start = min(since[name] for name in names)
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            said = f"{scope.service} sends new features to {scope.model} since {phrases.day(start)}: "
            said += f"{', '.join(names[:SHOWN])}{more}; they are not watched until a reference holds them."
            findings.append(self._finding(scope, tuple(names), start, Severity.NOTICE, said))
        return findings

    def _finding(
        self, scope: Scope, names: tuple[str, ...], since: datetime, severity: Severity, summary: str
    ) -> Finding:
        snapshot: Snapshot = {"features": list[Json](names)}
        return Finding(
            analyzer=self.name,
            service=scope.service,
            model=scope.model,
            metric="new_features",
            subjects=names if len(names) == 1 else ("features", *names),
            window=scope.window,
            as_of=scope.as_of,
            observed=self.recompute(snapshot),
            severity=scope.settings.severity_or(severity),
            summary=phrases.sentence(summary),
            evidence=Evidence("in no reference", len(names), None, "C", snapshot),
            unit="features",
            since=since,
            examples=scope.examples(WithAnyValue(names[0])),
        )


def _held(row: FeatureRow) -> int:
    """Count the rows that hold the feature at all."""
    return row.rows - row.missing


ANALYZER = NewFeature()
