"""What the reader chose, kept in the URL: every view is a permalink.

Only what is not the default stands there. A value that is not (or no longer) possible is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from watchkeeper.dashboard.asked import WINDOWS
from watchkeeper.dashboard.series import Key

DEFAULT_WINDOW = "7d"
SEPARATOR = "/"


def model_text(key: Key) -> str:
    """Write a model as one word of a URL.

    >>> model_text(("flight-delay", "delay-gbm"))
    'flight-delay/delay-gbm'
    """
    return SEPARATOR.join(key)


def parameters(*, model: Key | None = None, window: str | None = None, feature: str | None = None) -> dict[str, str]:
    """Give the query parameters of a view of the Model page.

    >>> parameters(model=("a", "b"), window="7d")
    {'model': 'a/b'}
    """
    chosen = {"model": model_text(model) if model else None, "window": window, "feature": feature}
    return {name: value for name, value in chosen.items() if value and (name, value) != ("window", DEFAULT_WINDOW)}


def model_of(params: Mapping[str, str], known: Mapping[Key, str]) -> Key | None:
    """Read the chosen model: ``service/model``, or a service alone if it has one model (or any: the first)."""
    text = params.get("model", "")
    by_text = {model_text(key): key for key in known} | {
        key[0]: key for key in reversed(list(known)) if model_text(key) != text
    }
    return by_text.get(text) or by_text.get(params.get("service", ""))


def window_of(params: Mapping[str, str]) -> str:
    """Read the chosen window.

    >>> window_of({"window": "28d"}), window_of({"window": "1000y"})
    ('28d', '7d')
    """
    chosen = params.get("window", DEFAULT_WINDOW)
    return chosen if chosen in WINDOWS else DEFAULT_WINDOW


def asked_for() -> dict[str, str]:
    """Give the query parameters of this view."""
    return dict(st.query_params.items())


def show(control: str, value: object) -> None:
    """Let a control show what the URL says, before it is drawn: so Back goes back, and no control says otherwise."""
    st.session_state[control] = value


def choose(**chosen: str | None) -> None:
    """Put what was chosen into the URL; None takes it out."""
    for name, value in chosen.items():
        if value is None or (name, value) == ("window", DEFAULT_WINDOW):
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:
            st.query_params[name] = value
