"""Builds the wheel as the Containerfile does: from a copy of just the files that it lets through."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from deploy.container import DEPLOY, ROOT


def build(folder: Path) -> Path:
    """Build into ``folder`` and give the wheel."""
    source = folder / "source"
    for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines():
        if not line.startswith("!"):
            continue
        place = source / line[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / line[1:]).is_dir():
            shutil.copytree(ROOT / line[1:], place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / line[1:], place)
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(argv, cwd=source, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel
