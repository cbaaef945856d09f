"""The peers of ``ack``: the collector's own route over something that answers only after DuckDB has committed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import uvicorn
from fastapi import FastAPI

from watchkeeper.collector import columns, plain
from watchkeeper.collector.inbox import Ack, Incoming
from watchkeeper.collector.routes import IngestRoutes
from watchkeeper.collector.shapes import Shapes
from watchkeeper.schemas.settings import Ingest
from watchkeeper.store.clock import wall
from watchkeeper.store.facts import prediction_rows
from watchkeeper.store.facts.batch import Batch, Predictions
from watchkeeper.store.facts.connection import FactStore, insert
from watchkeeper.store.facts.load import Loader


class CommitFirst:
    """Has the inbox's shape; one writer thread, as DuckDB wants it."""

    def __init__(self, store: Callable[[Predictions], object], shapes: Shapes) -> None:
        self._store = store
        self._shapes = shapes
        self._writer = ThreadPoolExecutor(1)

    def append(self, incoming: Incoming) -> Future[Ack]:
        return self._writer.submit(self._commit, incoming)

    def _commit(self, incoming: Incoming) -> Ack:
        events = plain.predictions(incoming.body, incoming.encoding)
        self._store(columns.predictions(events, [incoming.received_us] * len(events), {}, self._shapes))
        return Ack(incoming.reply, repeated=False)


def main(kind: str, file: str, port: str) -> None:
    facts = FactStore(file)
    loader = Loader(facts, wall)

    def bare(rows: Predictions) -> None:
        with facts.transaction() as connection:
            prediction_rows.make(connection, rows.frame.columns)
            insert(connection, prediction_rows.TABLE, rows.frame)

    stores: dict[str, Callable[[Predictions], object]] = {
        "duckdb_insert": bare,
        "duckdb_load": lambda rows: loader.load(Batch(predictions=rows)),
    }
    app = FastAPI()
    app.include_router(IngestRoutes(CommitFirst(stores[kind], Shapes(loader.kinds)), Ingest()).router())  # pyright: ignore[reportArgumentType]
    app.add_api_route("/ready", lambda: {"status": "ok"})
    app.add_api_route("/v1/status", lambda: {"loaded": facts.read("SELECT count(*) AS n FROM predictions")["n"].item()})
    uvicorn.run(app, port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
