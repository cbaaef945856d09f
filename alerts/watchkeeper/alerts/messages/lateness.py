"""What does a message say that goes out too late, or stands for others? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from watchkeeper.alerts.messages.notification import Notification, Told
from watchkeeper.alerts.messages.wording import duration
from watchkeeper.store.control.records import Message

LATE = timedelta(minutes=5)
"""A message that waits for longer than this is called late, and the newest one about its incident goes in its place."""


def as_sent(
    notification: Notification, queued_at: datetime, carried: Sequence[Message], receipt: str | None, now: datetime
) -> Notification:
    """Give the message as it goes out now: marked late where it is, with all that it stands for in its first lines."""
    since = min([queued_at, *(one.queued_at for one in carried)])
    late = now - since
    if late < LATE:
        return replace(notification, receipt=receipt, sent_at=now)
    history = tuple(Told(one.transition, one.created_at) for one in carried)
    steps = [*history, Told(notification.transition, notification.at)]
    said = ", ".join(f"{told.transition} {_clock(told.at, notification.at)}" for told in steps)
    title = f"[late {minutes(late)}] {notification.title}"
    body = notification.text.removeprefix(notification.title).lstrip("\n")
    return replace(
        notification,
        title=title,
        text=f"{title}\n{said[0].upper()}{said[1:]}, delivered late: {duration(late)} after the first.\n{body}",
        history=history,
        late_seconds=late.total_seconds(),
        receipt=receipt,
        sent_at=now,
    )


def refused(notification: Notification, receiver: str, reason: str) -> Notification:
    """Give the message for the fallback receiver: it says first whom it was for, and why it is here."""
    title, _, body = notification.text.partition("\n")
    said = f"This was for the receiver {notification.receiver}, which refused it: {reason}"
    return replace(notification, receiver=receiver, text=f"{title}\n{said}\n{body}".rstrip("\n"))


def minutes(length: timedelta) -> str:
    """Give a delay in whole minutes, in hours from two on.

    >>> minutes(timedelta(minutes=58, seconds=40)), minutes(timedelta(hours=3, minutes=5))
    ('58 min', '3 h 5 min')
    """
    whole = int(length.total_seconds() // 60)
    return f"{whole} min" if whole < 120 else f"{whole // 60} h {whole % 60} min"


def _clock(at: datetime, last: datetime) -> str:
    """Give the time of day, with the day where that is not the day of the last step."""
    at, last = at.astimezone(UTC), last.astimezone(UTC)
    return f"{at:%H:%M}" if at.date() == last.date() else f"{at:%Y-%m-%d %H:%M}"
