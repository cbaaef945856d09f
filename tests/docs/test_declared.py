"""docs/declared.md has every kind with its fields and an example that is taken, and so are the example files."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from watchkeeper.alerts.delivery import registry
from watchkeeper.alerts.delivery.addresses import check_receivers
from watchkeeper.alerts.routing.routing import check_routes
from watchkeeper.analyzers.evaluation import check_monitors
from watchkeeper.analyzers.registry import discover
from watchkeeper.schemas import objectives, openslo
from watchkeeper.schemas.declared import KINDS, Declared, Price, Template, parse
from watchkeeper.schemas.objectives import Sli
from watchkeeper.schemas.times import Times
from watchkeeper.store.control.apply import read

ROOT = Path(__file__).parents[2]
SECTIONS = {
    part.splitlines()[0]: part
    for part in re.split(r"^## ", (ROOT / "docs" / "declared.md").read_text(), flags=re.MULTILINE)[1:]
}
FOLDERS = ("examples/watchkeeper.d", "app/watchkeeper/app/demo/declared")
SPECS = KINDS | {"SLO": openslo.SloSpec, "Objective": openslo.OwnSpec}
PARTS = {
    "TimeInterval": (Times,),
    "PriceTable": (Price,),
    "Receiver": (Template,),
    "Objective": (Sli, objectives.BurnRule, objectives.BudgetStep, objectives.Fallback),
}


def fields(struct: type[msgspec.Struct]) -> list[tuple[str, bool]]:
    found = [(field.encode_name, field.required) for field in msgspec.structs.fields(struct)]
    return [(name, required) for name, required in found if name != "name" or not issubclass(struct, Declared)]


def test_every_kind_has_a_section():
    assert set(SECTIONS) == set(SPECS)


@pytest.mark.parametrize("kind", SECTIONS)
def test_the_example_is_of_its_kind(kind):
    (example,) = re.findall(r"^```yaml\n(.*?)^```", SECTIONS[kind], re.MULTILINE | re.DOTALL)
    assert parse(yaml.safe_load(example), "example")[0] == ("Objective" if kind == "SLO" else kind)


@pytest.mark.parametrize("kind", SECTIONS)
def test_the_tables_hold_the_fields(kind):
    tables = re.findall(r"^\|---\|---\|---\|\n((?:\|.*\n)+)", SECTIONS[kind], re.MULTILINE)
    structs = (SPECS[kind], *PARTS.get(kind, ()))
    for table, struct in zip(tables, structs, strict=True):
        rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| .+ \|$", table, re.MULTILINE)
        assert sorted((name, word == "required") for name, word in rows) == sorted(fields(struct))


def test_every_receiver_is_named():
    (row,) = re.findall(r"^\| `type` \| required \| (.+) \|$", SECTIONS["Receiver"], re.MULTILINE)
    assert re.findall(r"`(\w+)`:", row) == registry.known()


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_folder_can_be_applied(folder):
    documents, declarations = read(ROOT / folder, [check_receivers, check_routes])
    assert documents
    check_monitors(declarations.monitors, discover())


def test_the_examples_show_every_kind():
    documents, _ = read(ROOT / FOLDERS[0])
    assert {kind for kind, _ in documents} == set(SECTIONS) - {"SLO"}
