"""Findings and declarations for the tests of alerts and of control data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from watchkeeper.alerts.incidents.incidents import Timing
from watchkeeper.alerts.messages.links import Links
from watchkeeper.schemas.declared import Declarations, Receiver, Route, System
from watchkeeper.schemas.findings import DataState, Evidence, Finding, Impact, Severity, Window
from watchkeeper.store.control.connection import Control, open_control

START = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
LINKS = Links("http://127.0.0.1:8091")
NOTHING_DECLARED = Declarations()


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def finding(
    subject: str = "carrier",
    *,
    at: datetime = START,
    severity: Severity = Severity.TICKET,
    service: str = "delays",
    model: str = "arrival",
    metric: str = "unseen_share",
    analyzer: str = "drift",
    second: tuple[str, ...] = (),
    active: bool = True,
    grade: str = "B",
    effect: float | None = 2.0,
    impact: Impact | None = None,
    data_state: DataState = DataState.OK,
    summary: str | None = None,
    **more: object,
) -> Finding:
    return Finding(
        analyzer=analyzer,
        service=service,
        model=model,
        metric=metric,
        subjects=(subject, *second),
        window=Window(at - timedelta(days=1), at),
        as_of=at,
        observed=0.31,
        severity=severity,
        summary=summary or f"31 % of {subject} values were never seen before",
        evidence=Evidence("chi-squared test", 3120, 4.1e-5, grade, {"counts": [967, 3120], "deep": {"x": 0.1}}),
        interval=(0.28, 0.34),
        reference=0.02,
        effect=effect,
        unit="share",
        impact=impact,
        data_state=data_state,
        active=active,
        **more,  # type: ignore[arg-type]
    )


def webhook(url: str, name: str = "on-call", **match: str) -> Route:
    return Route(name=name, receiver=Receiver(type="webhook", url=url), match=match)  # type: ignore[arg-type]


OWNED = System(
    name="flight-delays",
    services=["delays"],
    owner="operations",
    contact="#ops-oncall",
    runbook="https://runbooks.example/delays",
    fallback="timetable averages",
)


@cache
def _empty_control() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "control.db"
        open_control(f"sqlite:///{file}").close()
        return file.read_bytes()


def sqlite_control(folder: Path) -> Control:
    """Open the control database of a folder; a new one is a copy of one that was made before."""
    file = folder / "control.db"
    if not file.exists():
        file.write_bytes(_empty_control())
    return open_control(f"sqlite:///{file}")


AT_ONCE = Timing(keep_page=timedelta(0), keep_ticket=timedelta(0))
"""Incidents that end with their last condition."""
