"""The routes behind signed links. Reading changes nothing; the form's POST does, and leads back to the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.alerts.api import respond_page, story
from watchkeeper.alerts.api.models import VerdictOut
from watchkeeper.alerts.api.respond import Responding, Ticket
from watchkeeper.alerts.incidents import feedback
from watchkeeper.alerts.messages.links import Links
from watchkeeper.schemas.errors import InputError, NotAllowed, NotFound, WatchkeeperError
from watchkeeper.schemas.events import Feedback
from watchkeeper.schemas.findings import Json
from watchkeeper.store.control import findings, incidents
from watchkeeper.store.control.column_types import marked
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Incident

BODY_BYTES = 16 * 1024
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
UNNAMED = "someone with the link"


class RespondRoutes:
    """Builds the router; ``clock`` stamps what people do, ``wall`` says whether a link is too old."""

    def __init__(
        self,
        control: Control,
        clock: Callable[[], datetime],
        wall: Callable[[], datetime],
        links: Links,
        responding: Responding,
    ) -> None:
        self._control = control
        self._clock = clock
        self._wall = wall
        self._links = links
        self._responding = responding

    def router(self) -> APIRouter:
        """Give every route; the door lets them pass, as the link is the proof."""
        router = APIRouter(tags=["signed links"])
        add = router.add_api_route
        add("/respond/{token}", self.show, response_class=Response, summary="The page of a message")
        add(
            "/respond/{token}",
            self.answer,
            methods=["POST"],
            status_code=303,
            response_class=Response,
            summary="Acknowledge, or give feedback",
        )
        add("/respond/{token}/evidence", self.evidence, response_class=Response, summary="Its evidence, as it was told")
        return router

    def show(self, token: str) -> Response:
        """Show what the message was about, as it stands now, and a form to answer it."""
        try:
            return _html(self._page(token))
        except WatchkeeperError as error:
            return _refused(error)

    async def answer(self, request: Request, token: str) -> Response:
        """Take the form: ``action`` is ``acknowledge`` or one of the feedback words; ``by`` and ``reason`` are free."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES:
                return _refused(InputError("the form is too long"))
        form = {name: values[0].strip() for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        try:
            await run_in_threadpool(self._take, token, form)
        except WatchkeeperError as error:
            return _refused(error)
        return Response(status_code=303, headers={**HEADERS, "Location": request.url.path})

    def evidence(self, token: str) -> Response:
        """Give the findings that the message spoke of with their snapshots: each number recomputes from these."""
        try:
            body = msgspec.json.encode(self._evidence(token))
        except WatchkeeperError as error:
            return _refused(error)
        return Response(body, media_type="application/json", headers=HEADERS)

    def _ticket(self, token: str) -> Ticket:
        return self._responding.read(token, self._wall())

    def _page(self, token: str) -> str:
        ticket = self._ticket(token)
        with self._control.snapshot() as tx:
            told = story.whole(tx, incidents.get(tx, ticket.incident_id), self._links)
        return respond_page.page(
            respond_page.Shown(
                title=told.text.partition("\n")[0],
                state=told.state.value,
                text=told.text,
                acknowledged=told.acknowledged_by,
                said=_said(told.feedback),
                incident_url=told.evidence_url,
                evidence_url=f"{token}/evidence",
            )
        )

    def _take(self, token: str, form: dict[str, str]) -> None:
        ticket = self._ticket(token)
        action, by, reason = form.get("action", ""), form.get("by", "")[:200], form.get("reason", "")[:2000]
        name = f"{by} (by link)" if by else UNNAMED
        if action == "acknowledge":
            feedback.acknowledge(self._control, ticket.incident_id, name, self._clock())
        elif action in respond_page.WORDS:
            said = Feedback(action, reason or None, name)
            feedback.give_feedback(self._control, ticket.incident_id, said, self._clock())
        else:
            raise InputError(f"action {action[:50]!r} is none of acknowledge, {', '.join(respond_page.WORDS)}")

    def _evidence(self, token: str) -> dict[str, Json]:
        ticket = self._ticket(token)
        with self._control.snapshot() as tx:
            incident = incidents.get(tx, ticket.incident_id)
            found = findings.standing(tx, _fingerprints(incident), ticket.told_at)
        told: list[Json] = [{"key": one.key, **cast("dict[str, Json]", msgspec.to_builtins(one))} for one in found]
        # JSON has no infinity: marked as it is stored.
        return {"incident": incident.id, "as_of": ticket.told_at.isoformat(), "findings": marked(told)}


def _fingerprints(incident: Incident) -> list[str]:
    return [member.fingerprint for member in incident.members]


def _said(verdicts: Sequence[VerdictOut]) -> str | None:
    if not verdicts:
        return None
    last = verdicts[-1]
    return last.word.replace("_", " ") + (f", by {last.by}" if last.by else "")


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/html", headers=HEADERS)


def _refused(error: WatchkeeperError) -> Response:
    known: dict[type[WatchkeeperError], int] = {NotAllowed: 403, NotFound: 404, InputError: 400}
    status = known.get(type(error), 503)
    return _html(respond_page.refusal(str(error)), status)
