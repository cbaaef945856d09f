"""The routes that meet Evidently: its page of a window, our readings as its result, and its result as readings."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl
from fastapi import APIRouter, Body, Request, Response

from watchkeeper.analyzers import evidently_results
from watchkeeper.app import evidently_report
from watchkeeper.app.api import DEFAULT_WINDOW
from watchkeeper.app.moments import moment
from watchkeeper.app.rooms import reading_frame
from watchkeeper.schemas.access import caller_of
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import InputError, SettingsError, Unavailable
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import Clock
from watchkeeper.store.facts import readings
from watchkeeper.store.facts.queries import Ask, answer
from watchkeeper.store.facts.reader import FactReader


@dataclass(frozen=True, slots=True)
class EvidentlyRoutes:
    """Builds the router over the facts; at most one page is made at a time, in a child within limits."""

    reader: FactReader
    clock: Clock
    declarations: Callable[[], Declarations]
    _one: threading.Lock = field(default_factory=threading.Lock)

    def router(self) -> APIRouter:
        """Give ``/v1/evidently/...``."""
        router = APIRouter(tags=["evidently"])
        add = router.add_api_route
        add("/v1/evidently/page", self.page, summary="Evidently's page of a window against the reference")
        add("/v1/evidently/result", self.result, summary="Our readings as Evidently's result JSON")
        add("/v1/evidently/result", self.take, methods=["POST"], summary="Evidently's result JSON as readings")
        return router

    def page(
        self, request: Request, service: str, model: str, start: str | None = None, end: str | None = None
    ) -> Response:
        """Make the page from a bounded sample; protected attributes are not in it."""
        window = self._window(request, service, start, end)
        protected = self.declarations().protected_of(service)
        sample = answer(self.reader, "sample", Ask(window, service, model, protected=protected))
        rows, _ = evidently_report.comparable(sample)
        if not self._one.acquire(blocking=False):
            raise Unavailable("another page of Evidently is being made: ask again in a minute")
        try:
            content = _made(rows)
        finally:
            self._one.release()
        name = f"evidently-{window.start:%Y%m%d}-{window.end:%Y%m%d}.html"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="text/html; charset=utf-8", headers=headers)

    def result(
        self, request: Request, service: str, model: str, start: str | None = None, end: str | None = None
    ) -> Response:
        """Give the newest readings of the window as Evidently's result."""
        window = self._window(request, service, start, end)
        rows = answer(self.reader, "readings", Ask(window, service, model)).filter(
            pl.col("analyzer") != evidently_results.ANALYZER
        )
        return _json(evidently_results.result(rows.iter_rows(named=True)))

    def take(
        self,
        request: Request,
        service: str,
        model: str,
        found: Annotated[dict[str, Any], Body()],
        start: str | None = None,
        end: str | None = None,
    ) -> Response:
        """Keep Evidently's numbers as readings; the same result again changes nothing."""
        caller_of(request.scope).reads(service)
        window = evidently_results.window_of(moment("start", start), moment("end", end))
        taken, left_out = evidently_results.readings_of(found, service, model, window)
        if not taken:
            raise InputError("this result holds no number")
        readings.write(self.reader.facts, reading_frame(taken))
        return _json({"readings": len(taken), "left_out": left_out})

    def _window(self, request: Request, service: str, start: str | None, end: str | None) -> Window:
        caller_of(request.scope).reads(service)
        until = moment("end", end) or self.clock()
        window = Window(moment("start", start) or until - DEFAULT_WINDOW, until)
        if window.start > window.end:
            raise InputError("start is after end")
        return window


def _made(rows: pl.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory(prefix="watchkeeper-evidently-") as folder:
        out = Path(folder) / "page.html"
        try:
            evidently_report.render(rows, out)
        except SettingsError as error:  # it is not installed where the server runs: no fault of who asks
            raise Unavailable(str(error).replace("where this command runs", "where the server runs")) from None
        return out.read_bytes()


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
