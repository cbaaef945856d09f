"""The routes of rejects: what was turned away, why, and what was sent again since."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from watchkeeper.app.moments import moment
from watchkeeper.store.clock import Clock, stored
from watchkeeper.store.facts import rejects
from watchkeeper.store.facts.connection import FactStore

MAX_LISTED = 10_000


class ReplayedIds(BaseModel):
    """The rejects that were sent again."""

    ids: Annotated[list[str], Field(min_length=1, max_length=MAX_LISTED)]


@dataclass(frozen=True, slots=True)
class RejectRoutes:
    """Builds the router over the facts."""

    facts: FactStore
    clock: Clock

    def router(self) -> APIRouter:
        """Give ``GET /v1/rejects`` and ``POST /v1/rejects/replayed``."""
        router = APIRouter(tags=["rejects"])
        router.add_api_route("/v1/rejects", self.listed, summary="What was turned away, and why")
        router.add_api_route(
            "/v1/rejects/replayed", self.replayed, methods=["POST"], summary="Close rejects that were sent again"
        )
        return router

    def listed(
        self,
        service: str | None = None,
        kind: str | None = None,
        since: str | None = None,
        replayed: bool = False,
        limit: Annotated[int, Query(ge=0, le=MAX_LISTED)] = 100,
    ) -> Response:
        """Give rejects, the oldest first, and counts by reason."""
        start = moment("since", since)
        which = rejects.Which(service, kind, stored(start) if start else None, replayed)
        found = rejects.listed(self.facts, which, limit).to_dicts() if limit else []
        counts = rejects.reasons(self.facts, which).to_dicts()
        answer = {"rejects": [_shown(row) for row in found], "reasons": [_aware(row) for row in counts]}
        return Response(msgspec.json.encode(answer), media_type="application/json")

    def replayed(self, ids: ReplayedIds) -> dict[str, int]:
        """Close rejects."""
        return {"closed": rejects.mark_replayed(self.facts, ids.ids, stored(self.clock()))}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Give a reject with its row as text, or in base64 where it is no text."""
    raw: bytes = row.pop("raw")
    try:
        return _aware(row) | {"raw": raw.decode()}
    except UnicodeDecodeError:
        return _aware(row) | {"raw_base64": base64.b64encode(raw).decode()}


def _aware(row: dict[str, Any]) -> dict[str, Any]:
    return {name: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for name, v in row.items()}
