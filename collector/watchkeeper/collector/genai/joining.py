"""What belongs together among the spans of one batch: the attempts of one request, and the checks of one answer.

Most senders end the spans of one request within a second and send them together; what comes apart is joined later (see
``linking``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from watchkeeper.collector.genai.mapping import CHECKS
from watchkeeper.collector.genai.span import Span
from watchkeeper.schemas.events import INNER_OPERATIONS, Check, Fallback, Prediction

MAX_PAUSE_NS = 120 * 10**9
"""Waiting between two attempts beyond which they are two requests."""
MAX_CHECKS = 50
Pair = tuple[Span, Prediction]


def joined(pairs: Sequence[Pair]) -> list[Prediction]:
    """Give the predictions with their attempts and checks."""
    rows = {prediction.id: prediction for _, prediction in pairs}
    rows |= _checks(rows)
    for chain in _chains([(span, rows[span.id]) for span, _ in pairs]):
        first, last = chain[0], chain[-1]
        fallback = None
        if first.model != last.model:
            fallback = Fallback(from_model=first.model, reason=first.error_class)
        rows[last.id] = msgspec.structs.replace(last, attempts=min(len(chain), 1000), fallback=fallback)
        for earlier in chain[:-1]:
            rows[earlier.id] = msgspec.structs.replace(earlier, operation="attempt")
    return [rows[prediction.id] for _, prediction in pairs]


def _checks(rows: Mapping[str, Prediction]) -> dict[str, Prediction]:
    """Give each prediction that a guardrail or an evaluator looked at the check as well; it keeps its own row."""
    gathered: dict[str, list[Check]] = {}
    for prediction in rows.values():
        if prediction.operation in CHECKS and prediction.parent_id and prediction.parent_id in rows:
            gathered.setdefault(prediction.parent_id, []).extend(prediction.checks or [])
    return {
        parent_id: msgspec.structs.replace(parent, checks=[*(parent.checks or []), *checks][:MAX_CHECKS])
        for parent_id, checks in gathered.items()
        for parent in (rows[parent_id],)
    }


def _chains(pairs: Sequence[Pair]) -> list[list[Prediction]]:
    """Find runs of siblings of the same operation, one after the other, where all but the last failed."""
    siblings: dict[tuple[str, str, str | None], list[Pair]] = {}
    for span, prediction in pairs:
        if span.parent_id and prediction.operation not in INNER_OPERATIONS and span.start_ns:
            siblings.setdefault((span.trace_id, span.parent_id, prediction.operation), []).append((span, prediction))
    chains: list[list[Prediction]] = []
    for family in siblings.values():
        if len(family) > 1:
            chains += _runs(sorted(family, key=lambda pair: pair[0].start_ns))
    return chains


def _runs(family: Sequence[Pair]) -> list[list[Prediction]]:
    found: list[list[Prediction]] = []
    run: list[Pair] = []
    for pair in family:
        if run and not _follows(run[-1], pair[0]):
            run = []
        run.append(pair)
        if len(run) > 1 and pair[1].status == "ok":
            found.append([prediction for _, prediction in run])
            run = []
    return found


def _follows(before: Pair, span: Span) -> bool:
    """Say whether a span may be the next attempt: the one before failed, and was over."""
    failed = before[1].status == "error"
    return failed and 0 <= span.start_ns - before[0].end_ns <= MAX_PAUSE_NS
