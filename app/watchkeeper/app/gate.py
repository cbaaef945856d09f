"""The door: no request gets behind it without a key that allows what it asks for."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from watchkeeper.app.access import OPEN_PATHS, SIGNED_PATHS
from watchkeeper.app.keyring import KeyRing, Known
from watchkeeper.collector.decoding import JSON, PlainJson
from watchkeeper.collector.routes import RETRY_AFTER_SECONDS, Words
from watchkeeper.schemas.access import BY_SERVICE, ON_BEHALF_OF, SCOPE_KEY, Caller, Role
from watchkeeper.schemas.errors import NotAllowed, Overloaded, WatchkeeperError

MAX_NAME = 200
_PLAIN = PlainJson()
_ACTING = ON_BEHALF_OF.lower().encode()
_ALLOWED_TO_READ = frozenset({"/v1/schemas", "/v1/queries", "/openapi.json"})
"""Paths that tell nothing of any service."""


class Refused(Exception):
    """A request that stays outside: status, reason, headers."""

    def __init__(self, status: int, error: WatchkeeperError, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Needs:
    """Which role each route needs. What no rule names: viewer to read, admin for the rest.

    Tags speak: ``ingest`` needs ingest; what changes something under ``alerts`` needs operator; ``admin`` needs admin.
    """

    exact: dict[tuple[str, str], Role]
    patterns: tuple[tuple[str, re.Pattern[str], Role], ...]
    by_service: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, routers: Iterable[APIRouter]) -> Needs:
        """Read the rules off the routes."""
        exact: dict[tuple[str, str], Role] = {}
        patterns: list[tuple[str, re.Pattern[str], Role]] = []
        by_service: list[re.Pattern[str]] = []
        for route in (route for router in routers for route in router.routes):
            if not isinstance(route, APIRoute):
                continue
            tags = {str(tag) for tag in route.tags}
            for method in route.methods or ():
                role = _role(method, tags)
                if "{" in route.path:
                    patterns.append((method, route.path_regex, role))
                else:
                    exact[method, route.path] = role
            if BY_SERVICE in tags:
                by_service.append(route.path_regex)
        return cls(exact, tuple(patterns), tuple(by_service))

    def role(self, method: str, path: str) -> Role:
        """Give the role that a request needs."""
        found = self.exact.get((method, path))
        if found is not None:
            return found
        for known, pattern, role in self.patterns:
            if known == method and pattern.match(path):
                return role
        return _role(method, set())

    def looks_at_services(self, path: str) -> bool:
        """Whether the route behind this path looks itself at what a caller may read."""
        return path in _ALLOWED_TO_READ or any(pattern.match(path) for pattern in self.by_service)


def _role(method: str, tags: set[str]) -> Role:
    if "ingest" in tags:
        return Role.INGEST
    if "admin" in tags:
        return Role.ADMIN
    if method in {"GET", "HEAD"}:
        return Role.VIEWER
    return Role.OPERATOR if "alerts" in tags else Role.ADMIN


class Gate:
    """ASGI middleware: every path but health and readiness needs ``Authorization: Bearer KEY`` where there are keys."""

    def __init__(self, app: ASGIApp, ring: KeyRing, needs: Needs, words: Words) -> None:
        self._app = app
        self._ring = ring
        self._needs = needs
        self._words = words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass, with its caller in the scope; answer 401, 403 or 429 to the rest."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or scope["path"].startswith(SIGNED_PATHS):
            await self._app(scope, receive, send)
            return
        text, user = _presented(scope)
        known = await self._ring.resolve(text)
        try:
            scope[SCOPE_KEY] = self._admitted(known, user, scope["method"], scope["path"])
        except Refused as refused:
            await self._refuse(scope, refused, send)
            return
        await self._app(scope, known.quota.counted(receive) if known else receive, send)

    async def _refuse(self, scope: Scope, refused: Refused, send: Send) -> None:
        """Say no in the words of the protocol that asks."""
        media = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        said = self._words(scope["path"], media, refused.status, refused.error)
        body, kind = said or (_PLAIN.refusal(refused.status, refused.error, ""), JSON)
        headers = [(b"content-type", kind.encode()), *refused.headers]
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _admitted(self, known: Known | None, user: str | None, method: str, path: str) -> Caller:
        if known is None:
            reason = "send Authorization: Bearer KEY with a key of this server"
            raise Refused(401, NotAllowed(reason), (b"www-authenticate", b"Bearer"))
        role = self._needs.role(method, path)
        caller = known.caller
        if role not in caller.roles:
            raise Refused(403, NotAllowed(f"the key {caller.name} may not do this: it needs the role {role}"))
        if caller.services is not None and role is not Role.INGEST and not self._needs.looks_at_services(path):
            raise Refused(403, NotAllowed(f"the key {caller.name} is for some services only: this tells of all"))
        try:
            caller = caller.for_user(user)
        except NotAllowed as error:
            raise Refused(403, error) from None
        wait, limit = known.quota.admit()
        if wait:
            wait = min(wait, RETRY_AFTER_SECONDS) if role is Role.INGEST else wait
            after = (b"retry-after", str(math.ceil(wait)).encode())
            over = Overloaded(f"the key {caller.name} has used up its {limit}: come back later")
            raise Refused(429, over, after)
        return caller


def _password(credentials: bytes) -> bytes | None:
    """Give the password of a user and password: Langfuse's SDKs send their secret key so, and in no other way."""
    try:
        _, colon, password = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return password if colon else None


def _presented(scope: Scope) -> tuple[bytes | None, str | None]:
    """Give the key that a request shows, and the user whom it acts for."""
    text: bytes | None = None
    user: str | None = None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            text = value[7:].strip()
        elif name == b"authorization" and value[:6].lower() == b"basic ":
            text = _password(value[6:])
        elif name == _ACTING:
            user = unquote(value.decode("latin-1")).strip()[:MAX_NAME] or None
    return text, user
