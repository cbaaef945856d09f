"""WATCHKEEPER_CI makes a failure of a skip, and of nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

def test_passes(): pass

@pytest.mark.skip(reason="no hardware: a GPU")
def test_names_hardware(): pass

def test_skips(): pytest.skip("no browser")

@pytest.fixture
def missing(): pytest.skip("no server")

def test_skips_in_its_fixture(missing): pass

@pytest.mark.xfail(reason="known", strict=True)
def test_known(): assert False
"""
MODULE = "import pytest\npytest.importorskip('watchkeeper_absent')\n"


def run(folder: Path, files: dict[str, str], ci: str | None) -> str:
    shutil.copy(CONFTEST, folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "WATCHKEEPER_CI"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment | ({"WATCHKEEPER_CI": ci} if ci else {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout


def test_a_skip_is_a_skip_elsewhere(tmp_path):
    assert "1 passed, 4 skipped, 1 xfailed" in run(tmp_path, {"test_a.py": TESTS, "test_b.py": MODULE}, None)


def test_a_skip_is_a_failure_in_ci(tmp_path):
    said = run(tmp_path, {"test_a.py": TESTS}, "1")
    assert "1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error" in said
    assert "unless the reason names hardware: Skipped: no browser" in said


def test_a_module_that_skips_itself_is_an_error_in_ci(tmp_path):
    said = run(tmp_path, {"test_b.py": MODULE}, "1")
    assert "1 error" in said
    assert "watchkeeper_absent" in said
