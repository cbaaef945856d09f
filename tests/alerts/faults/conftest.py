"""A receiver, and a control database that other processes open too, on either engine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from alerts.postgres import private_cluster
from alerts.samples import sqlite_control
from alerts.sink import Sink, sink

from watchkeeper.store.control.connection import Control, open_control

_numbers = count()


@pytest.fixture
def hook() -> Iterator[Sink]:
    with sink() as running:
        yield running


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with private_cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.debian)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the control data are."""
    if request.param == "sqlite":
        sqlite_control(tmp_path).close()
        return f"sqlite:///{tmp_path / 'control.db'}"
    psycopg = pytest.importorskip("psycopg")
    server: str = request.getfixturevalue("cluster")
    name = f"faults_{next(_numbers)}"
    with psycopg.connect(server.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.format(name=name)


@pytest.fixture
def either(url: str) -> Iterator[Control]:
    opened = open_control(url)
    yield opened
    opened.close()
