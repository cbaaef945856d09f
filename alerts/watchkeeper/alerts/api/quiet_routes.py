"""The HTTP routes of silences, maintenance windows, snooze and of the question why something was told or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from watchkeeper.alerts.api.models import Actor
from watchkeeper.alerts.api.why import Why, explain
from watchkeeper.alerts.routing import quiet
from watchkeeper.schemas.access import BY_SERVICE, Caller, caller_of
from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.matchers import read_matchers
from watchkeeper.store.control import declared, incidents, maintenance, silences
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.maintenance import Maintenance
from watchkeeper.store.control.silences import Silence, Wish

Reason = Annotated[str, Field(min_length=1, max_length=2000)]
Written = Annotated[str, Field(min_length=1, max_length=2000)]


class SpanBody(BaseModel):
    """What, and when: from ``start`` (now, where it is left out) to ``end``, or for ``duration`` (as in 2h)."""

    matchers: Annotated[list[Written], Field(min_length=1, max_length=50)]
    author: Actor | None = None
    start: datetime | None = None
    end: datetime | None = None
    duration: str | None = None

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        """Give start and end."""
        start = _aware(self.start) if self.start else now
        if self.end is not None and self.duration is None:
            return start, _aware(self.end)
        if self.end is not None or self.duration is None:
            raise InputError("say until when, with end or with duration, as in 2h")
        return start, start + _span(self.duration)


class SilenceBody(SpanBody):
    """A silence."""

    comment: Reason


class MaintenanceBody(SpanBody):
    """A maintenance window."""

    reason: Reason


class SnoozeBody(BaseModel):
    """For how long, as in 30m."""

    duration: str
    by: Actor | None = None


class SpanOut(BaseModel):
    """What holds on everything that meets all matchers, and when; ``state`` is pending, active or expired."""

    id: str
    matchers: list[str]
    start: datetime
    end: datetime
    author: str
    state: str


class SilenceOut(SpanOut):
    """One silence."""

    comment: str

    @classmethod
    def of(cls, one: Silence, now: datetime) -> SilenceOut:
        """Show one."""
        return cls(**_shown(one, now).model_dump(), comment=one.comment)


class MaintenanceOut(SpanOut):
    """One maintenance window."""

    reason: str

    @classmethod
    def of(cls, one: Maintenance, now: datetime) -> MaintenanceOut:
        """Show one."""
        return cls(**_shown(one, now).model_dump(), reason=one.reason)


class Silences(BaseModel):
    """A list of silences, the first to end first."""

    silences: list[SilenceOut]


class MaintenanceWindows(BaseModel):
    """A list of maintenance windows by their start."""

    windows: list[MaintenanceOut]


def _caller(request: Request) -> Caller:
    return caller_of(request.scope)


Who = Annotated[Caller, Depends(_caller)]


def quiet_routes(control: Control, clock: Callable[[], datetime]) -> APIRouter:
    """Give ``/v1/silences``, ``/v1/maintenance``, and snooze and why of an incident."""
    router = APIRouter(prefix="/v1", tags=["alerts"])

    @router.get("/silences")
    def list_silences(expired: bool = False) -> Silences:
        """List silences; those that are over only where they are asked for."""
        now = clock()
        with control.snapshot() as tx:
            found = silences.listed(tx, None if expired else now)
        return Silences(silences=[SilenceOut.of(one, now) for one in found])

    @router.post("/silences")
    def add_silence(body: SilenceBody, who: Who) -> SilenceOut:
        """Keep quiet what meets all matchers."""
        now = clock()
        author = body.author or who.actor or quiet.NOBODY_NAMED
        wish = Wish(read_matchers(body.matchers), *body.span(now), author, body.comment)
        return SilenceOut.of(quiet.silence(control, wish, now, who), now)

    @router.post("/silences/{silence_id}/expire")
    def expire_silence(silence_id: str, who: Who) -> SilenceOut:
        """End a silence now; what still fires is told."""
        now = clock()
        return SilenceOut.of(quiet.expire(control, silence_id, now, who), now)

    @router.get("/maintenance")
    def list_maintenance(expired: bool = False) -> MaintenanceWindows:
        """List maintenance windows; those that are over only where they are asked for."""
        now = clock()
        with control.snapshot() as tx:
            found = maintenance.listed(tx, None if expired else now)
        return MaintenanceWindows(windows=[MaintenanceOut.of(one, now) for one in found])

    @router.post("/maintenance")
    def add_maintenance(body: MaintenanceBody, who: Who) -> MaintenanceOut:
        """Plan work on what meets all matchers: no messages, and no budget is spent."""
        now = clock()
        author = body.author or who.actor or quiet.NOBODY_NAMED
        matchers, span = read_matchers(body.matchers), body.span(now)
        return MaintenanceOut.of(quiet.plan(control, matchers, span, author, body.reason, now, who), now)

    @router.post("/maintenance/{window_id}/end")
    def end_maintenance(window_id: str, who: Who) -> MaintenanceOut:
        """End a window now."""
        now = clock()
        return MaintenanceOut.of(quiet.end(control, window_id, now, who), now)

    def check(incident_id: str, who: Caller) -> None:
        with control.snapshot() as tx:
            who.reads(incidents.get(tx, incident_id).service)

    @router.post("/incidents/{incident_id}/snooze", tags=[BY_SERVICE])
    def snooze(incident_id: str, body: SnoozeBody, who: Who) -> Why:
        """Tell nothing of it for a while; if it still fires then, it is told again."""
        check(incident_id, who)
        now = clock()
        quiet.snooze(control, incident_id, now + _span(body.duration), body.by, now, who)
        with control.snapshot() as tx:
            return explain(tx, declared.current(tx), incident_id, now)

    @router.get("/incidents/{incident_id}/why", tags=[BY_SERVICE])
    def why(incident_id: str, who: Who) -> Why:
        """Say why it was told, or was not."""
        check(incident_id, who)
        with control.snapshot() as tx:
            return explain(tx, declared.current(tx), incident_id, clock())

    return router


def _shown(one: Silence | Maintenance, now: datetime) -> SpanOut:
    return SpanOut(
        id=one.id,
        matchers=[str(matcher) for matcher in one.matchers],
        start=one.starts_at,
        end=one.ends_at,
        author=one.author,
        state=one.state(now),
    )


def _span(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise InputError(f"duration: {error}") from None


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
