"""The reading routes: health, status, metrics, named queries, the story of one decision, what is declared."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any

import msgspec
import polars as pl
from fastapi import APIRouter, Query, Request, Response

from watchkeeper.app import metrics
from watchkeeper.app.moments import moment
from watchkeeper.app.status import StatusReader
from watchkeeper.app.telemetry import report
from watchkeeper.schemas import events
from watchkeeper.schemas.access import BY_SERVICE, caller_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import Clock, wall
from watchkeeper.store.facts.queries import QUERIES, Ask, answer
from watchkeeper.store.facts.reader import FactReader
from watchkeeper.store.facts.story import story

ARROW = "application/vnd.apache.arrow.stream"
DEFAULT_WINDOW = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ReadRoutes:
    """Builds the router over what the rooms offer."""

    reader: FactReader
    status: StatusReader
    clock: Clock
    declarations: Callable[[], Declarations]
    ready: Callable[[], str | None]
    collector: metrics.ServerCollector

    def router(self) -> APIRouter:
        """Give every reading route."""
        router = APIRouter(tags=["read"])
        add = router.add_api_route
        add("/health", self.health, summary="The process lives")
        add("/ready", self.readiness, summary="It takes events; 503 with the reason where it does not")
        add("/metrics", self.metrics, summary="Prometheus text about the server itself")
        add("/v1/status", self.show_status, summary="What became of the events")
        add("/v1/telemetry", self.telemetry, summary="Who sends, what of it is missing, who is silent")
        add("/v1/schemas", self.schemas, summary="JSON Schema of every event")
        add("/v1/declared", self.declared, summary="Systems, objectives, prices, value models in force")
        by_service: list[str | Enum] = [BY_SERVICE]
        story_path = "/v1/predictions/{prediction_id:path}"
        add(story_path, self.prediction, summary="The whole story of one decision", tags=by_service)
        add("/v1/queries", self.queries, summary="The named queries")
        add("/v1/queries/{name}", self.query, summary="The rows of one named query", tags=by_service)
        return router

    def health(self) -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    def readiness(self) -> Response:
        """Say whether events are taken."""
        reason = self.ready()
        return _json({"status": "not ready", "reason": reason} if reason else {"status": "ok"}, 503 if reason else 200)

    def metrics(self) -> Response:
        """Render the metrics."""
        return Response(metrics.text(self.collector), media_type=metrics.CONTENT_TYPE)

    def show_status(self) -> Response:
        """Give the status."""
        return _json(self.status.read())

    def telemetry(self) -> Response:
        """Give the ledger of telemetry."""
        return _json(report(self.status.inbox.clients(), self.declarations(), wall(), self.reader.last_arrival))

    def schemas(self) -> Response:
        """Give the JSON Schemas."""
        return _json(events.json_schemas())

    def declared(self) -> Response:
        """Give what is declared."""
        return _json(self.declarations())

    def prediction(self, request: Request, prediction_id: str, service: str | None = None) -> Response:
        """Tell one decision."""
        caller = caller_of(request.scope)
        if service is not None:
            caller.reads(service)
        protected = self.declarations().protected_of
        told = story(self.reader.facts, prediction_id, service, protected, caller.services)
        return _json(_aware(told))

    def queries(self) -> Response:
        """List the queries."""
        return _json(
            [{"name": name, "question": q.question, "parameters": q.parameters} for name, q in sorted(QUERIES.items())]
        )

    def query(
        self,
        request: Request,
        name: str,
        *,
        start: str | None = None,
        end: str | None = None,
        service: str | None = None,
        model: str | None = None,
        step: Annotated[float, Query(gt=0, le=366 * 86400)] = 86400,
        dim: str = "",
        feature: str | None = None,
        metric: str | None = None,
        analyzer: str | None = None,
        subject: str | None = None,
        as_of: str | None = None,
    ) -> Response:
        """Answer one query, as JSON or as an Arrow IPC stream."""
        by_service = name in QUERIES and "service" in QUERIES[name].parameters
        caller_of(request.scope).reads(service if by_service else None)
        until = moment("end", end) or self.clock()
        window = Window(moment("start", start) or until - DEFAULT_WINDOW, until)
        if window.start > window.end:
            raise InputError("start is after end")
        declared = self.declarations()
        ask = Ask(
            window,
            service,
            model,
            timedelta(seconds=step),
            dim,
            feature,
            metric,
            analyzer,
            subject,
            moment("as_of", as_of),
            declared.protected_of(service),
            declared.reference_of(service, model) if service and model else None,
        )
        frame = answer(self.reader, name, ask)
        if ARROW in request.headers.get("accept", ""):
            buffer = io.BytesIO()
            frame.write_ipc_stream(buffer)
            return Response(buffer.getvalue(), media_type=ARROW)
        marked = frame.with_columns(pl.col(pl.Datetime("us")).dt.replace_time_zone("UTC"))
        return _json({"query": name, "rows": marked.to_dicts()})


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _aware(value: Any) -> Any:
    """Mark every stored (naive UTC) time as UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if isinstance(value, dict):
        return {name: _aware(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_aware(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value
