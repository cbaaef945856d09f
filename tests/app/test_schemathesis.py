"""Whatever the OpenAPI document allows is answered; never with a 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from e2e.running import Server
from hypothesis import HealthCheck, given, settings

EXAMPLES = settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=HealthCheck)


@pytest.fixture(scope="module")
def strange_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what is sent to it is nothing that another test should meet."""
    with Server(tmp_path_factory.mktemp("strange")) as server:
        yield server


def test_no_request_is_answered_with_a_500(strange_server: Server) -> None:
    """Without schemathesis' own pytest plugin, which does not know this pytest."""
    document = schemathesis.openapi.from_url(f"{strange_server.url}/openapi.json")
    asked: set[tuple[str, str]] = set()
    for found in document.get_all_operations():
        operation = found.ok()

        @EXAMPLES
        @given(operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            answer = case.call(timeout=30)
            asked.add((case.method, case.path))
            assert answer.status_code < 500 or answer.status_code == 503, (case.as_curl_command(), answer.text)

        holds()
    paths = strange_server.client.get("/openapi.json").json()["paths"]
    assert asked == {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert strange_server.client.get("/ready").status_code == 200
