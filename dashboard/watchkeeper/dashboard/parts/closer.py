"""A closer look at one model: what analyzers read beside its course, each as a small table with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from watchkeeper.dashboard import format as fmt
from watchkeeper.dashboard import rows
from watchkeeper.dashboard.parts import cards

SHOWN = 12
NEEDS = "_needs_rows"
"""Ends the name of a reading that says how many rows it would take."""


@dataclass(frozen=True)
class Look:
    """One table: whose readings it shows, in which words."""

    analyzer: str
    title: str
    question: str
    how: str
    measures: Mapping[str, str]
    """What each metric is called; those not named are not shown."""
    written: str = "share"
    """``points``: a difference of shares; ``share``: of 1; ``number``: anything else."""
    also: Mapping[str, str] = field(default_factory=dict[str, str])
    """How single metrics are written that are unlike the others."""


LOOKS = (
    Look(
        "quality.fairness",
        "Protected groups",
        "Are groups treated, or failed, unequally?",
        "Each group of a protected attribute against all others over seven days, 95 % intervals (Newcombe). Groups "
        "with few rows are not judged. A gap is no proof of unfairness, nor its absence of fairness.",
        {
            "selection_gap": "said yes to",
            "error_gap": "wrong",
            "false_positive_gap": "wrongly said yes to",
            "false_negative_gap": "missed",
        },
        written="points",
    ),
    Look(
        "quality.selective",
        "Decided without a person",
        "Is what the model decides by itself still right, and does it still decide as much?",
        "Predictions at or above their declared confidence threshold, over seven days: the error of the newest whose "
        "outcomes are known. Risk: the error among the surest cases, whatever the threshold.",
        {
            "automation_rate": "decided by itself",
            "selective_error": "wrong of these",
            "risk_at_coverage": "risk",
            "aurc": "mean risk (AURC)",
        },
    ),
    Look(
        "quality.agreement",
        "Checks and reviews against outcomes",
        "Do checks and people still say what later comes true?",
        "Over the newest seven days whose outcomes are known. Kappa is agreement beyond chance, 1 at most. What is "
        "reviewed is seldom a fair sample.",
        {"agreement": "agrees", "kappa": "kappa", "caught_share": "wrong ones caught"},
        also={"kappa": "number"},
    ),
    Look(
        "quality.slices",
        "Slices that got worse",
        "Is there a part of the traffic that it fails more often than it did?",
        "All conjunctions of up to two conditions over segments and inputs, searched in a sample of the newest week "
        "whose outcomes are known: those that stand out most. Only what is told as a finding is beyond chance.",
        {"slice_error": "wrong", "slices_searched": "slices searched", "slices_refused": "refused, too few rows"},
        also={"slices_searched": "number", "slices_refused": "number"},
    ),
    Look(
        "quality.ranking",
        "Ranking",
        "Does what turns out to be relevant still stand where it was ranked?",
        "Over the newest seven days whose outcomes are known; rankings without anything relevant are left out. "
        "Only what was shown high can turn out relevant: a bad order may look good.",
        {
            "ndcg_at_10": "NDCG@10",
            "mrr": "first relevant (MRR)",
            "precision_at_10": "precision@10",
            "relevant_share": "with anything relevant",
        },
        written="number",
        also={"precision_at_10": "share", "relevant_share": "share"},
    ),
    Look(
        "drift.reasons",
        "Reasons",
        "Does it decide for other reasons than in the reference?",
        "The share of decisions that give each reason code, each input's share of the attributions, over seven days. "
        "NDCG: how well the reference's order of inputs still fits; below 0.9 it is another order.",
        {"reason_share": "given for", "attribution_share": "of attributions", "attribution_ndcg": "order (NDCG)"},
        also={"attribution_ndcg": "number"},
    ),
    Look(
        "drift.classifier",
        "All inputs together",
        "Can a classifier tell this week from the reference, and by which inputs?",
        "AUC of a linear classifier over places, squares and products of the inputs, on days that it has not seen; "
        "0.5 is chance. Each input's part of what it learned. Seasons are told apart too: it is no alert.",
        {"domain_auc": "AUC", "domain_part": "part"},
        also={"domain_auc": "number"},
    ),
)


ANALYZERS = tuple(look.analyzer for look in LOOKS)


def show(found: Mapping[str, Sequence[rows.Reading]]) -> None:
    """Show the tables that have rows."""
    for look in LOOKS:
        listed = newest(found.get(look.analyzer, ()), look)
        if listed:
            with st.container(border=True, gap="small"):
                cards.heading(look.title, look.question, look.how)
                st.table(  # pyright: ignore[reportUnknownMemberType]  # its data may be numpy's
                    [cells(one, look) for one in listed[:SHOWN]], border="horizontal", hide_index=True
                )
                if len(listed) > SHOWN:
                    st.caption(f"{len(listed) - SHOWN} more: ask `/v1/queries/readings` for `{look.analyzer}`.")


def newest(readings: Iterable[rows.Reading], look: Look) -> list[rows.Reading]:
    """Keep what the newest evaluation read, in the order in which it was read."""
    named = [one for one in readings if one.metric.removesuffix(NEEDS) in look.measures and one.as_of is not None]
    last = max((one.as_of for one in named if one.as_of is not None), default=None)
    return [one for one in named if one.as_of == last]


def cells(one: rows.Reading, look: Look) -> dict[str, str]:
    """Write one reading; one that only says how many rows it would take says so.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> gap = rows.Reading(metric="error_gap", service="s", subject="segment:sex=f", window_end=at, value=0.05,
    ...                    lower=0.01, upper=0.09, reference=0.0, n=1200)
    >>> list(cells(gap, LOOKS[0]).values())[2:]
    ['+5.0\\u2009pt (+1.0\\u2009pt to +9.0\\u2009pt)', '+0.0\\u2009pt', '1\\u2009200']
    """
    metric = one.metric.removesuffix(NEEDS)
    kind = look.also.get(metric, look.written)
    now = _written(one.value, kind)
    if one.metric.endswith(NEEDS):
        now = f"too few: it takes {fmt.number(one.value)}"
    elif one.lower is not None and one.upper is not None:
        now = f"{now} ({_written(one.lower, kind)} to {_written(one.upper, kind)})"
    return {
        "what": fmt.literal(one.subject.removeprefix("segment:")),
        "measure": look.measures[metric],
        "now": now,
        "reference": _written(one.reference, kind),
        "rows": fmt.number(one.n),
    }


def _written(value: float | None, kind: str) -> str:
    if value is None:
        return fmt.UNKNOWN
    if kind == "points":
        return f"{100 * value:+.1f}{fmt.THIN}pt"
    return fmt.percent(value) if kind == "share" else fmt.number(value)
