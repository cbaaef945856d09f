"""The ingest routes: read, decompress, decode, keep, answer. 200 means that the good events are on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from watchkeeper.collector import body
from watchkeeper.collector.decoding import JSON, Decoder, KnownColumns, PlainJson, Sent, UnknownType, nothing_known
from watchkeeper.collector.inbox import Inbox, Incoming
from watchkeeper.collector.ledger import ClientBook, book
from watchkeeper.collector.registry import Way, discover, ways
from watchkeeper.schemas.access import caller_of
from watchkeeper.schemas.errors import InputError, Overloaded, TooLarge, Unavailable, WatchkeeperError
from watchkeeper.schemas.settings import Ingest

MAX_KEY = 200
RETRY_AFTER_SECONDS = 2
"""No more than 3: an OpenTelemetry exporter gives a batch up where this does not fit into its 10 seconds."""
CLIENT_GONE = 499
"""The sender hung up before the whole request was here: nobody reads the answer, only the access log."""
_PLAIN = PlainJson()


@dataclass(frozen=True, slots=True)
class IngestRoutes:
    """Builds the router over one inbox."""

    inbox: Inbox
    limits: Ingest
    known: KnownColumns = nothing_known

    def router(self) -> APIRouter:
        """Give ``POST`` on every path that a decoder reads."""
        router = APIRouter(tags=["ingest"])
        for path, readers in ways(discover(self.limits).values()).items():
            router.add_api_route(
                path,
                self._endpoint(path, readers),
                methods=["POST"],
                name=f"ingest_{path.removeprefix('/v1/').replace('/', '_')}",
                summary="; ".join(dict.fromkeys(door.summary for _, door in readers.values())),
                openapi_extra=_document(readers),
            )
        return router

    def _endpoint(self, path: str, readers: Mapping[str, Way]):
        async def ingest(request: Request) -> Response:
            media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            way = readers.get(media)
            if way is None:
                known = " or ".join(name for name in readers if name)
                return refusal(UnknownType(f"Content-Type {media!r} is not read at {path}: send {known}"))
            decoder, door = way
            encoding = door.types[media]
            try:
                return await self._take(decoder, door.kind, encoding, request)
            except WatchkeeperError as error:
                return refusal(error, decoder, encoding)
            except ClientDisconnect:
                return Response(status_code=CLIENT_GONE)

        return ingest

    async def _take(self, decoder: Decoder, kind: str, encoding: str, request: Request) -> Response:
        headers = request.headers
        limits = decoder.limits(self.limits)
        compressed = await body.read(request.stream(), limits.body_bytes, limits.body_setting)
        coding = headers.get("content-encoding", "").strip().lower()
        data = body.decompressed(compressed, coding, limits.decoded_bytes, limits.decoded_setting)
        services = caller_of(request.scope).services
        taken = decoder.check(Sent(kind, encoding, data, limits.rows, headers, services, self.known))
        incoming = Incoming(
            kind=kind,
            encoding=taken.encoding or encoding,
            received_us=time.time_ns() // 1000,
            body=taken.body,
            rows=taken.rows,
            rejected=taken.rejected,
            reply=taken.reply,
            batch_key=_key(kind, headers.get("idempotency-key")),
            client=_book(headers.get("watchkeeper-client"), services),
            services=services,
        )
        ack = await asyncio.wrap_future(self.inbox.append(incoming))
        extra = {"Watchkeeper-Repeated": "true"} if ack.repeated else None
        return Response(ack.reply, 200, extra, decoder.answer_type(encoding))


def refusal(error: WatchkeeperError, decoder: Decoder | PlainJson = _PLAIN, encoding: str = "") -> Response:
    """Answer a request that was not taken, with the reason and, where it helps, when to come back."""
    status, headers = 400, None
    if isinstance(error, TooLarge):
        status = 413
    elif isinstance(error, UnknownType | body.UnknownEncoding):
        status = 415
    elif isinstance(error, Unavailable):
        status = 429 if isinstance(error, Overloaded) else 503
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    elif not isinstance(error, InputError):
        status = 500
    said = decoder.refusal(status, error, encoding)
    return Response(said, status, headers, decoder.answer_type(encoding) if encoding else JSON)


Words = Callable[[str, bytes, int, WatchkeeperError], tuple[bytes, str] | None]


def words(ingest: Ingest) -> Words:
    """Give how a refusal at the door is said: by path and content type, its body and its type; None elsewhere."""
    table = ways(discover(ingest).values())

    def said(path: str, content_type: bytes, status: int, error: WatchkeeperError) -> tuple[bytes, str] | None:
        media = content_type.decode("latin-1").partition(";")[0].strip().lower()
        way = table.get(path, {}).get(media)
        if way is None:
            return None
        decoder, door = way
        encoding = door.types[media]
        return decoder.refusal(status, error, encoding), decoder.answer_type(encoding)

    return said


def _book(header: str | None, services: frozenset[str] | None) -> ClientBook | None:
    """Read the client's book; one that speaks of a service that its key is not for is none."""
    told = book(header)
    return told if told is None or services is None or told.service in services else None


def _key(kind: str, key: str | None) -> str | None:
    if key and len(key) > MAX_KEY:
        raise InputError(f"the Idempotency-Key has over {MAX_KEY} characters: send a shorter one")
    return f"{kind}/{key}" if key else None


def _document(readers: Mapping[str, Way]) -> dict[str, Any]:
    """Join what every reader of a path says of its bodies."""
    joined: dict[str, Any] = {"required": True, "content": {}}
    for _, door in readers.values():
        content = cast("Mapping[str, object]", door.document.get("content", {}))
        joined["content"] |= content
        joined |= {name: part for name, part in door.document.items() if name != "content"}
    return {"requestBody": joined}
