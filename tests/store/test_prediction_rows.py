"""A column of predictions is made when the first event fills it; readers see all of them at any time."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from store.facts_made import START, Made, event

from watchkeeper.store.facts import load, prediction_rows, tables
from watchkeeper.store.facts.connection import FactStore


def made_columns(made: Made) -> set[str]:
    with made.facts.transaction() as connection:
        return prediction_rows.columns(connection)


def read_columns(made: Made) -> list[str]:
    return [name for (name, *_) in made.rows("DESCRIBE predictions")]


def test_readers_see_every_column_from_the_start() -> None:
    made = Made()
    assert made_columns(made) == set(tables.PREDICTION_ALWAYS)
    assert read_columns(made) == list(tables.PREDICTION_TYPES)
    types = {name: kind for name, kind, *_ in made.rows("DESCRIBE predictions")}
    assert types["checks"].startswith("STRUCT(")
    assert types["extra"] == "VARIANT"


def test_a_column_is_made_by_the_first_event_that_fills_it() -> None:
    made = Made()
    made.load(event(id="a"))
    made.load(event(id="b", provider="lab"))
    made.load(event(id="c", provider="lab", extra={"k": 1}))
    assert made_columns(made) - set(tables.PREDICTION_ALWAYS) == {"provider", "extra"}
    assert made.rows("SELECT id, provider, extra::JSON::VARCHAR, score FROM predictions ORDER BY id") == [
        ("a", None, None, None),
        ("b", "lab", None, None),
        ("c", "lab", '{"k":1}', None),
    ]
    assert read_columns(made) == list(tables.PREDICTION_TYPES)


def test_a_large_table_is_folded_after_each_new_column(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made()
    made.load(event(id="a"))
    monkeypatch.setattr(load, "LARGE", 0)
    folded: list[int] = []
    monkeypatch.setattr(FactStore, "checkpoint", lambda facts: folded.append(len(made_columns(made))))
    made.load(event(id="b", provider="lab", score=0.5, latency_ms=1.0))
    always = len(tables.PREDICTION_ALWAYS)
    assert folded == [always + 1, always + 2, always + 3]


def test_a_reader_that_began_before_sees_what_there_was(tmp_path: Path) -> None:
    made = Made(tmp_path / "facts.duckdb")
    made.load(event(id="a"))
    with made.facts._connection.cursor() as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT id, provider FROM predictions").fetchall() == [("a", None)]
        made.load(event(id="b", provider="lab"))
        assert reader.execute("SELECT id, provider FROM predictions").fetchall() == [("a", None)]
        reader.execute("COMMIT")
        found = reader.execute("SELECT id, provider FROM predictions ORDER BY id").fetchall()
    assert found == [("a", None), ("b", "lab")]
    made.facts.close()


def test_a_file_with_every_column_keeps_its_rows(tmp_path: Path) -> None:
    """The first schema made all columns at once."""
    all_at_once = tables._created("predictions", tables.PREDICTION_TYPES)
    with duckdb.connect(str(tmp_path / "facts.duckdb")) as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER)")
        for statement in tables.STEPS[0]:
            connection.execute(all_at_once if statement.startswith("CREATE TABLE predictions") else statement)
        connection.execute("INSERT INTO schema_version VALUES (1)")
        connection.execute(
            "INSERT INTO predictions (id, ts, service, provider) VALUES ('old', ?, 'shop', 'lab')", [START]
        )
    made = Made(tmp_path / "facts.duckdb")
    made.load(event(id="p", tool="x"))
    assert made.rows("SELECT id, provider, tool FROM predictions ORDER BY id") == [
        ("old", "lab", None),
        ("p", None, "x"),
    ]
    made.facts.close()
