from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.running import Server


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory) -> Iterator[Server]:
    """One real server for every test that only adds a service of its own; nothing is analyzed, over many odd years."""
    settings = {"WATCHKEEPER_SCHEDULE_TICK_SECONDS": "3600"}
    with Server(tmp_path_factory.mktemp("shared"), settings) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real server with nothing in it yet."""
    with Server(tmp_path) as fresh:
        yield fresh
