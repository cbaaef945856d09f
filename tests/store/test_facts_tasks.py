"""Steps, loops, tool errors and cost of tasks, by hand-made traces."""

from __future__ import annotations

from store.facts_made import HOUR, MINUTE, SERVICE, START, WEEK, Made, event, window

from watchkeeper.store.facts.tasks import LOOP, tasks


def task(name: str, tools: int = 2, errors: int = 0, status: str = "ok") -> list[dict[str, object]]:
    """One agent run: a root, a model call and some tool calls, each of another tool."""
    rows = [event(trace_id=name, operation="chat", parent_id=f"{name}-root", cost=0.25, tokens_input=10)]
    for n in range(tools):
        bad = "error" if n < errors else "ok"
        called = {"operation": "execute_tool", "tool": f"tool {n}", "status": bad, "parent_id": f"{name}-root"}
        rows.append(event(trace_id=name, ts=START + n * MINUTE, **called))
    rows.append(
        event(id=f"{name}-root", trace_id=name, operation="invoke_agent", agent="clerk", status=status, cost=9.0)
    )
    return rows


def test_what_a_finished_task_takes() -> None:
    made = Made()
    failed = task("b", tools=4, errors=3, status="error")
    made.load(*task("a"), *failed, event(cost=99.0))
    [row] = tasks(made.facts, WEEK).to_dicts()
    assert (row["service"], row["workflow"]) == (SERVICE, "clerk")
    assert (row["tasks"], row["finished"], row["looping"]) == (2, 1, 0)
    assert (row["tool_calls"], row["tool_errors"]) == (6, 3)
    assert row["steps_per_task"] == (4 + 6) / 2
    assert row["cost_per_finished"] == 0.5, "what failed is paid for too"
    assert row["tokens_per_finished"] == 20.0


def test_the_same_tool_again_and_again_is_a_loop() -> None:
    made = Made()
    again = {"trace_id": "t", "parent_id": "r", "operation": "execute_tool", "tool": "search"}
    made.load(*(event(**again) for _ in range(LOOP - 1)), event(trace_id="t", operation="chat", workflow="w"))
    assert tasks(made.facts, WEEK)["looping"].to_list() == [0]
    made.load(event(**again))
    assert tasks(made.facts, WEEK)["looping"].to_list() == [1]


def test_an_attempt_is_no_step_and_what_nobody_priced_has_no_cost() -> None:
    made = Made()
    made.load(event(trace_id="t", operation="attempt", parent_id="r"), event(trace_id="t", operation="chat"))
    [row] = tasks(made.facts, WEEK).to_dicts()
    assert (row["steps_per_task"], row["cost_per_finished"], row["finished"]) == (1.0, None, 1)


def test_without_a_root_the_last_row_says_how_it_went_and_other_services_are_left_out() -> None:
    made = Made()
    inner = {"trace_id": "t", "parent_id": "never came", "operation": "chat"}
    made.load(event(ts=START, status="ok", **inner), event(ts=START + MINUTE, status="error", **inner))
    made.load(event(trace_id="u", service="other"))
    assert tasks(made.facts, WEEK, SERVICE)["finished"].to_list() == [0]
    assert tasks(made.facts, WEEK)["service"].to_list() == ["other", SERVICE]
    assert tasks(made.facts, window(-2 * HOUR, -1 * HOUR)).height == 0


def test_tasks_that_were_sampled_count_for_those_that_were_not() -> None:
    """Two of twenty good tasks came, each for ten; the failed one stands for itself."""
    made, whole = Made(), Made()
    whole.load(*(row for number in range(20) for row in task(f"a{number}")), *task("b", status="error"))
    for name in ("a3", "a11"):
        made.load(*(dict(row) | {"sample_weight": 10.0} for row in task(name)))
    made.load(*(dict(row) | {"sample_weight": 1.0} for row in task("b", status="error")))
    [truth], [found] = (tasks(one.facts, WEEK).to_dicts() for one in (whole, made))
    assert (truth["tasks"], truth["finished"], truth["rows"], found["rows"]) == (21, 20, 84, 12)
    assert found | {"rows": truth["rows"]} == truth
