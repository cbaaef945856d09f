"""A disk that is full when a test says so: a small tmpfs where one may be mounted, else a limit on files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SPACE = """
import resource, subprocess, sys
from pathlib import Path

mode, folder = sys.argv[1], Path(sys.argv[2])

def space(mib):
    if mode == "tmpfs":
        subprocess.run(["mount", "-o", f"remount,size={mib}m", str(folder)], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (mib * 2**20, resource.RLIM_INFINITY))
"""
"""Begins a program whose arguments are what ``small_disk`` gives; ``space`` says how much there is from now on."""


def ran(script: str, mode: str, folder: Path) -> str:
    """Run such a program to its good end; give what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, mode, str(folder)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["limit", "tmpfs"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """What kind of limit there is, and the folder on that disk."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(tmp_path)]
    if request.param == "tmpfs" and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield "tmpfs", tmp_path
        subprocess.run(["umount", str(tmp_path)], check=True)
    else:
        yield "limit", tmp_path
