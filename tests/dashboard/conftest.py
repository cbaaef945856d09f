"""Servers that answer the dashboard from made worlds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from dashboard.stub import Stub, serving
from dashboard.world import World

from watchkeeper.dashboard.client import Client

Serve = Callable[..., Stub]


@pytest.fixture(autouse=True)
def main_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit puts the page in place of ``__main__``; a process started later from this one would run it again."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that end with the test."""
    with ExitStack() as stack:
        yield lambda scenario="degraded", refuse=None: stack.enter_context(serving(World(scenario), refuse))


@pytest.fixture
def ask(serve: Serve) -> Iterator[Callable[[str], Client]]:
    """Give a client of a made world."""
    with ExitStack() as stack:

        def client(scenario: str) -> Client:
            made = Client(serve(scenario).url)
            stack.callback(made.close)
            return made

        yield client
