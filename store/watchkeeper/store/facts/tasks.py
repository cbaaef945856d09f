"""What does a finished task take: steps, tool errors, loops, money?

A task is all that carries one ``trace_id``: the requests to models and tools that served one order. It is finished
where its root (the row without a parent; the last row where no root came) went well. A task loops where one and the
same tool or step was called ``LOOP`` times or more: some work needs that, a rise over last week is what tells.
Misleads at the window's borders, where only a part of a task is seen, and for roots that come later than their steps.
"""

from __future__ import annotations

import polars as pl

from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore

LOOP = 5
"""Calls of the same tool or step in one task."""
_WRAPPERS = "'invoke_agent', 'create_agent', 'invoke_workflow', 'chain', 'plan'"
"""Rows that hold others: their tokens and costs, where they have any, are those of the rows inside."""


def tasks(facts: FactStore, window: Window, service: str | None = None) -> pl.DataFrame:
    """Count tasks by service and workflow; ``cost`` is null where no row has one, and divides all by the finished."""
    of_service = "AND service = $service" if service is not None else ""
    parameters: dict[str, object] = {"start_ts": stored(window.start), "end_ts": stored(window.end), "loop": LOOP}
    return facts.read(
        f"""
        WITH rows AS (
          SELECT *, coalesce(tool, step, operation, model) AS call,
                 coalesce(operation = 'execute_tool', tool IS NOT NULL, false) AS is_tool,
                 coalesce(operation IN ({_WRAPPERS}), false) AS wraps
          FROM predictions
          WHERE ts >= $start_ts AND ts < $end_ts AND trace_id IS NOT NULL AND operation IS DISTINCT FROM 'attempt'
            {of_service}),
        calls AS (
          SELECT service, trace_id, call, count(*) AS times FROM rows WHERE parent_id IS NOT NULL GROUP BY ALL),
        loops AS (SELECT service, trace_id, max(times) >= $loop AS looping FROM calls GROUP BY ALL),
        by_task AS (
          SELECT service, trace_id, coalesce(max(workflow), max(agent) FILTER (parent_id IS NULL), '') AS workflow,
                 count(*) AS steps, count(*) FILTER (is_tool) AS tool_calls,
                 count(*) FILTER (is_tool AND status = 'error') AS tool_errors,
                 max_by(status, (parent_id IS NULL, ts)) = 'ok' AS finished, sum(cost) FILTER (NOT wraps) AS cost,
                 sum(coalesce(tokens_input, 0) + coalesce(tokens_cache_read, 0) + coalesce(tokens_cache_write, 0)
                   + coalesce(tokens_output, 0) + coalesce(tokens_reasoning, 0)) FILTER (NOT wraps) AS tokens
          FROM rows GROUP BY service, trace_id)
        SELECT service, workflow, count(*) AS tasks, count(*) FILTER (finished) AS finished,
               avg(steps) AS steps_per_task, sum(tool_calls)::BIGINT AS tool_calls,
               sum(tool_errors)::BIGINT AS tool_errors, count(*) FILTER (looping) AS looping,
               sum(tokens)::DOUBLE / nullif(count(*) FILTER (finished), 0) AS tokens_per_finished,
               sum(cost) / nullif(count(*) FILTER (finished), 0) AS cost_per_finished
        FROM by_task LEFT JOIN loops USING (service, trace_id) GROUP BY ALL ORDER BY service, workflow
        """,
        parameters | ({"service": service} if service is not None else {}),
    )
