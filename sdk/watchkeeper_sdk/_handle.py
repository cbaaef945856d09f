"""A handle: the id of a prediction with its time, as one text that other processes understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._sample import SAMPLED_OUT

if TYPE_CHECKING:
    from ._fields import Time

_KEPT = "wk1~"
_LEFT_OUT = "wk0~"


def handle_of(event_id: str, ts: Time | None) -> str:
    """Make the handle; without a time the id alone is as good.

    >>> handle_of("a.1", 1767323045.25), handle_of("a.2", "sampled out"), handle_of("a.3", None)
    ('wk1~1767323045.25~a.1', 'wk0~~a.2', 'a.3')
    """
    if ts is None or event_id.startswith((_KEPT, _LEFT_OUT)):
        return event_id
    if ts == SAMPLED_OUT:
        return f"{_LEFT_OUT}~{event_id}"
    when = ts if isinstance(ts, (str, int, float)) else ts.isoformat()
    return f"{_KEPT}{when}~{event_id}"


def opened(handle: str) -> tuple[str, Time | None]:
    """Read a handle back: id and time; any other text is an id.

    >>> opened("wk1~1767323045.25~a.1"), opened("wk0~~a.2"), opened("a.3")
    (('a.1', 1767323045.25), ('a.2', 'sampled out'), ('a.3', None))
    >>> opened("wk1~2026-01-02T03:04:05+00:00~x~y"), opened("wk1~odd")
    (('x~y', '2026-01-02T03:04:05+00:00'), ('wk1~odd', None))
    """
    prefix = handle[: len(_KEPT)]
    when, found, event_id = handle[len(_KEPT) :].partition("~")
    if not found or prefix not in (_KEPT, _LEFT_OUT):
        return handle, None
    if prefix == _LEFT_OUT:
        return event_id, SAMPLED_OUT
    try:
        return event_id, float(when)
    except ValueError:
        return event_id, when
