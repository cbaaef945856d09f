"""The ingest routes: read, decompress, decode, keep, answer. 200 means that the good events are on disk."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from watchkeeper.collector import body
from watchkeeper.collector.decoders.events import Decoded, Encoding, EventDecoder
from watchkeeper.collector.inbox import ClientCount, Inbox, Incoming
from watchkeeper.schemas.errors import (
    InputError,
    NotDecodable,
    Overloaded,
    TooLarge,
    Unavailable,
    WatchkeeperError,
)
from watchkeeper.schemas.events import KINDS
from watchkeeper.schemas.settings import Ingest

MAX_ERRORS_SHOWN = 100
MAX_KEY = 200
RETRY_AFTER_SECONDS = 2
CLIENT_GONE = 499
"""The sender hung up before the whole request was here: nobody reads the answer, only the access log."""
_COUNT = re.compile("[0-9]{1,18}")
_ENCODINGS: dict[str, Encoding] = {
    "": "ndjson",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/plain": "ndjson",
    "application/json": "json",
}


class RowError(msgspec.Struct, frozen=True):
    """Why one row was not taken."""

    index: int
    field: str
    reason: str


class Reply(msgspec.Struct, frozen=True):
    """What became of the rows of one request."""

    accepted: int
    rejected: int
    duplicates: int = 0
    errors: tuple[RowError, ...] = ()


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request as a whole was not taken."""

    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class IngestRoutes:
    """Builds the router over one inbox."""

    inbox: Inbox
    limits: Ingest

    def router(self) -> APIRouter:
        """Give ``POST /v1/{predictions,outcomes,reviews,changes}``."""
        router = APIRouter(tags=["ingest"])
        for kind in KINDS:
            router.add_api_route(
                f"/v1/{kind}",
                self._endpoint(kind),
                methods=["POST"],
                name=f"ingest_{kind}",
                summary=f"Take {kind}: NDJSON or a JSON array, plain, gzip or zstd",
                openapi_extra=_openapi(kind),
            )
        return router

    def _endpoint(self, kind: str):
        decoder = EventDecoder(kind)

        async def ingest(request: Request) -> Response:
            try:
                return await self._take(kind, decoder, request)
            except WatchkeeperError as error:
                return refusal(error)
            except ClientDisconnect:
                return Response(status_code=CLIENT_GONE)

        return ingest

    async def _take(self, kind: str, decoder: EventDecoder, request: Request) -> Response:
        headers = request.headers
        encoding = _encoding(headers.get("content-type", ""))
        compressed = await body.read(request.stream(), self.limits.max_body_bytes)
        data = body.decompressed(
            compressed, headers.get("content-encoding", "").strip().lower(), self.limits.max_decoded_bytes
        )
        decoded = decoder.decode(data, encoding, self.limits.max_rows)
        reply = _reply(decoded)
        incoming = Incoming(
            kind=kind,
            encoding=decoded.encoding,
            received_us=time.time_ns() // 1000,
            body=decoded.body,
            rows=len(decoded.events),
            rejected=decoded.rejected,
            reply=reply,
            batch_key=_key(kind, headers.get("idempotency-key")),
            client=client_count(headers.get("watchkeeper-client")),
        )
        ack = await asyncio.wrap_future(self.inbox.append(incoming))
        extra = {"Watchkeeper-Repeated": "true"} if ack.repeated else None
        return Response(ack.reply, 200, extra, "application/json")


def refusal(error: WatchkeeperError) -> Response:
    """Answer a request that was not taken, with the reason and, where it helps, when to come back."""
    status, headers = 400, None
    if isinstance(error, TooLarge):
        status = 413
    elif isinstance(error, _UnknownType | body.UnknownEncoding):
        status = 415
    elif isinstance(error, Unavailable):
        status = 429 if isinstance(error, Overloaded) else 503
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    elif not isinstance(error, InputError):
        status = 500
    problem = Problem(type(error).__name__.lstrip("_"), str(error))
    return Response(msgspec.json.encode(problem), status, headers, "application/json")


def client_count(header: str | None) -> ClientCount | None:
    """Read ``Watchkeeper-Client: ID; sent=N; dropped=N``; nonsense is no count.

    >>> client_count("a1; sent=10; dropped=2")
    ClientCount(client='a1', sent=10, dropped=2)
    """
    if not header:
        return None
    client, *parts = [part.strip() for part in header.split(";")]
    numbers: dict[str, str] = {}
    for part in parts:
        name, _, number = part.partition("=")
        numbers[name] = number
    sent, dropped = numbers.get("sent", ""), numbers.get("dropped", "0")
    if not (client and _COUNT.fullmatch(sent) and _COUNT.fullmatch(dropped)):
        return None
    return ClientCount(client[:100], int(sent), int(dropped))


class _UnknownType(NotDecodable):
    """The content type is not one that is read here."""


def _encoding(content_type: str) -> Encoding:
    name = content_type.partition(";")[0].strip().lower()
    if name not in _ENCODINGS:
        raise _UnknownType(f"Content-Type {name!r} is not read here: send application/x-ndjson or application/json")
    return _ENCODINGS[name]


def _key(kind: str, key: str | None) -> str | None:
    if key and len(key) > MAX_KEY:
        raise InputError(f"the Idempotency-Key has over {MAX_KEY} characters: send a shorter one")
    return f"{kind}/{key}" if key else None


def _reply(decoded: Decoded) -> bytes:
    shown = tuple(RowError(r.index, r.field, r.reason) for r in decoded.rejected[:MAX_ERRORS_SHOWN])
    return msgspec.json.encode(Reply(len(decoded.events), len(decoded.rejected), 0, shown))


def _openapi(kind: str) -> dict[str, object]:
    schema = {"$ref": f"/v1/schemas#/{kind}"}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {"schema": {"type": "string", "description": "one event a line"}},
                "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            },
            "x-event-schema": schema,
        }
    }
