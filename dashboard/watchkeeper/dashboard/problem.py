"""When the server does not answer: one sentence on the page that says what to do, never a stack trace."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import streamlit as st

from watchkeeper.dashboard.format import ended, literal
from watchkeeper.schemas.errors import NotFound, WatchkeeperError


@contextmanager
def told() -> Generator[None]:
    """Tell the reader what went wrong within the block, instead of what would have stood there."""
    try:
        yield
    except NotFound as error:
        st.info(sentence(error), icon=":material/search_off:")
    except WatchkeeperError as error:
        again = " This page tries again by itself." if error.retryable else ""
        st.error(sentence(error) + again, icon=":material/cloud_off:")


def sentence(error: WatchkeeperError) -> str:
    """Make the error's message a sentence, its commands readable as such.

    >>> sentence(NotFound("no incident x: run `watchkeeper serve`"))
    'No incident x\\\\: run `watchkeeper serve`.'
    """
    parts = str(error).split("`")
    words = "`".join(part if place % 2 else _kept(part) for place, part in enumerate(parts))
    return ended(words[:1].upper() + words[1:])


def _kept(part: str) -> str:
    """Escape a part, with the blanks at its ends."""
    start, end = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
    return f"{start}{literal(part)}{end}" if part.strip() else part
