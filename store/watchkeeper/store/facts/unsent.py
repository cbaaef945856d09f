"""Rows, and what they stand for beside themselves where a sender samples: read together (see ``rollups``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from watchkeeper.store.facts.connection import FactStore


def beside(table: str) -> str:
    """Name the table that holds what the rows counted in one of traffic or latency stand for beside themselves.

    >>> beside("traffic_hour")
    'traffic_unsent_hour'
    """
    return table.replace("_", "_unsent_")


def holds(facts: FactStore, table: str, where: str, parameters: Mapping[str, object]) -> bool:
    """Say whether any row counted there stands for another number than one."""
    found = facts.read(f"SELECT EXISTS (FROM {beside(table)} WHERE {where}) AS found", dict(parameters))
    return bool(found.item())


def together(
    facts: FactStore, table: str, where: str, parameters: Mapping[str, object], columns: Sequence[str], counted: str
) -> str:
    """Give the SQL of what was sent and what was not; ``rows`` is what was sent of the column ``counted``.

    Where nothing was left out it is the table alone: that reads in two thirds of the time.
    """
    names = ", ".join(columns)
    sent = f"SELECT {names}, {counted} AS rows FROM {table} WHERE {where}"
    if not holds(facts, table, where, parameters):
        return f"({sent})"
    return f"({sent} UNION ALL SELECT {names}, 0 AS rows FROM {beside(table)} WHERE {where})"
