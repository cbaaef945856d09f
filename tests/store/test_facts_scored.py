"""Counts by score: what was given, and what came true as known at a time."""

from __future__ import annotations

from datetime import UTC

from store.facts_made import DAY, MINUTE, START, Made, event, outcome, window

from watchkeeper.store.facts.scored import known_bins, score_bins

PAIR = ("shop", "ranker")
SPAN = window(0 * DAY, 2 * DAY)


def scored() -> Made:
    made = Made(now=START + 9 * DAY)
    scores = (0.5, 0.5, 0.9, 0.0, 1.0, None, 1.5)
    made.load(
        *(
            event(id=f"p{n}", ts=START + n * MINUTE, prediction=n % 2 == 0, score=score)
            for n, score in enumerate(scores)
        ),
        event(id="text", ts=START, prediction="cat", score=0.5),
        event(id="inner", ts=START, prediction=True, score=0.5, operation="execute_tool"),
    )
    made.outcomes(*(outcome(f"p{n}", n < 3, START + (1 if n else 3) * DAY) for n in range(7)))
    return made


def test_scores_are_counted_by_their_log_odds_and_the_answer() -> None:
    rows = score_bins(scored().facts, PAIR, SPAN).rows()
    assert rows == [(-276, 0, 1), (0, 0, 1), (0, 1, 1), (44, 1, 1), (276, 1, 1)]


def test_what_is_known_is_known_at_a_time() -> None:
    facts = scored().facts
    early = known_bins(facts, PAIR, SPAN, (START + 2 * DAY).replace(tzinfo=UTC))
    late = known_bins(facts, PAIR, SPAN, (START + 4 * DAY).replace(tzinfo=UTC))
    assert early.drop("day").rows() == [(-276, 0, 1, 0), (0, 0, 1, 1), (44, 1, 1, 1), (276, 1, 1, 0)]
    assert late["n"].sum() == 5
    assert set(late["day"]) == {START.replace(hour=0, minute=0)}
