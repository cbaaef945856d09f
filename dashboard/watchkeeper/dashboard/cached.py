"""What was asked a moment ago is not asked again: all sessions share the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar, cast

import streamlit as st

from watchkeeper.dashboard.client import Client, server_key, server_url, trusted

TTL = 15.0
"""Seconds: half of the time after which a page asks again, so that it never shows the same answer thrice."""

P = ParamSpec("P")
T = TypeVar("T")


def client() -> Client:
    """Give the one client of this process."""
    return _client(server_url(), server_key())


def answer(ask: Callable[Concatenate[Client, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask (a function of ``asked.py``), or give the answer that is at most ``TTL`` old. Errors are not kept."""
    return cast("T", _kept(server_url(), ask.__qualname__, args, kwargs, _ask=ask))


def forget() -> None:
    """Ask everything again, after someone has changed something."""
    _kept.clear()


@st.cache_resource(show_spinner=False)
def _client(url: str, key: str | None) -> Client:
    return Client(url, key, trusted(url))


@st.cache_data(ttl=TTL, max_entries=40, show_spinner=False)
def _kept(
    url: str, name: str, args: tuple[object, ...], kwargs: dict[str, object], _ask: Callable[..., object]
) -> object:
    del url, name  # they are only what the answer is kept under
    return _ask(client(), *args, **kwargs)
