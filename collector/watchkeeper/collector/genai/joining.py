"""The checks of an answer among the spans of one request: a guardrail or an evaluator and its parent.

Most senders end the spans of one request within a second and send them together; what comes apart is joined later (see
``linking``). Attempts are joined where they are stored (see ``store.facts.attempts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from watchkeeper.collector.genai.mapping import CHECKS
from watchkeeper.schemas.events import Check, Prediction

MAX_CHECKS = 50


def checked(rows: Sequence[Prediction]) -> list[Prediction]:
    """Give each prediction that a guardrail or an evaluator looked at the check as well; it keeps its own row."""
    gathered: dict[tuple[str, str], list[Check]] = {}
    for row in rows:
        if row.operation in CHECKS and row.parent_id and row.checks:
            gathered.setdefault((row.service, row.parent_id), []).extend(row.checks)
    if not gathered:
        return list(rows)
    found = ((row, gathered.get((row.service, row.id))) for row in rows)
    return [
        msgspec.structs.replace(row, checks=[*(row.checks or []), *checks][:MAX_CHECKS]) if checks else row
        for row, checks in found
    ]
