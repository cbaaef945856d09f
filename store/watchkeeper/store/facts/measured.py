"""What was measured of a model's days, kept so that it need not be measured again, and cannot be lost with the rows.

One text of what was learned from the reference, and one number a day and channel with the rows behind it. A new
reference begins anew. ``form`` says how it was measured: what another release measured otherwise is not read.
Kept as long as the reference is in force; its size grows with days and channels, not with traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast

import duckdb
import msgspec
import polars as pl

from watchkeeper.store.clock import stored
from watchkeeper.store.facts.connection import FactStore, first, insert

DAYS = {"late": pl.Boolean, "day": pl.Int32, "channel": pl.String, "value": pl.Float64, "rows": pl.Float64}


@dataclass(frozen=True, slots=True)
class Scope:
    """One model and its reference."""

    service: str
    model: str
    reference_end: datetime
    form: int

    @property
    def parameters(self) -> dict[str, object]:
        """Give what the conditions below need."""
        return {"service": self.service, "model": self.model, "end": stored(self.reference_end)}


_MINE = "service = $service AND model = $model AND reference_end = $end"


def read(facts: FactStore, scope: Scope) -> tuple[str, pl.DataFrame] | None:
    """Give what was learned and every kept day (columns DAYS); None where nothing is kept in this form."""
    given = scope.parameters
    learned = facts.read(
        f"SELECT learned FROM measured_models WHERE {_MINE} AND form = $form", given | {"form": scope.form}
    )
    if learned.height == 0:
        return None
    days = facts.read(f"SELECT {', '.join(DAYS)} FROM measured_days WHERE {_MINE} ORDER BY late, channel, day", given)
    return str(learned.item()), days


def write(facts: FactStore, scope: Scope, learned: str, since: int, late_since: int, days: pl.DataFrame) -> None:
    """Keep these days in place of those from ``since`` on (late ones from ``late_since`` on), and what was learned."""
    given = scope.parameters
    keys = {"service": scope.service, "model": scope.model, "reference_end": stored(scope.reference_end)}
    with facts.transaction() as connection:
        for late, from_day in ((False, since), (True, late_since)):
            connection.execute(
                f"DELETE FROM measured_days WHERE {_MINE} AND late = $late AND day >= $from_day",
                given | {"late": late, "from_day": from_day},
            )
        connection.execute(
            """DELETE FROM measured_models WHERE service = $service AND model = $model
               AND (reference_end <> $end OR learned <> $learned OR form <> $form)""",
            given | {"learned": learned, "form": scope.form},
        )
        connection.execute(
            "DELETE FROM measured_days WHERE service = $service AND model = $model AND reference_end <> $end", given
        )
        connection.execute(
            f"""INSERT INTO measured_models SELECT $service, $model, $end, $form, $learned
                WHERE NOT EXISTS (FROM measured_models WHERE {_MINE})""",
            given | {"learned": learned, "form": scope.form},
        )
        insert(
            connection, "measured_days", days.with_columns(pl.lit(value).alias(name) for name, value in keys.items())
        )


def relabel(connection: duckdb.DuckDBPyConnection, key: str, old: str, new: str) -> int:
    """Put another word in place of a value of a category or segment; give how many rows that changed."""
    changed = 0
    rows = connection.execute("SELECT rowid, learned FROM measured_models WHERE contains(learned, ?)", [old]).fetchall()
    for number, learned in rows:
        text = msgspec.json.encode(_relabelled(msgspec.json.decode(learned), old, new)).decode()
        if text != learned:
            connection.execute("UPDATE measured_models SET learned = ? WHERE rowid = ?", [text, number])
            changed += 1
    for label in (f"{key}=", "segment:"):
        changed += int(
            str(
                first(
                    connection,
                    "UPDATE measured_days SET channel = replace(channel, $old, $new) WHERE contains(channel, $old)",
                    {"old": f"{label}{old} ", "new": f"{label}{new} "},
                )[0]
            )
        )
    return changed


def _relabelled(value: object, old: str, new: str) -> object:
    """Change texts that are the value, in lists and in the values of objects."""
    if isinstance(value, str):
        return new if value == old else value
    if isinstance(value, list):
        return [_relabelled(part, old, new) for part in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: _relabelled(part, old, new) for name, part in cast("dict[str, object]", value).items()}
    return value
