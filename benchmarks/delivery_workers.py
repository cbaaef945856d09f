"""What is killed in the run of ``delivery``: an evaluator that makes incidents begin and end, a sender."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.incidents.incidents import Timing
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.messages.links import Links
from watchkeeper.schemas.findings import Evidence, Finding, Severity, Window
from watchkeeper.store.control import declared, watermarks
from watchkeeper.store.control.connection import open_control

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)
SERVICES = 6
AT_ONCE = Timing(keep_page=timedelta(0), keep_ticket=timedelta(0))
ANALYZER = "soak"


@dataclass(frozen=True)
class Shared:
    """What every process is given; ``ahead`` is how many seconds the moved clock is ahead, ``stop`` a flag."""

    url: str
    ahead: Any
    stop: Any

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead.value)


def evaluator(shared: Shared) -> None:
    """Evaluate the step after the watermark, again and again; another process does the same."""
    control = open_control(shared.url)
    with control.snapshot() as tx:
        in_force = declared.current(tx)
    while not shared.stop.value:
        with control.snapshot() as tx:
            at = (watermarks.get(tx, ANALYZER) or START) + STEP
        found = [one for number in range(SERVICES) for one in findings(number, at)]
        record(
            control,
            found,
            in_force,
            at,
            Links("http://127.0.0.1"),
            watermarks={ANALYZER: at},
            timing=AT_ONCE,
            now=shared.now(),
        )
        time.sleep(0.01)


def findings(number: int, at: datetime) -> list[Finding]:
    """Each service is bad for three steps and good for three; it is said when that changes."""
    step = (at - START) // STEP + number
    if step % 3:
        return []
    return [
        Finding(
            analyzer=ANALYZER,
            service=f"service {number}",
            model="m",
            metric="x",
            subjects=("s",),
            window=Window(at - STEP, at),
            as_of=at,
            observed=1.0,
            severity=Severity.PAGE,
            summary="it is bad",
            evidence=Evidence("rule", 1),
            active=(step // 3) % 2 == 0,
        )
    ]


def sender(shared: Shared, name: str) -> None:
    """Send what is due, as a server does: take back what an earlier life held, then look again and again."""
    logging.getLogger("watchkeeper").setLevel(logging.CRITICAL)
    one = Sender(open_control(shared.url), name)
    one.take_back()
    while not shared.stop.value:
        if one.run_once(shared.now()) == 0:
            time.sleep(0.02)
