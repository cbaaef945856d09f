"""The client: typed answers, and errors that say what to do next."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from dashboard.conftest import Serve
from dashboard.world import NOW

from watchkeeper.dashboard import asked, problem
from watchkeeper.dashboard.client import DEFAULT_URL, Client, server_key, server_url
from watchkeeper.schemas.errors import InputError, NotAllowed, NotFound, SettingsError, Unavailable, WatchkeeperError

Ask = Callable[[str], Client]


def refused(serve: Serve, code: int) -> WatchkeeperError:
    client = Client(serve(refuse=code).url)
    try:
        with pytest.raises(WatchkeeperError) as caught:
            client.status()
    finally:
        client.close()
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (401, NotAllowed, "WATCHKEEPER_API_KEY"),
        (403, NotAllowed, "WATCHKEEPER_API_KEY"),
        (404, NotFound, "refused on purpose"),
        (422, InputError, "refused on purpose"),
        (429, Unavailable, "refused on purpose"),
        (500, Unavailable, "refused on purpose"),
        (503, Unavailable, "refused on purpose"),
    ],
)
def test_a_refusal_says_what_to_do(serve: Serve, code: int, kind: type[WatchkeeperError], says: str) -> None:
    error = refused(serve, code)
    assert type(error) is kind
    assert says in str(error)


def test_no_server_is_one_sentence_with_the_address_and_the_command() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = Client(url)
        with pytest.raises(Unavailable) as caught:
            client.status()
        client.close()
    words = problem.sentence(caught.value)
    assert words == (
        f"No server answers at `{url}`\\: start it with `watchkeeper serve`, or set WATCHKEEPER\\_URL to where it runs."
    )


def test_something_else_on_the_port_is_told_apart(serve: Serve) -> None:
    stub = serve()
    stub.world.status = lambda: {"hello": "world"}  # type: ignore[method-assign]
    client = Client(stub.url)
    with pytest.raises(Unavailable, match="not understood"):
        client.status()
    client.close()


def test_the_key_travels_as_a_bearer_and_nothing_from_the_environment_does(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    stub = serve()
    client = Client(stub.url, key="wk_secret")
    client.status()
    client.close()
    assert stub.keys == ["Bearer wk_secret"]


def test_address_and_key_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("wk_file\n", encoding="utf-8")
    assert server_url({}) == DEFAULT_URL
    assert server_key({}) is None
    assert server_key({"WATCHKEEPER_API_KEY": "wk_env", "WATCHKEEPER_API_KEY_FILE": str(file)}) == "wk_env"
    assert server_key({"WATCHKEEPER_API_KEY_FILE": str(file)}) == "wk_file"
    with pytest.raises(SettingsError, match="WATCHKEEPER_API_KEY_FILE"):
        server_key({"WATCHKEEPER_API_KEY_FILE": str(tmp_path / "none")})


def test_one_burst_asks_each_question_once(serve: Serve) -> None:
    stub = serve()
    client = Client(stub.url)
    found = asked.fleet(client, NOW)
    client.close()
    assert len(stub.asked) == len(set(stub.asked)) == 9
    assert {row.service for row in found.week} == {row.service for row in found.day}
    assert len(found.traffic) <= 6 * 100


@pytest.mark.parametrize("days", [1, 7, 28, 90, 400])
def test_no_line_has_more_points_than_a_chart_needs(days: int) -> None:
    span = (NOW - timedelta(days=days), NOW)
    assert (span[1] - asked.aligned(span[0], asked.step_of(span))) / asked.step_of(span) <= asked.MOST_STEPS + 1


def test_a_model_is_asked_for_by_service_and_model(ask: Ask) -> None:
    found = asked.model(
        ask("degraded"), "flight-delay", "delay-gbm", asked.WINDOWS["all"], NOW, NOW - timedelta(days=40)
    )
    assert found.span == (NOW - timedelta(days=40), NOW)
    assert found.step == timedelta(days=1)
    assert {row.service for row in found.traffic} == {"flight-delay"}
    assert [one.value for one in found.unseen] == ["JBU", "JBUX"]


def test_a_server_that_cannot_name_new_values_still_shows_the_model(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = serve()
    asked_before = stub.world.query
    monkeypatch.setattr(
        stub.world, "query", lambda name, params: None if name == "unseen" else asked_before(name, params)
    )
    client = Client(stub.url)
    found = asked.model(client, "flight-delay", "delay-gbm", asked.FLEET, NOW, NOW - asked.FLEET)
    client.close()
    assert found.unseen == ()
    assert found.bins


def test_evidence_starts_before_the_onset(ask: Ask) -> None:
    found = asked.evidence(ask("degraded"), "inc-7f3a", NOW)
    assert found.span[0] == found.onset - asked.BEFORE
    assert found.readings
    assert {one.feature for one in found.bins} == {"carrier"}
    assert found.changes
