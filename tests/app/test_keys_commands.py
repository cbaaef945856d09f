"""``watchkeeper keys`` and ``watchkeeper audit``, run as commands: no server is needed."""

from __future__ import annotations

import json
import sqlite3

import pytest
from e2e.running import Server, run


def test_keys_from_first_to_last(tmp_path):
    data = ("--data-dir", tmp_path / "data")
    created = run(
        "keys", "create", "desk", "--role", "viewer", "--role", "operator", "--service", "a", "--service", "b",
        "--expires", "90d", "--service-account", "--requests-per-minute", "60", *data, "--json",
    )  # fmt: skip
    assert created.returncode == 0, created.stderr
    made = json.loads(created.stdout)
    (listed,) = json.loads(run("keys", "list", *data, "--json").stdout)
    assert (listed["id"], listed["name"], listed["state"]) == (made["id"], "desk", "active")
    assert (listed["roles"], listed["services"]) == (["viewer", "operator"], ["a", "b"])
    assert listed["expires_at"] is not None
    assert listed["requests_per_minute"] == 60
    turned = run("keys", "rotate", "desk", "--grace", "30m", *data).stdout.strip()
    assert turned.startswith(f"wk_{made['id']}_")
    assert turned != made["key"]
    assert run("keys", "revoke", made["id"], *data).stdout == f"revoked: desk ({made['id']})\n"
    assert " revoked desk: viewer, operator; a, b; never used" in run("keys", "list", *data).stdout
    actions = [one["action"] for one in json.loads(run("audit", "list", *data, "--json").stdout)]
    assert actions == ["key.revoked", "key.rotated", "key.created"]
    verified = run("audit", "verify", *data)
    assert verified.returncode == 0
    assert verified.stdout.startswith("all 3 entries hold; the newest hash is ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "x", "--role", "admin", "--service", "a"), 3, "an admin key is for all services"),
        (("create", "x", "--role", "viewer", "--expires", "soon"), 2, "--expires: 'soon' is not like"),
        (("rotate", "x", "--grace", "-1h"), 2, "--grace: '-1h' is not longer than nothing"),
        (("revoke", "x"), 5, "see `watchkeeper keys list`"),
        (("create", "x", "--role", "king"), 2, "king"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, words, code, said):
    refused = run("keys", *words, "--data-dir", tmp_path)
    assert refused.returncode == code
    assert said in refused.stderr


def test_a_forged_log_is_told_with_its_place_and_exit_code_7(tmp_path):
    data = ("--data-dir", tmp_path)
    for name in ("a", "b", "c"):
        run("keys", "create", name, "--role", "viewer", *data)
    head = json.loads(run("audit", "verify", *data, "--json").stdout)["head"]
    assert run("audit", "verify", "--head", head, *data).returncode == 0
    file = sqlite3.connect(tmp_path / "control.db")
    file.executescript("DROP TRIGGER audit_no_UPDATE; UPDATE audit SET actor = 'eve' WHERE id = 2;")
    file.close()
    found = run("audit", "verify", *data)
    assert found.returncode == 7
    assert found.stdout == "broken at entry 2: its content is not what was written; the 1 entries before it hold\n"
    lost = run("audit", "verify", "--head", "f" * 64, *data)
    assert lost.returncode == 7


def test_with_a_key_in_the_control_data_it_listens_everywhere(tmp_path):
    text = run("keys", "create", "first", "--role", "admin", "--data-dir", tmp_path / "data").stdout.strip()
    with Server(tmp_path, {"WATCHKEEPER_SERVER_HOST": "0.0.0.0"}) as server:
        assert server.client.get("/v1/status").status_code == 401
        assert server.client.get("/v1/status", headers={"Authorization": f"Bearer {text}"}).status_code == 200
    run("keys", "revoke", "first", "--data-dir", tmp_path / "data")
    refused = run("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", tmp_path / "data")
    assert refused.returncode == 2
    assert "watchkeeper keys create" in refused.stderr
