"""Evaluations and feedback as outcomes of the answer that they speak of."""

from __future__ import annotations

from collections.abc import Mapping

from watchkeeper.collector.genai.aliases import Aliases
from watchkeeper.collector.genai.mapping import NAME, clean_id, moment_time
from watchkeeper.collector.genai.span import Moment
from watchkeeper.collector.genai.tokens import number
from watchkeeper.schemas.events import Outcome


def outcome(table: Aliases, record: Moment, resource: Mapping[str, object]) -> Outcome | None:
    """Give the outcome of the span that a record belongs to (or of the response that it names), or None.

    A label that means right or wrong is told as true or false, else the score counts, else the label as it is.
    """
    found = table.fields(record.attributes)
    if record.trace_id and record.span_id:
        prediction_id = f"{record.trace_id}-{record.span_id}"
    else:
        prediction_id = clean_id(found, "response_id")
    value = _value(table, found)
    if prediction_id is None or value is None:
        return None
    service = resource.get("service")
    evaluation = str(found["evaluation"])[:NAME] if "evaluation" in found else None
    return Outcome(
        prediction_id=prediction_id,
        value=value,
        known_at=moment_time(record),
        service=str(service)[:NAME] if service else None,
        source=evaluation or record.name[:NAME] or None,
        evaluation=evaluation,
    )


def _value(table: Aliases, found: Mapping[str, object]) -> bool | float | str | None:
    label = str(found["evaluation_label"]) if "evaluation_label" in found else ""
    if label.lower() in table.feedback["right"]:
        return True
    if label.lower() in table.feedback["wrong"]:
        return False
    score = found.get("evaluation_score")
    if isinstance(score, bool):
        return score
    return number(score) if number(score) is not None else label[:NAME] or None
