"""The OpenAPI document: sound in itself, and the same routes as docs/http-api.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "http-api.md"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def openapi(shared_server) -> dict[str, Any]:
    return shared_server.get("/openapi.json")


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield method, path, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for name, value in part.items():
            if not name.startswith("x-"):
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def schemas(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "schema":
                yield value
            else:
                yield from schemas(value)
    elif isinstance(part, list):
        for value in part:
            yield from schemas(value)


def test_it_is_a_document_of_version_3_1(openapi):
    assert re.fullmatch(r"3\.1\.\d", openapi["openapi"])
    assert openapi["info"].keys() >= {"title", "version"}
    names = [operation["operationId"] for _, _, operation in operations(openapi)]
    assert len(names) == len(set(names)) > 15


def test_every_operation_says_what_it_is_and_answers_and_declares_its_path_parameters(openapi):
    for _method, path, operation in operations(openapi):
        assert operation["summary"], path
        assert all(re.fullmatch(r"[1-5](\d\d|XX)|default", status) for status in operation["responses"])
        assert all(answer["description"] for answer in operation["responses"].values())
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), path
        places = {(p["in"], p["name"]) for p in operation.get("parameters", [])}
        assert len(places) == len(operation.get("parameters", []))


def test_every_reference_leads_somewhere_and_every_schema_is_one(openapi):
    for reference in references(openapi):
        target: Any = openapi
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    found = [*schemas(openapi["paths"]), *openapi["components"]["schemas"].values()]
    assert len(found) > 20
    for schema in found:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_event_schemas_that_the_ingest_routes_point_to_are_there(openapi, shared_server):
    events = shared_server.get("/v1/schemas")
    pointed = {
        operation["requestBody"]["x-event-schema"]["$ref"]
        for _, _, operation in operations(openapi)
        if "x-event-schema" in operation.get("requestBody", {})
    }
    assert pointed == {f"/v1/schemas#/{kind}" for kind in ("predictions", "outcomes", "reviews", "changes")}
    for kind, schema in events.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert f"/v1/schemas#/{kind}" in pointed or kind in {"gpu_samples", "feedback"}


def test_the_page_and_the_document_list_the_same_routes(openapi):
    served = {(method.upper(), re.sub(r"{\w+}", "{}", path)) for method, path, _ in operations(openapi)}
    listed = set()
    for line in DOCUMENT.read_text().splitlines():
        spoken = re.findall(r"`(?:(GET|POST|DELETE) )?(/[\w/{}.]+)`", line)
        method = next((given for given, _ in spoken if given), "GET")
        listed |= {(given or method, re.sub(r"{\w+}", "{}", path)) for given, path in spoken}
    assert served - listed == set(), "routes that docs/http-api.md lacks"
    assert listed - served == {("GET", "/openapi.json")}, "routes that only docs/http-api.md knows"
