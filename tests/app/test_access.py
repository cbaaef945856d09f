"""Who may talk to the server, tried from outside."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import pytest
from e2e.running import QUICK, Server, run

from watchkeeper.app.access import is_loopback
from watchkeeper.app.keyring import file_key
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.settings import Settings, load


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    key_file = folder / "key"
    with Server(folder, {"WATCHKEEPER_AUTH_API_KEY_FILE": str(key_file)}) as server:
        yield server, key_file


def loaded(folder: Path, options: dict[str, str]) -> Settings:
    return load(None, {}, {"server.data_dir": str(folder / "data")} | options)[0]


def key(file: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {file.read_text().strip()}"}


def test_the_key_file_is_made_for_its_owner_alone_and_used_again(locked):
    server, file = locked
    made = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(made.strip()) >= 40
    server.stop()
    server.start()
    assert file.read_text() == made
    assert server.client.get("/v1/status", headers=key(file)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/status"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/v1/queries/overview"),
        ("GET", "/v1/incidents"),
        ("POST", "/v1/predictions"),
        ("POST", "/v1/incidents/x/acknowledge"),
    ],
)
def test_without_the_key_nothing_is_told_or_taken(locked, method, path):
    server, file = locked
    refused = server.client.request(method, path)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.json()["error"] == "NotAllowed"
    for wrong in ("Bearer", "Bearer " + "x" * 43, "Basic " + file.read_text().strip()):
        assert server.client.request(method, path, headers={"Authorization": wrong}).status_code == 401
    allowed = server.client.request(method, path, headers=key(file))
    assert allowed.status_code not in (401, 403)


def test_the_key_may_be_the_password_as_langfuse_sends_its_secret(locked):
    server, file = locked

    def sent(password: str) -> int:
        body, media = b"{}", {"Content-Type": "application/json"}
        auth = httpx.BasicAuth("pk", password)
        return server.client.post("/api/public/otel/v1/traces", content=body, headers=media, auth=auth).status_code

    assert (sent(file.read_text().strip()), sent("x" * 43)) == (200, 401)


def test_health_and_readiness_stay_open(locked):
    server, _ = locked
    assert [server.client.get(path).status_code for path in ("/health", "/ready")] == [200, 200]


def test_the_command_line_uses_the_key_and_says_what_is_missing_without_it(locked, tmp_path):
    server, file = locked
    rows = tmp_path / "rows.csv"
    rows.write_text("id,ts,amount\na,2026-03-01T00:00:00,1\n")
    words = ("import", rows, "--service", "cli", "--url", server.url)
    without = run(*words)
    assert without.returncode == 6
    assert "auth.api_key_file" in without.stderr
    assert run(*words, settings={"WATCHKEEPER_AUTH_API_KEY_FILE": str(file)}).returncode == 0
    assert run(*words, settings={"WATCHKEEPER_API_KEY": file.read_text().strip()}).returncode == 0


def test_no_other_address_without_a_key(tmp_path):
    refused = run("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", tmp_path / "data", settings=QUICK)
    assert refused.returncode == 2
    assert "will not listen on 0.0.0.0 without an API key" in refused.stderr
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(SettingsError, match=f"will not listen on {host} without an API key"):
            file_key(loaded(tmp_path, {"server.host": host}))
    assert not (tmp_path / "data").exists()


def test_with_a_key_it_listens_everywhere(tmp_path):
    settings = {"WATCHKEEPER_SERVER_HOST": "0.0.0.0", "WATCHKEEPER_AUTH_API_KEY_FILE": str(tmp_path / "key")}
    with Server(tmp_path, settings) as server:
        assert httpx.get(f"{server.url}/v1/status", trust_env=False).status_code == 401


def test_a_key_that_can_be_guessed_is_refused(tmp_path):
    file = tmp_path / "key"
    file.write_text("short\n")
    settings = {"WATCHKEEPER_AUTH_API_KEY_FILE": str(file)}
    refused = run("serve", "--port", "0", "--data-dir", tmp_path / "data", settings=settings)
    assert refused.returncode == 2
    assert refused.stderr.startswith("watchkeeper: ")
    assert "shorter than 16 characters" in refused.stderr
    for content in ("", "short\n"):
        file.write_text(content)
        with pytest.raises(SettingsError, match="shorter than 16 characters"):
            file_key(loaded(tmp_path, {"auth.api_key_file": str(file)}))


def test_a_key_file_that_is_a_folder_is_a_sentence(tmp_path):
    with pytest.raises(SettingsError, match=r"^cannot read the API key file"):
        file_key(loaded(tmp_path, {"auth.api_key_file": str(tmp_path)}))


def test_loopback_is_loopback_however_it_is_written():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "")))
