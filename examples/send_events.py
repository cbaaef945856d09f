"""Sends a hundred made predictions of one service, and what came of them.

Run it beside a server (``make serve``): ``python examples/send_events.py``. WATCHKEEPER_URL names another one.
"""

from __future__ import annotations

import os
import random

import watchkeeper_sdk as wk

COUNTRIES = ("DE", "FR", "IT")


def main() -> None:
    """Send, and say what became of it."""
    wk.init(os.environ.get("WATCHKEEPER_URL", "http://127.0.0.1:8090"), service="checkout")
    wk.mark_change("deploy", "fraud model 7", model="fraud", version="7")
    draw = random.Random(7)
    for _ in range(100):
        amount, country = round(draw.lognormvariate(4, 1), 2), draw.choice(COUNTRIES)
        with wk.request(model="fraud", model_version="7", segments={"country": country}) as request:
            request.features = {"amount": amount, "country": country, "items": draw.randint(1, 9)}
            request.score = min(1.0, amount / 500)
            request.prediction = request.score > 0.8
        wk.log_outcome(request.id, draw.random() < request.score, source="chargebacks")
    wk.flush()
    stats = wk.stats()
    print(f"accepted {stats.accepted}, rejected {stats.rejected}, dropped {sum(stats.dropped.values())}")


if __name__ == "__main__":
    main()
