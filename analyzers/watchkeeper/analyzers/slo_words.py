"""What findings about objectives say of them, in words, and which requests they show."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from watchkeeper.analyzers.phrases import span_words
from watchkeeper.analyzers.slo_state import ALL_MODELS
from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.objectives import Objective
from watchkeeper.store.facts.examples import Requests

if TYPE_CHECKING:
    from watchkeeper.store.facts.reader import FactReader

HOUR = timedelta(hours=1)
SHOWN = frozenset({"latency", "errors", "check_failures", "late", "retries"})
"""Measures whose bad requests can be looked up."""
SUBJECTS = {
    "latency": "latency",
    "errors": "ok",
    "check_failures": "checks",
    "check_coverage": "checks",
    "late": "latency",
    "retries": "attempts",
    "automation": "confidence",
    "quality": "error",
    "cost_per_request": "cost",
    "cost_per_success": "cost",
    "drift": "drift",
    "evaluation_lag": "evaluation",
}
"""What a finding about each measure is about."""
EVENTS = {"quality": "answers whose outcome is known", "evaluation_lag": "looks"}
"""What is counted, in words, where it is not requests."""


def counted(objective: Objective) -> str:
    """Name what is counted."""
    return (
        f"slices of {span_words(objective.slice)}" if objective.slice else EVENTS.get(objective.sli.measure, "requests")
    )


def rough(length: timedelta) -> str:
    """Round a time to one unit.

    >>> rough(timedelta(hours=50)), rough(timedelta(hours=5)), rough(timedelta(minutes=7))
    ('2 days', '5 hours', '7 minutes')
    """
    hours = length / HOUR
    number, unit = (hours / 24, "day") if hours >= 48 else (hours, "hour") if hours >= 2 else (hours * 60, "minute")
    return f"{round(number)} {unit}{'' if round(number) == 1 else 's'}"


def examples(facts: FactReader, objective: Objective, window: Window) -> tuple[str, ...]:
    """Give a few bad requests of a window, of measures whose requests can be looked up."""
    if objective.sli.measure not in SHOWN:
        return ()
    showing = Requests(objective.sli.measure, objective.sli.max_ms)
    return facts.example_ids(objective.service, objective.sli.model or ALL_MODELS, window, showing)
