"""The event of the ingest figures, and bodies of a thousand of them that are made without a pause for JSON."""

from __future__ import annotations

import json
import random
import time

ROWS = 1_000
TOKEN = b"########"
"""Stands in each id, so that a body made once can be sent many times as new events."""


def event(number: int, at: float, dice: random.Random) -> dict:
    return {
        "id": f"########-{number:04}",
        "ts": round(at + number * 0.0005, 4),
        "service": "bench",
        "model": "scorer",
        "model_version": f"v{number % 2}",
        "segments": {"plan": ("free", "team", "pro", "trial")[number % 4]},
        "features": {f"x{place}": round(dice.gauss(0, 1), 4) for place in range(16)}
        | {f"c{place}": f"kind{dice.randrange(10)}" for place in range(4)},
        "prediction": ("yes", "no", "no")[number % 3],
        "score": round(dice.random(), 4),
        "latency_ms": round(dice.expovariate(1 / 40), 2),
        "tokens": {"input": dice.randrange(2000), "output": dice.randrange(500)},
        "cost": round(dice.random() * 0.01, 6),
    }


class Bodies:
    """Gives bodies without end, all of one length; every event is new."""

    def __init__(self, name: str, rows: int = ROWS, at: float | None = None) -> None:
        dice = random.Random(name)
        rows_made = [json.dumps(event(n, at or time.time(), dice), separators=(",", ":")) for n in range(rows)]
        self._template = ("[" + ",".join(rows_made) + "]").encode()
        self._name = name
        self._given = 0

    def next(self) -> bytes:
        self._given += 1
        return self._template.replace(TOKEN, f"{self._name}{self._given:0{8 - len(self._name)}}".encode())
