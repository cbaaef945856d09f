"""The routes of objectives: how they stand, and the gate that a deploy pipeline asks."""

from __future__ import annotations

from enum import Enum

import msgspec
from fastapi import APIRouter, Request, Response

from watchkeeper.app.slos import SloReader
from watchkeeper.schemas.access import BY_SERVICE, caller_of


def slo_routes(slos: SloReader) -> APIRouter:
    """Give ``/v1/slos``, ``/v1/slos/{slo}`` and ``/v1/gate/{slo}``."""
    router = APIRouter(prefix="/v1", tags=["objectives"])
    tags: list[str | Enum] = [BY_SERVICE]

    @router.get("/slos", tags=tags, summary="How every objective stands, the worst first")
    def listed(request: Request, service: str | None = None) -> Response:
        """Give every objective."""
        caller_of(request.scope).reads(service)
        return _json(slos.every(service))

    @router.get("/slos/{slo:path}", tags=tags, summary="How one objective stands")
    def one(request: Request, slo: str) -> Response:
        """Give one objective."""
        found = slos.named(slo)
        caller_of(request.scope).reads(found.service)
        return _json(found)

    @router.get("/gate/{slo:path}", tags=tags, summary="May a deployment go on? open, closed or unknown")
    def gate(request: Request, slo: str) -> Response:
        """Give the gate of one objective."""
        caller_of(request.scope).reads(slos.named(slo).service)
        return _json(slos.gate(slo))

    _ = (listed, one, gate)
    return router


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
