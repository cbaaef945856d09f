"""How often checks, evaluations and people said of an answer what came true: counts by day and by who said it.

The truth is an outcome without a name; one with a name is an evaluation, which is itself held against the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.examples import LIMIT
from watchkeeper.store.facts.outcomes import in_force

_WHERE = "service = $service AND model = $model AND prediction_ts >= $start_ts AND prediction_ts < $end_ts"
_SPAN = "service = $service AND model = $model AND ts >= $start_ts AND ts < $end_ts"
_TRUTH = f"{_WHERE} AND evaluation IS NULL"
_ANYTHING = f"""EXISTS (SELECT 1 FROM matched WHERE {_WHERE} AND evaluation IS NOT NULL) OR EXISTS (
    SELECT 1 FROM reviews WHERE (service IS NULL OR service = $service) AND ts >= $start_ts AND ts <= $as_of)"""
_IN_FORCE = "known_at <= $as_of AND (superseded_at IS NULL OR superseded_at > $as_of)"
_CUTS = f"""
    SELECT name, arg_max(score, abs(gain)) AS cut, arg_max(gain, abs(gain)) > 0 AS low_is_wrong FROM (
      SELECT name, score, sum(wrong) OVER upto / sum(wrong) OVER whole
             - sum(right_n) OVER upto / sum(right_n) OVER whole AS gain
      FROM (SELECT m.evaluation AS name, m.value_number AS score, count(*) FILTER (t.correct = false) AS wrong,
                   count(*) FILTER (t.correct) AS right_n
            FROM (SELECT * FROM matched WHERE {_WHERE} AND evaluation IS NOT NULL AND {_IN_FORCE}) m
            JOIN (SELECT * FROM matched WHERE {_TRUTH} AND {_IN_FORCE}) t USING (prediction_id, prediction_ts)
            WHERE m.correct IS NULL AND isfinite(m.value_number) AND t.correct IS NOT NULL GROUP BY ALL)
      WINDOW upto AS (PARTITION BY name ORDER BY score ROWS UNBOUNDED PRECEDING), whole AS (PARTITION BY name))
    WHERE isfinite(gain) GROUP BY name"""
"""Where the score of an evaluation best tells wrong from right (Youden's J): at the cut or under it lie the wrong ones,
or the right ones."""
MOST_CHECKS = 50
REVIEWS = "reviews"
"""Stands for the people, where a check has its name."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Which scores of an evaluation call an answer wrong: those up to ``at``, else those above it."""

    name: str
    at: float
    low_is_wrong: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """Against what is held what was said: the truth alone, or without any all that came, evaluations too.

    ``cuts`` are the scored evaluations that are read.
    """

    alone: bool = False
    cuts: tuple[Cut, ...] = ()

    @property
    def where(self) -> str:
        """The outcomes that count."""
        return _TRUTH if self.alone else _WHERE


ANY_OUTCOME = Truth()


def is_any_judged(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> bool:
    """Say whether there is any evaluation or review of answers of the window: few models have any."""
    return bool(facts.read(f"SELECT {_ANYTHING} AS said", _parameters(pair, window, as_of)).item())


def truth_delay(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> tuple[int, float]:
    """Give how many outcomes are the truth itself, and after how many days nine of ten of them were known."""
    row = facts.read(
        f"""SELECT count(*) AS n, coalesce(quantile_cont(epoch(known_at - prediction_ts) / 86400, 0.9), 0) AS q90
            FROM matched WHERE {_TRUTH} AND {_IN_FORCE}""",
        _parameters(pair, window, as_of),
    ).row(0)
    return int(row[0]), float(row[1])


def truth_known(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> int:
    """Count the predictions of a window whose truth was known by then."""
    return truth_delay(facts, pair, window, as_of)[0]


def cuts(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime) -> tuple[Cut, ...]:
    """Learn from a window which scores of each evaluation mean a wrong answer."""
    rows = facts.read(f"{_CUTS} ORDER BY name", _parameters(pair, window, as_of)).rows()
    return tuple(Cut(str(name), float(at), bool(low)) for name, at, low in rows)


def said_days(
    facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime, truth: Truth = ANY_OUTCOME
) -> pl.DataFrame:
    """Count by ``kind`` (check, evaluation, review), ``name`` and ``day`` what was said of right and wrong answers.

    ``caught``: called wrong and wrong; ``false_alarm``: called wrong and right; ``missed``: called right and wrong;
    ``passed``: called right and right. Of several reviews of one answer the last one known at ``as_of`` counts; one
    that was escalated says neither.
    """
    return facts.read(
        f"""SELECT * FROM (SELECT kind, name, day, count(*) FILTER (called AND wrong) AS caught,
                   count(*) FILTER (called AND NOT wrong) AS false_alarm,
                   count(*) FILTER (NOT called AND wrong) AS missed,
                   count(*) FILTER (NOT called AND NOT wrong) AS passed
            FROM ({_said(facts, pair, window, as_of, truth)}) GROUP BY ALL)
            QUALIFY dense_rank() OVER (ORDER BY kind DESC, name) <= {MOST_CHECKS} ORDER BY ALL""",
        _parameters(pair, window, as_of, truth),
    )


def _said(facts: FactStore, pair: tuple[str, str], window: Window, as_of: datetime, truth: Truth) -> str:
    parameters = _parameters(pair, window, as_of)
    return f"""WITH known AS (
          SELECT prediction_id, prediction_ts, NOT correct AS wrong
          FROM {in_force(facts, truth.where, parameters)} WHERE correct IS NOT NULL)
        SELECT 'check' AS kind, c.name, time_bucket(INTERVAL 1 DAY, p.ts) AS day, NOT c.passed AS called, k.wrong,
               p.id, p.ts
        FROM (SELECT id, ts, unnest(checks) AS c FROM predictions WHERE {_SPAN} AND checks IS NOT NULL) p
        JOIN known k ON k.prediction_id = p.id AND k.prediction_ts = p.ts
        UNION ALL BY NAME
        SELECT 'review' AS kind, '{REVIEWS}' AS name, time_bucket(INTERVAL 1 DAY, k.prediction_ts) AS day,
               r.decision <> 'approved' AS called, k.wrong, k.prediction_id AS id, k.prediction_ts AS ts
        FROM known k JOIN (
          SELECT prediction_id, decision FROM reviews
          WHERE (service IS NULL OR service = $service) AND ts >= $start_ts AND ts <= $as_of
            AND decision <> 'escalated'
          QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY ts DESC, received_at DESC) = 1) r
          USING (prediction_id){_EVALUATED if truth.alone else ""}"""


_EVALUATED = f"""
        UNION ALL BY NAME
        SELECT 'evaluation' AS kind, e.evaluation AS name, time_bucket(INTERVAL 1 DAY, k.prediction_ts) AS day,
               coalesce(NOT e.correct, (e.value_number <= c.cut) = c.low_is_wrong) AS called, k.wrong,
               k.prediction_id AS id, k.prediction_ts AS ts
        FROM known k
        JOIN (SELECT prediction_id, prediction_ts, evaluation, correct, value_number FROM matched
              WHERE {_WHERE} AND evaluation IS NOT NULL AND {_IN_FORCE}) e USING (prediction_id, prediction_ts)
        LEFT JOIN (SELECT unnest($cut_names::VARCHAR[]) AS name, unnest($cut_at::DOUBLE[]) AS cut,
                          unnest($cut_low::BOOLEAN[]) AS low_is_wrong) c ON c.name = e.evaluation
        WHERE e.correct IS NOT NULL OR (isfinite(e.value_number) AND c.cut IS NOT NULL)"""


@dataclass(frozen=True, slots=True)
class Disagreeing:
    """The newest answers of which a check, an evaluation or a person said other than what came true."""

    kind: str
    name: str
    as_of: datetime
    truth: Truth = ANY_OUTCOME

    def ids(self, facts: FactStore, pair: tuple[str, str], window: Window) -> tuple[str, ...]:
        """Look them up."""
        rows = facts.read(
            f"""SELECT id FROM ({_said(facts, pair, window, self.as_of, self.truth)})
                WHERE kind = $kind AND name = $name AND called <> wrong ORDER BY ts DESC, id LIMIT {LIMIT}""",
            _parameters(pair, window, self.as_of, self.truth) | {"kind": self.kind, "name": self.name},
        )
        return tuple(rows["id"].to_list())


def _parameters(
    pair: tuple[str, str], window: Window, as_of: datetime, truth: Truth = ANY_OUTCOME
) -> dict[str, object]:
    parameters: dict[str, object] = {
        "service": pair[0],
        "model": pair[1],
        "start_ts": stored(window.start),
        "end_ts": stored(window.end),
        "as_of": stored(as_of),
    }
    if truth.alone:
        parameters["cut_names"] = [cut.name for cut in truth.cuts]
        parameters["cut_at"] = [cut.at for cut in truth.cuts]
        parameters["cut_low"] = [cut.low_is_wrong for cut in truth.cuts]
    return parameters
