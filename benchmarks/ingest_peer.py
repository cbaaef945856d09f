"""The peer of ``ingest``: FastAPI, a pydantic model of the body, and DuckDB's executemany, as it is often written."""

from __future__ import annotations

import sys

import duckdb
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Tokens(BaseModel):
    input: int
    output: int


class Event(BaseModel):
    id: str
    ts: float
    service: str
    model: str
    model_version: str
    segments: dict[str, str]
    features: dict[str, float | str]
    prediction: str
    score: float
    latency_ms: float
    tokens: Tokens
    cost: float


def main(file: str, port: str) -> None:
    connection = duckdb.connect(file)
    names = [f"x{place}" for place in range(16)] + [f"c{place}" for place in range(4)]
    columns = ", ".join(f"{name} {'DOUBLE' if name[0] == 'x' else 'VARCHAR'}" for name in names)
    connection.execute(
        f"""CREATE TABLE events (id VARCHAR, ts DOUBLE, service VARCHAR, model VARCHAR, model_version VARCHAR,
            plan VARCHAR, {columns}, prediction VARCHAR, score DOUBLE, latency_ms DOUBLE, input BIGINT, output BIGINT,
            cost DOUBLE)"""
    )
    app = FastAPI()

    @app.post("/v1/predictions")
    def take(events: list[Event]) -> dict[str, int]:
        rows = [
            (
                *(e.id, e.ts, e.service, e.model, e.model_version, e.segments["plan"]),
                *(e.features[name] for name in names),
                *(e.prediction, e.score, e.latency_ms, e.tokens.input, e.tokens.output, e.cost),
            )
            for e in events
        ]
        with connection.cursor() as cursor:
            cursor.begin()
            cursor.executemany(f"INSERT INTO events VALUES ({', '.join('?' * len(rows[0]))})", rows)
            cursor.commit()
        return {"accepted": len(rows)}

    app.add_api_route("/ready", lambda: {"status": "ok"})
    uvicorn.run(app, port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
