"""Every decoder keeps the contract: whatever is sent, the answer is no 500 and the loader goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector.sent import TS
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchkeeper.collector import decoders, registry
from watchkeeper.collector.decoding import Sent
from watchkeeper.collector.inbox import Inbox
from watchkeeper.collector.routes import IngestRoutes
from watchkeeper.schemas.errors import InputError, SettingsError
from watchkeeper.schemas.settings import Ingest

FOUND = registry.discover(Ingest())
DOORS = [
    pytest.param(name, door.path, media, id=f"{door.path} {media or 'no type'}")
    for name, decoder in FOUND.items()
    for door in decoder.doors
    for media in door.types
]
ANY_DOOR = pytest.mark.parametrize(("name", "path", "media"), DOORS)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
JUNK = st.binary(max_size=300) | VALUES.map(lambda value: json.dumps(value).encode())


def door_of(name: str, path: str):
    return next(door for door in FOUND[name].doors if door.path == path)


@ANY_DOOR
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=JUNK)
def test_junk_is_refused_or_kept_and_what_is_kept_can_be_read(name: str, path: str, media: str, junk: bytes) -> None:
    decoder, door = FOUND[name], door_of(name, path)
    encoding = door.types[media]
    try:
        taken = decoder.check(Sent(door.kind, encoding, junk, 100, {}))
    except InputError:
        return
    assert taken.rows >= 0
    if taken.rows:
        events = decoder.events(door.kind, encoding, taken.body)
        rows = [*events.predictions, *events.outcomes, *events.reviews, *events.changes, *events.gpus, *events.halves]
        assert rows or events.rejected or events.ignored


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    inbox = Inbox(
        Path(tmp_path_factory.mktemp("inbox")) / "inbox.db", queue_bytes=2**26, queue_requests=99, backlog_bytes=2**30
    )
    app = FastAPI()
    app.include_router(IngestRoutes(inbox, Ingest()).router())
    with TestClient(app) as made:
        yield made
    inbox.close()


@ANY_DOOR
def test_every_door_is_open_and_answers_in_its_own_words(client: TestClient, name: str, path: str, media: str) -> None:
    for body in (b"", b"\x00\xff" * 50, b"{", b"[" * 5000, b'{"a":1}'):
        answer = client.post(path, content=body, headers={"Content-Type": media})
        assert answer.status_code in (200, 400), answer.text
        assert answer.headers["content-type"] == FOUND[name].answer_type(door_of(name, path).types[media])
    assert client.post(path, content=b"", headers={"Content-Type": "image/png"}).status_code == 415


def test_every_file_in_the_folder_is_a_decoder() -> None:
    files = {file.stem for file in Path(decoders.__file__).parent.glob("*.py")} - {"__init__"}
    assert files <= FOUND.keys()
    assert {kind for decoder in FOUND.values() for kind in decoder.kinds} == registry.by_kind(FOUND).keys()


def test_who_sends_only_json_pays_for_no_other_library() -> None:
    code = (
        "import sys; from watchkeeper.collector.registry import discover;"
        "from watchkeeper.schemas.settings import Ingest;"
        "discover(Ingest()); print([m for m in ('pyarrow', 'google.protobuf', 'opentelemetry') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PLUGIN = """
from watchkeeper.collector.decoding import Door, Events, PlainJson, Taken, plain_reply
from watchkeeper.schemas.events import Change

class Deploys(PlainJson):
    kinds = ("{kind}",)
    doors = (Door("{path}", "{kind}", "Take deploys", {{"{media}": "text"}}),)
    def check(self, sent):
        return Taken(sent.body, 1, plain_reply(1, ()))
    def events(self, kind, encoding, body):
        return Events(changes=[Change(kind="deploy", title=body.decode(), service="shop", ts={TS})])

def build(ingest):
    return Deploys()
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another package on the path, as pip would leave it."""

    def make(value: str, **parts: str) -> None:
        (tmp_path / "deploys_plugin.py").write_text(
            PLUGIN.format(**({"TS": str(TS), "kind": "deploys", "path": "/v1/deploys", "media": "text/plain"} | parts))
        )
        info = tmp_path / "deploys_plugin-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deploys-plugin\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[watchkeeper.decoders]\ndeploys = {value}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "deploys_plugin", raising=False)

    return make


def test_another_package_may_bring_a_decoder_and_its_path(plugin, tmp_path: Path) -> None:
    plugin("deploys_plugin:build")
    assert registry.discover(Ingest()).keys() == FOUND.keys() | {"deploys"}
    inbox = Inbox(tmp_path / "inbox.db", queue_bytes=2**20, queue_requests=9, backlog_bytes=2**20)
    app = FastAPI()
    app.include_router(IngestRoutes(inbox, Ingest()).router())
    with TestClient(app) as one:
        assert one.post("/v1/deploys", content=b"1.2", headers={"Content-Type": "text/plain"}).json()["accepted"] == 1
    inbox.close()


def test_a_decoder_that_cannot_be_loaded_is_said(plugin) -> None:
    plugin("deploys_plugin:missing")
    with pytest.raises(SettingsError, match="'deploys' \\(deploys_plugin:missing\\) cannot be loaded"):
        registry.discover(Ingest())


def test_two_for_the_same_are_refused(plugin) -> None:
    plugin("deploys_plugin:build", path="/v1/changes", media="application/json")
    with pytest.raises(SettingsError, match="two decoders read 'application/json' at /v1/changes"):
        registry.discover(Ingest())


def test_two_that_keep_the_same_kind_are_refused(plugin) -> None:
    plugin("deploys_plugin:build", kind="changes")
    with pytest.raises(SettingsError, match="'events' and 'deploys' both keep 'changes'"):
        registry.discover(Ingest())
