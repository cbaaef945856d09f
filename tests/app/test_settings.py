"""Where each setting comes from, and that docs/settings.md speaks of every one of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from watchkeeper.schemas import settings
from watchkeeper.schemas.errors import SettingsError

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
FILE = "control.db"
"""A file, though it reads like a setting."""
NAMES = [f"{section}.{name}" for section, struct in settings.SECTIONS.items() for name in struct.__struct_fields__]


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "watchkeeper.toml"
    file.write_text(text)
    return file


def source_of(explained: list[settings.Explained], name: str) -> str:
    return next(one.source for one in explained if one.name == name)


def test_an_option_wins_over_the_environment_which_wins_over_the_file_which_wins_over_the_default(tmp_path):
    file = written(tmp_path, '[server]\nport = 1001\nhost = "127.0.0.2"\ndata_dir = "in-file"\n')
    environment = {"WATCHKEEPER_SERVER_PORT": "1002", "WATCHKEEPER_SERVER_DATA_DIR": "in-environment", "HOME": "x"}
    options = {"server.port": 1003, "server.host": None}
    found, explained = settings.load(file, environment, options)
    assert (found.server.port, str(found.data_dir)) == (1003, "in-environment")
    assert (found.server.host, found.server.clock) == ("127.0.0.2", "wall")
    assert source_of(explained, "server.port") == "option"
    assert source_of(explained, "server.data_dir") == "environment WATCHKEEPER_SERVER_DATA_DIR"
    assert source_of(explained, "server.host") == f"file {file}"
    assert source_of(explained, "server.clock") == "default"
    assert [one.name for one in explained] == NAMES


def test_every_setting_can_be_set_from_the_environment():
    given = {
        "bool": "true",
        "int": "7",
        "float": "0.25",
        "str": "text",
        "list": "http://a/metrics,http://b/metrics",
    }
    defaults, explained = settings.load(None, {})
    for one in explained:
        text = "events" if one.name == "server.clock" else given[type(one.value).__name__]
        variable = "WATCHKEEPER_" + one.name.replace(".", "_").upper()
        found, told = settings.load(None, {variable: text})
        assert found != defaults, one.name
        assert source_of(told, one.name) == f"environment {variable}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1\n", "prot"),
        ("[sever]\nport = 1\n", "unknown section [sever]"),
        ("port = 1\n", "unknown section [port]"),
        ('[server]\nport = "many"\n', "server.port"),
        ("[server]\nport = 70000\n", "65535"),
        ("[ingest]\nmax_rows = 0\n", "ingest.max_rows"),
        ('[server]\nclock = "sundial"\n', "server.clock"),
        ("[server\n", "not TOML"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_the_file(tmp_path, text, said):
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        settings.load(file, {})
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_wrong_variable_is_named_and_a_missing_file_too(tmp_path):
    with pytest.raises(SettingsError, match="WATCHKEEPER_LOADER_MAX_ROWS"):
        settings.load(None, {"WATCHKEEPER_LOADER_MAX_ROWS": "-3"})
    with pytest.raises(SettingsError, match=r"absent\.toml: No such file"):
        settings.load(tmp_path / "absent.toml", {})


def test_clients_on_this_machine_reach_a_server_that_listens_everywhere():
    everywhere, _ = settings.load(None, {"WATCHKEEPER_SERVER_HOST": "0.0.0.0"})
    assert everywhere.base_url == "http://127.0.0.1:8090"


def test_the_document_has_every_setting_and_no_other():
    mentioned = set(re.findall(rf"`((?:{'|'.join(settings.SECTIONS)})\.\w+)`", DOCUMENT.read_text())) - {FILE}
    assert set(NAMES) - mentioned == set(), "settings that docs/settings.md lacks"
    assert mentioned - set(NAMES) == set(), "settings that only docs/settings.md knows"
