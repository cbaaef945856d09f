"""The wheel holds every room, and what is not Python too."""

from __future__ import annotations

import zipfile

import pytest
from deploy.wheel import build
from layout.test_tree import FILES, ROOMS, ROOT

MUST_HAVE = (
    "watchkeeper/dashboard/.streamlit/config.toml",
    "watchkeeper/dashboard/icon.svg",
    "watchkeeper/app/demo/declared/systems.yaml",
    "watchkeeper/store/control/versions/0001_control_data.py",
)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    with zipfile.ZipFile(build(tmp_path_factory.mktemp("wheel"))) as wheel:
        return set(wheel.namelist())


def test_it_holds_every_file_of_every_room(held):
    expected = {
        str(path.relative_to(ROOT / room))
        for room in ROOMS
        for path in FILES
        if path.is_relative_to(ROOT / room / "watchkeeper")
    }
    packed = {name for name in held if name.startswith("watchkeeper/")}
    assert (expected - packed, packed - expected) == (set(), set())


@pytest.mark.parametrize("name", MUST_HAVE)
def test_it_holds_what_is_read_at_run_time(held, name):
    assert name in held


def test_it_holds_the_licence_and_the_command(held):
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in held)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in held)
    assert "watchkeeper/__init__.py" not in held
