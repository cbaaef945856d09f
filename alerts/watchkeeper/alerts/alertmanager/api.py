"""Alertmanager's API v2 over our incidents and silences: amtool, Karma, Grafana and Prometheus use it unchanged.

Source: Alertmanager's OpenAPI document of the API v2. Posted alerts are on the disk before the answer, and shown from
then on; they are taken into incidents within a second or two, in a storm pages first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from watchkeeper.alerts.alertmanager import models as shapes
from watchkeeper.alerts.alertmanager import view
from watchkeeper.alerts.alertmanager.config import config
from watchkeeper.alerts.alertmanager.inlet import AlertInlet
from watchkeeper.alerts.alertmanager.posted import read
from watchkeeper.alerts.delivery.addresses import receivers
from watchkeeper.alerts.messages.links import Links
from watchkeeper.alerts.routing import quiet
from watchkeeper.schemas.access import Caller, caller_of
from watchkeeper.schemas.errors import InputError, NotDecodable, NotFound
from watchkeeper.schemas.matchers import Matcher, Matchers, all_hold, checked, read_matchers
from watchkeeper.store.control import declared, received, silences
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.silences import Silence, Wish

MOST_BYTES = 32 * 2**20
Filters = Annotated[list[str], Query()]
Flag = Annotated[bool, Query()]


def _caller(request: Request) -> Caller:
    return caller_of(request.scope)


Who = Annotated[Caller, Depends(_caller)]


@dataclass(frozen=True, slots=True)
class AlertmanagerRoutes:
    """Builds the router. ``version`` is ours, ``inlet`` keeps what comes in."""

    control: Control
    clock: Callable[[], datetime]
    links: Links
    version: str
    started: datetime
    inlet: AlertInlet

    def router(self) -> APIRouter:
        """Give every route of the API."""
        router = APIRouter(prefix="/api/v2", tags=["alerts"])
        router.add_api_route("/status", self.status)
        router.add_api_route("/receivers", self.receivers)
        router.add_api_route("/alerts", self.alerts)
        router.add_api_route("/alerts/groups", self.groups)
        router.add_api_route("/silences", self.silences)
        router.add_api_route("/silences", self.put_silence, methods=["POST"])
        router.add_api_route("/silence/{silence_id}", self.silence)
        router.add_api_route("/silence/{silence_id}", self.expire, methods=["DELETE"])
        return router

    def way_in(self) -> APIRouter:
        """Give the one route that takes alerts in: a key that may send events may send these."""
        router = APIRouter(prefix="/api/v2", tags=["ingest"])
        router.add_api_route("/alerts", self.post_alerts, methods=["POST"])
        return router

    def status(self) -> shapes.AlertmanagerStatus:
        """Say who answers, and what is declared, as a file of Alertmanager."""
        with self.control.snapshot() as tx:
            original = config(declared.current(tx))
        return shapes.AlertmanagerStatus(
            cluster=shapes.ClusterStatus(),
            versionInfo=shapes.VersionInfo(
                version=self.version, revision="", branch="watchkeeper", buildUser="", buildDate="", goVersion=""
            ),
            config=shapes.Config(original=original),
            uptime=self.started,
        )

    def receivers(self) -> list[shapes.ReceiverName]:
        """List the receivers."""
        with self.control.snapshot() as tx:
            return [shapes.ReceiverName(name=name) for name in sorted(receivers(declared.current(tx)))]

    def alerts(
        self,
        filter: Filters = [],  # noqa: A002, B006 - Alertmanager's name; FastAPI copies it
        receiver: str = "",
        *,
        active: Flag = True,
        silenced: Flag = True,
        inhibited: Flag = True,
        unprocessed: Flag = True,
    ) -> list[shapes.GettableAlert]:
        """List the alerts that fire."""
        wanted = _Wanted.of(filter, receiver, active=active, silenced=silenced, inhibited=inhibited)
        with self.control.snapshot() as tx:
            seen = view.firing(tx, self.links, self.clock())
        return [
            one.alert for one in seen if wanted.has(one) and (unprocessed or one.alert.status.state != "unprocessed")
        ]

    def groups(
        self,
        filter: Filters = [],  # noqa: A002, B006
        receiver: str = "",
        *,
        active: Flag = True,
        silenced: Flag = True,
        inhibited: Flag = True,
        muted: Flag = True,
    ) -> list[shapes.AlertGroup]:
        """List the alerts by the groups in which they are told."""
        wanted = _Wanted.of(filter, receiver, active=active, silenced=silenced, inhibited=inhibited)
        with self.control.snapshot() as tx:
            seen = view.firing(tx, self.links, self.clock())
        found: dict[tuple[str, str], shapes.AlertGroup] = {}
        for one in seen:
            if not wanted.has(one) or (not muted and one.alert.status.mutedBy):
                continue
            for branch in one.branches:
                labels = dict(branch.group(one.alert.labels))
                key = (branch.path, str(sorted(labels.items())))
                fresh = shapes.AlertGroup(labels=labels, receiver=shapes.ReceiverName(name=branch.receiver), alerts=[])
                found.setdefault(key, fresh).alerts.append(one.alert)
        return list(found.values())

    async def post_alerts(self, request: Request) -> Response:
        """Take alerts of another system; 200 says that they are on the disk."""
        try:
            posts, problems = read(await _body(request), self.clock())
        except NotDecodable as error:
            raise HTTPException(400, str(error)) from None
        if posts:
            await asyncio.wrap_future(self.inlet.append(posts))
        if problems:
            raise HTTPException(400, "; ".join(problems[:10]))
        return Response(status_code=200)

    def silences(self, filter: Filters = []) -> list[shapes.GettableSilence]:  # noqa: A002, B006
        """List the silences, those that ended in the last five days included; ``filter`` is on their matchers."""
        wanted, now = _matchers(filter), self.clock()
        with self.control.snapshot() as tx:
            found = silences.listed(tx, now - received.KEPT)
        return [_silence(one, now) for one in found if _fits(one, wanted)]

    def put_silence(self, body: shapes.PostableSilence, who: Who) -> shapes.SilenceId:
        """Make a silence, or change the one of this id."""
        try:
            matchers = tuple(checked(Matcher(one.name, one.value, one.isRegex, one.isEqual)) for one in body.matchers)
            span = (_aware(body.startsAt), _aware(body.endsAt))
            wish = Wish(matchers, *span, body.createdBy, body.comment, body.id or "")
            made = quiet.silence(self.control, wish, self.clock(), who)
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        except NotFound as error:
            raise HTTPException(404, str(error)) from None
        return shapes.SilenceId(silenceID=made.id)

    def silence(self, silence_id: str) -> shapes.GettableSilence:
        """Show one silence."""
        with self.control.snapshot() as tx:
            return _silence(silences.get(tx, silence_id), self.clock())

    def expire(self, silence_id: str, who: Who) -> Response:
        """End one silence."""
        quiet.expire(self.control, silence_id, self.clock(), who)
        return Response(status_code=200)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which alerts a question asks for."""

    matchers: Matchers
    receiver: re.Pattern[str] | None
    active: bool
    silenced: bool
    inhibited: bool

    @classmethod
    def of(cls, filters: list[str], receiver: str, *, active: bool, silenced: bool, inhibited: bool) -> _Wanted:
        try:
            pattern = re.compile(receiver) if receiver else None
        except re.error as error:
            raise HTTPException(400, f"receiver: {error}") from None
        return cls(_matchers(filters), pattern, active, silenced, inhibited)

    def has(self, seen: view.Seen) -> bool:
        status = seen.alert.status
        if self.receiver and not any(self.receiver.fullmatch(branch.receiver) for branch in seen.branches):
            return False
        if (not self.active and status.state == "active") or (not self.silenced and status.silencedBy):
            return False
        return not (not self.inhibited and status.inhibitedBy) and all_hold(self.matchers, seen.alert.labels)


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise HTTPException(413, f"the body is over {MOST_BYTES} bytes: send fewer alerts at a time")
        parts.append(part)
    return b"".join(parts)


def _matchers(filters: list[str]) -> Matchers:
    try:
        return read_matchers(filters)
    except InputError as error:
        raise HTTPException(400, str(error)) from None


def _fits(silence: Silence, wanted: Matchers) -> bool:
    """Tell whether a silence speaks of what is asked for: its matchers' values, taken as labels, meet the filter."""
    return all_hold(wanted, {matcher.name: matcher.value for matcher in silence.matchers})


def _silence(one: Silence, now: datetime) -> shapes.GettableSilence:
    return shapes.GettableSilence(
        id=one.id,
        status=shapes.State.model_validate({"state": one.state(now)}),
        updatedAt=one.updated_at,
        comment=one.comment,
        createdBy=one.author,
        startsAt=one.starts_at,
        endsAt=one.ends_at,
        matchers=[
            shapes.MatcherBody(name=m.name, value=m.value, isRegex=m.regex, isEqual=m.equal) for m in one.matchers
        ],
    )


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
