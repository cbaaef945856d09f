"""What does a finished task take: steps, tool errors, loops, money?

A task is all that carries one ``trace_id``: the requests to models and tools that served one order. It is finished
where its root (the row without a parent; the last row where no root came) went well. A task loops where one and the
same tool or step was called ``LOOP`` times or more: some work needs that, a rise over last week is what tells.
Misleads at the window's borders, where only a part of a task is seen, and for roots that come later than their steps.
Where a sender samples, a task counts by the weight of its root and a call by its own: right where whole tasks are kept
or left out (``sample_key`` is the trace). Of steps that are sampled one by one few loops are seen; a failed step that
is kept of a task that is not counts as a failed task.
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
_FINISHED = "sum(weight) FILTER (finished)"


def tasks(facts: FactStore, window: Window, service: str | None = None) -> pl.DataFrame:
    """Count tasks by service and workflow; ``cost`` is null where no row has one, and divides all by the finished."""
    of_service = "AND service = $service" if service is not None else ""
    parameters: dict[str, object] = {"start_ts": stored(window.start), "end_ts": stored(window.end), "loop": LOOP}
    return facts.read(
        f"""
        WITH rows AS (
          SELECT *, coalesce(tool, step, operation, model) AS call,
                 coalesce(operation = 'execute_tool', tool IS NOT NULL, false) AS is_tool,
                 coalesce(operation IN ({_WRAPPERS}), false) AS wraps, coalesce(sample_weight, 1) AS weight
          FROM predictions
          WHERE ts >= $start_ts AND ts < $end_ts AND trace_id IS NOT NULL AND operation IS DISTINCT FROM 'attempt'
            {of_service}),
        calls AS (
          SELECT service, trace_id, call, count(*) AS times FROM rows WHERE parent_id IS NOT NULL GROUP BY ALL),
        loops AS (SELECT service, trace_id, max(times) >= $loop AS looping FROM calls GROUP BY ALL),
        by_task AS (
          SELECT service, trace_id, coalesce(max(workflow), max(agent) FILTER (parent_id IS NULL), '') AS workflow,
                 max_by(weight, (parent_id IS NULL, ts)) AS weight, count(*) AS rows,
                 sum(weight) AS steps, sum(weight) FILTER (is_tool) AS tool_calls,
                 sum(weight) FILTER (is_tool AND status = 'error') AS tool_errors,
                 max_by(status, (parent_id IS NULL, ts)) = 'ok' AS finished,
                 sum(weight * cost) FILTER (NOT wraps) AS cost,
                 sum(weight * (coalesce(tokens_input, 0) + coalesce(tokens_cache_read, 0)
                   + coalesce(tokens_cache_write, 0) + coalesce(tokens_output, 0) + coalesce(tokens_reasoning, 0)))
                   FILTER (NOT wraps) AS tokens
          FROM rows GROUP BY service, trace_id)
        SELECT service, workflow, {_whole("sum(weight)")} AS tasks, {_whole(_FINISHED)} AS finished,
               sum(steps) / sum(weight) AS steps_per_task, {_whole("sum(tool_calls)")} AS tool_calls,
               {_whole("sum(tool_errors)")} AS tool_errors, {_whole("sum(weight) FILTER (looping)")} AS looping,
               sum(tokens) / {_FINISHED} AS tokens_per_finished, sum(cost) / {_FINISHED} AS cost_per_finished,
               sum(rows)::BIGINT AS rows
        FROM by_task LEFT JOIN loops USING (service, trace_id) GROUP BY ALL ORDER BY service, workflow
        """,
        parameters | ({"service": service} if service is not None else {}),
    )


def _whole(count: str) -> str:
    """Give the SQL of a count to the nearest whole."""
    return f"round(coalesce({count}, 0))::BIGINT"
