"""The routes of kept references: what is kept by name, and keeping one more. What is kept is never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from watchkeeper.app.moments import moment
from watchkeeper.app.upkeep import Upkeep
from watchkeeper.app.upkeep_routes import by
from watchkeeper.schemas.access import caller_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.findings import Json, Window
from watchkeeper.store.clock import Clock
from watchkeeper.store.control.connection import Control
from watchkeeper.store.facts import kept_references
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.histograms import MAX_CATEGORIES, MAX_EDGES, Epoch
from watchkeeper.store.facts.kept_references import Binned, Made

MOST_FEATURES = 302
"""Features of a model, its score and its prediction."""
Text = Annotated[str, Field(min_length=1, max_length=200)]


class FeatureAsked(BaseModel):
    """One feature of a file: rows a bin, on the edges of ``epoch``; 0 for edges that come with it."""

    feature: Text
    kind: Annotated[str, Field(pattern="^(numeric|category)$")]
    epoch: int = 0
    edges: Annotated[list[float], Field(max_length=MAX_EDGES + 1)] = []
    categories: Annotated[list[str], Field(max_length=MAX_CATEGORIES)] = []
    low: float | None = None
    high: float | None = None
    counts: Annotated[list[tuple[int, Annotated[int, Field(ge=0)]]], Field(max_length=400)]


class ReferenceAsked(BaseModel):
    """What to keep under a name: a past window, one version of the model, or the counts of a file."""

    service: Text
    model: Text
    name: Text
    start: str | None = None
    end: str | None = None
    version: Text | None = None
    file: Text | None = None
    features: Annotated[list[FeatureAsked], Field(max_length=MOST_FEATURES)] = []


@dataclass(frozen=True, slots=True)
class ReferenceRoutes:
    """Builds the router over the facts; what is kept is audited."""

    facts: FactStore
    control: Control
    upkeep: Upkeep
    clock: Clock
    declarations: Callable[[], Declarations]

    def router(self) -> APIRouter:
        """Give ``/v1/references`` and the edges that a file is to be counted on."""
        router = APIRouter(tags=["references"])
        router.add_api_route("/v1/references", self.listed, summary="The references that are kept by name")
        router.add_api_route("/v1/references", self.keep, methods=["POST"], summary="Keep a reference under a name")
        router.add_api_route("/v1/references/edges", self.edges, summary="The bins that a model is compared in")
        return router

    def listed(self, request: Request, service: str | None = None) -> Response:
        """List them, without their rows."""
        caller_of(request.scope).reads(service)
        rows = kept_references.listed(self.facts, service).to_dicts()
        return _json({"references": [_aware(row) for row in rows]})

    def edges(self, request: Request, service: str, model: str) -> Response:
        """Give the edges in force; none for a model without a reference, and none of a protected attribute."""
        caller_of(request.scope).reads(service)
        found, protected = (
            kept_references.in_force(self.facts, service, model),
            self.declarations().protected_of(service),
        )
        told = [{**_shape(epoch), "epoch": epoch.epoch} for epoch in found if epoch.feature not in protected]
        return _json({"features": told, "protected": sorted(protected)})

    def keep(self, request: Request, asked: ReferenceAsked) -> Response:
        """Keep one; the same name again is its next version."""
        row = kept_references.keep(self.facts, asked.service, asked.model, self._made(asked), self.clock())
        with self.control.transaction() as tx:
            detail = cast("dict[str, Json]", msgspec.to_builtins({n: v for n, v in row.items() if n != "made_at"}))
            self.upkeep.audited(tx, by(request), "reference", f"{asked.service}/{asked.model}/{asked.name}", detail)
        return _json(_aware(row))

    def _made(self, asked: ReferenceAsked) -> Made:
        given = (asked.start is not None or asked.end is not None, asked.version is not None, asked.file is not None)
        if sum(given) != 1:
            raise InputError("give just one of: start and end, version, file with features")
        pair = asked.service, asked.model
        if asked.version is not None:
            features = kept_references.of_version(self.facts, *pair, asked.version)
            return Made(asked.name, "version", f"version {asked.version}", features)
        if asked.file is not None:
            return Made(asked.name, "file", f"file {asked.file}", [_binned(one) for one in asked.features])
        start, end = moment("start", asked.start), moment("end", asked.end)
        if start is None or end is None or not start < end <= self.clock():
            raise InputError("a window has a start and a later end, and is over")
        window = Window(start, end)
        features = kept_references.of_window(self.facts, *pair, window)
        return Made(asked.name, "window", f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC", features, window)


def _binned(one: FeatureAsked) -> Binned:
    if not one.epoch and (one.kind == "numeric") != (len(one.edges) > 1):
        raise InputError(f"{one.feature}: a number without an epoch needs two edges or more, a category none")
    if sorted(set(one.edges)) != one.edges:
        raise InputError(f"{one.feature}: edges must rise")
    edges = np.asarray(one.edges, dtype=np.float64)
    epoch = Epoch(one.epoch, one.feature, one.kind, edges, tuple(one.categories), one.low, one.high)
    return Binned(epoch, dict(one.counts))


def _shape(epoch: Epoch) -> dict[str, object]:
    return {
        "feature": epoch.feature,
        "kind": epoch.kind,
        "edges": epoch.edges.tolist(),
        "categories": list(epoch.categories),
        "low": epoch.low,
        "high": epoch.high,
    }


def asked_of(found: Binned) -> dict[str, object]:
    """Give a feature as the route takes it: edges only where they are its own."""
    shape = _shape(found.epoch) if not found.epoch.epoch else {}
    named = {"feature": found.epoch.feature, "kind": found.epoch.kind, "epoch": found.epoch.epoch}
    return {**named, **shape, "counts": [[place, n] for place, n in found.counts.items()]}


def epoch_of(answer: dict[str, Any]) -> Epoch:
    """Read what ``edges`` gives."""
    edges = np.asarray(answer["edges"], dtype=np.float64)
    shape = answer["kind"], edges, tuple(answer["categories"]), answer["low"], answer["high"]
    return Epoch(answer["epoch"], answer["feature"], *shape)


def _aware(row: dict[str, Any]) -> dict[str, Any]:
    return {name: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for name, v in row.items()}


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
