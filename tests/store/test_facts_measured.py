"""Measured days are kept for one reference and one form, replaced from a day on, and rid of a person's value."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
from store.facts_made import DAY, START, Made

from watchkeeper.store.facts import measured
from watchkeeper.store.facts.erasure import ERASED, erase
from watchkeeper.store.sealed import SealedDays
from watchkeeper.store.subjects import Subject

SCOPE = measured.Scope("shop", "m", START.replace(tzinfo=None), 1)


def days(*numbers: int, value: float = 1.0, channel: str = "x mean", late: bool = False) -> pl.DataFrame:
    rows = [{"late": late, "day": n, "channel": channel, "value": value, "rows": 9.0} for n in numbers]
    return pl.DataFrame(rows, schema=measured.DAYS)


def test_days_are_replaced_from_one_on_and_late_ones_for_themselves() -> None:
    made = Made()
    both = pl.concat([days(0, 1, 2), days(0, 1, channel="error", late=True)])
    measured.write(made.facts, SCOPE, "{}", 0, 0, both)
    measured.write(made.facts, SCOPE, '{"more": 1}', 1, 2, days(1, 2, 3, value=2.0))
    found = measured.read(made.facts, SCOPE)
    assert found is not None
    assert found[0] == '{"more": 1}'
    assert found[1]["value"].to_list() == [1.0, 2.0, 2.0, 2.0, 1.0, 1.0]


def test_another_form_is_not_read_and_another_reference_begins_anew() -> None:
    made = Made()
    measured.write(made.facts, SCOPE, "{}", 0, 0, days(0))
    assert measured.read(made.facts, replace(SCOPE, form=2)) is None
    later = replace(SCOPE, reference_end=SCOPE.reference_end + DAY)
    measured.write(made.facts, later, "{}", 0, 0, days(0, 1))
    assert measured.read(made.facts, SCOPE) is None
    assert made.value("SELECT count(*) FROM measured_days") == 2
    measured.write(made.facts, replace(later, form=2), "{}", 0, 0, days(0))
    assert made.value("SELECT count(*) FROM measured_models") == 1


def test_a_persons_value_goes_from_what_was_learned_and_from_the_names(tmp_path) -> None:
    made = Made()
    learned = json.dumps({"name": "name", "categories": [{"values": ["u-17", "u-171"], "top": ["u-17"]}]})
    measured.write(made.facts, SCOPE, learned, 0, 0, days(0, channel="user_id=u-17 share"))
    erase(made.facts, SealedDays(tmp_path / "sealed"), [Subject("user_id", "u-17"), Subject("user_id", "values")])
    found = measured.read(made.facts, SCOPE)
    assert found is not None
    assert json.loads(found[0]) == {"name": "name", "categories": [{"values": [ERASED, "u-171"], "top": [ERASED]}]}
    assert found[1]["channel"].to_list() == [f"user_id={ERASED} share"]
