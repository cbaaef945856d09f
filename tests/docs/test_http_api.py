"""docs/http-api.md lists just the paths that the server has, and the queries with their parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from watchkeeper.app.access import OPEN_PATHS
from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.app.serving import create_app
from watchkeeper.schemas.settings import load
from watchkeeper.store.facts.queries import QUERIES

TEXT = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The paths of a real app over real stores; nothing is started."""
    settings, _ = load(None, {"WATCHKEEPER_SERVER_DATA_DIR": str(tmp_path_factory.mktemp("data"))})
    stores = open_stores(settings)
    try:
        return create_app(Rooms(settings, stores), None).openapi()["paths"]
    finally:
        stores.inbox.close()
        stores.control.close()
        stores.facts.close()


def row(path: str) -> str:
    (cell,) = re.findall(rf"^\| `{re.escape(path)}` \| (.+) \|$", TEXT, re.MULTILINE)
    return cell


def test_every_path_is_listed_once_and_no_other(paths):
    listed = re.findall(r"^\| `((?:GET|POST|DELETE) /\S*)` \|", TEXT, re.MULTILINE)
    assert sorted(listed) == sorted(f"{method.upper()} {path}" for path, methods in paths.items() for method in methods)


def test_the_parameters_of_lists_are_named(paths):
    for path in ("/v1/incidents", "/v1/findings"):
        named = set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row(f"GET {path}"))))
        assert named == {parameter["name"] for parameter in paths[path]["get"]["parameters"]}


def test_every_query_is_listed_with_its_question_and_parameters():
    rows = re.findall(r"^\| `(\w+)` \| (.+\?) \|(.*)\|$", TEXT.split("## Queries")[1], re.MULTILINE)
    listed = [(name, question, ("start", "end", *re.findall(r"`(\w+)`", rest))) for name, question, rest in rows]
    assert listed == [(name, query.question, query.parameters) for name, query in sorted(QUERIES.items())]


def test_the_paths_without_a_key_are_named():
    assert all(f"`{path}`" in TEXT.split("## In")[0] for path in OPEN_PATHS)
