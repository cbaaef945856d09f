"""The units' commands parse, and systemd finds no fault in them."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess

import pytest
from deploy.container import DEPLOY
from deploy.test_container import parse

FOLDER = DEPLOY / "systemd"
UNITS = {"watchkeeper.service": "serve", "watchkeeper-dashboard.service": "dashboard"}
PROGRAM = "/opt/watchkeeper/bin/watchkeeper"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string((FOLDER / name).read_text())
    return parser


@pytest.mark.parametrize(("name", "command"), UNITS.items())
def test_the_command_parses(name, command):
    argv = shlex.split(unit(name)["Service"]["ExecStart"])
    assert argv[0] == PROGRAM
    # The settings file is where deploy/README.md puts it; the parser only wants a path.
    assert argv[argv.index("--config") + 1] == "/etc/watchkeeper/watchkeeper.toml"
    assert parse(argv) == command


def test_both_run_as_the_user_that_sysusers_makes():
    (line,) = [line for line in (FOLDER / "watchkeeper.sysusers.conf").read_text().splitlines() if line[0] != "#"]
    kind, user, *_ = line.split()
    assert (kind, {unit(name)["Service"]["User"] for name in UNITS}) == ("u", {user})


def test_the_data_folder_is_the_one_that_the_unit_may_write():
    service = unit("watchkeeper.service")["Service"]
    argv = shlex.split(service["ExecStart"])
    assert argv[argv.index("--data-dir") + 1] == f"/var/lib/{service['StateDirectory']}"
    assert service["ProtectSystem"] == "strict"


@pytest.mark.debian
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault(tmp_path):
    for name in UNITS:
        # It also looks for the program, which is not installed here.
        (tmp_path / name).write_text((FOLDER / name).read_text().replace(PROGRAM, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "watchkeeper" in line]
    assert (done.returncode, ours) == (0, [])
