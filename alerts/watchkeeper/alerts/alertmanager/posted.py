"""Reads alerts as other systems post them (Alertmanager's API v2), and writes them as the journal keeps them. Pure.

A post is checked as a whole; only where something in it is wrong, alert by alert: one that is wrong stops no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from watchkeeper.schemas.errors import InputError, NotDecodable
from watchkeeper.store.control.alert_journal import Post
from watchkeeper.store.control.received import Received, fingerprint

MOST_AHEAD = timedelta(minutes=5)
"""A start further in the future than this comes from a clock that is wrong: it is now."""

RESOLVE_TIMEOUT = timedelta(minutes=5)
"""How long an alert goes on without an end of its own, and its incident after it: what comes and goes is told once."""

PAGES = frozenset({"page", "critical", "emergency"})
PER_POST = 500
"""Alerts kept together: a bigger post is kept in parts, which one commit makes durable."""

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*\Z")]


class PostableAlert(msgspec.Struct, frozen=True, gc=False):
    """An alert on the wire."""

    labels: Annotated[dict[_Name, str], msgspec.Meta(min_length=1)]
    annotations: dict[str, str] | None = None
    startsAt: datetime | None = None  # noqa: N815 - the name on the wire
    endsAt: datetime | None = None  # noqa: N815
    generatorURL: str = ""  # noqa: N815


class _Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An alert as the journal keeps it."""

    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str
    starts_at: datetime
    ends_at: datetime


_ALERT = msgspec.json.Decoder(PostableAlert)
_ALERTS = msgspec.json.Decoder(list[PostableAlert])
_RAW = msgspec.json.Decoder(list[msgspec.Raw])
_KEPT = msgspec.msgpack.Decoder(list[_Kept])
_ENCODER = msgspec.msgpack.Encoder()


def read(body: bytes, now: datetime) -> tuple[list[Post], list[str]]:
    """Give what of a request's body is to be kept, and what is wrong with the rest.

    Raises:
        NotDecodable: it is no list of alerts at all.

    """
    problems: list[str] = []
    try:
        posted: Iterable[tuple[int, PostableAlert]] = enumerate(_ALERTS.decode(body))
    except msgspec.ValidationError:
        posted = _one_by_one(body, problems)
    except msgspec.DecodeError as error:
        raise NotDecodable(f"not JSON: {error}") from None
    kept: list[_Kept] = []
    for place, alert in posted:
        try:
            kept.append(_checked(alert, now))
        except InputError as error:
            problems.append(f"alert {place}: {error}")
    parts = [kept[at : at + PER_POST] for at in range(0, len(kept), PER_POST)]
    return [Post(now, len(part), _ENCODER.encode(part)) for part in parts], problems


def received(body: bytes, at: datetime) -> list[Received]:
    """Give the alerts of one kept post, in its order."""
    found: list[Received] = []
    for one in _KEPT.decode(body):
        service, model = about(one.labels)
        own = (fingerprint(one.labels), one.labels, one.annotations, one.generator_url, one.starts_at, one.ends_at)
        found.append(Received(*own, at, service, model, is_page(one.labels)))
    return found


def about(labels: dict[str, str]) -> tuple[str, str]:
    """Name the service and the model that an alert is about.

    >>> about({"alertname": "DiskFull", "job": "db"})
    ('db', '')
    """
    return labels.get("service") or labels.get("job") or labels.get("alertname", "alert"), labels.get("model", "")


def is_page(labels: dict[str, str]) -> bool:
    """Say whether an alert is one that wakes people, as its sender names that."""
    return labels.get("severity") in PAGES


def _one_by_one(body: bytes, problems: list[str]) -> Iterator[tuple[int, PostableAlert]]:
    try:
        raws = _RAW.decode(body)
    except msgspec.ValidationError:
        raise NotDecodable("expected a list of alerts") from None
    for place, raw in enumerate(raws):
        try:
            yield place, _ALERT.decode(raw)
        except msgspec.ValidationError as error:
            problems.append(f"alert {place}: {error}")


def _checked(alert: PostableAlert, now: datetime) -> _Kept:
    labels = {name: value for name, value in alert.labels.items() if value}
    if not labels:
        raise InputError("it has no label with a value")
    starts_at, ends_at = _told(alert.startsAt), _told(alert.endsAt)
    begins = starts_at or (min(ends_at, now) if ends_at else now)
    if begins > now + MOST_AHEAD:
        begins = now
    if ends_at is not None and ends_at < begins:
        raise InputError(f"it ends at {ends_at}, before it starts at {begins}")
    ends = ends_at or now + RESOLVE_TIMEOUT
    return _Kept(labels, alert.annotations or {}, alert.generatorURL, begins, ends)


def _told(at: datetime | None) -> datetime | None:
    """Give a time that was told; the year 1 is how Go writes none, and a time without a zone is UTC."""
    if at is None or at.year <= 1:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
