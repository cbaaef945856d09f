"""A private PostgreSQL cluster on a Unix socket, from Debian's own programs; gone after the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


def _programs() -> Path:
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server here: Debian package postgresql")
    return found[-1].parent


@contextmanager
def private_cluster() -> Iterator[str]:
    """Give the URL of an empty server; the database name is to be appended."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="wk-pg-"))
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # initdb refuses to run as root
        if shutil.which("runuser") is None:
            pytest.skip("running as root, and there is no runuser to become postgres")
        shutil.chown(folder, "postgres")
        as_postgres = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*as_postgres, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "-A", "trust", "-U", "watchkeeper", "-E", "UTF8", "--no-sync")
        settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c timezone=Asia/Kolkata"
        run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql://watchkeeper@/{{name}}?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
