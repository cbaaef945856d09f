from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from alerts.postgres import private_cluster
from alerts.samples import sqlite_control

from watchkeeper.store.control.connection import Control, open_control

_numbers = count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with private_cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.debian)])
def either_control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    """Empty control data, once on each engine."""
    if request.param == "sqlite":
        opened = sqlite_control(tmp_path)
    else:
        psycopg = pytest.importorskip("psycopg")
        cluster: str = request.getfixturevalue("cluster")
        name = f"either_{next(_numbers)}"
        with psycopg.connect(cluster.format(name="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        opened = open_control(cluster.format(name=name))
    yield opened
    opened.close()
