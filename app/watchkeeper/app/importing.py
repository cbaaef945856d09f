"""Sends the rows of a file of logs as predictions and outcomes, in batches that may be repeated without harm."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from watchkeeper.app.remote import Busy, Remote
from watchkeeper.schemas.errors import Unavailable, WatchkeeperError
from watchkeeper.schemas.events import Prediction

MAX_WAIT_SECONDS = 300.0
"""The longest that one batch is waited for while the server asks to come again."""
TOKENS = {"tokens_in": "input", "tokens_input": "input", "tokens_out": "output", "tokens_output": "output"}
_NESTED = frozenset({"extra", "tokens", "checks", "fallback"})
"""Objects of our own events, as an NDJSON file has them."""
_OWN = frozenset(Prediction.__struct_encode_fields__) - _NESTED - {"features"}
_NUMBERS = frozenset(
    {"score", "confidence", "confidence_threshold", "latency_ms", "ttft_ms", "cost", "attempts", "sample_weight"}
)
_TIMES = frozenset({"ts", "needed_by", "used_at"})
REASONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Target:
    """Whose rows they are, and the name of the file that they come from."""

    name: str
    service: str
    model: str


def pause(busy: Busy) -> None:
    """Wait as long as the server asks for."""
    time.sleep(busy.retry_after)


@dataclass(slots=True)
class Import:
    """Sends rows from ``row`` on, and knows how far it is.

    ``sent`` hears after each batch how many rows of the file are stored; ``wait`` waits as the server asks.
    ``reasons`` has why rows were rejected: the first few that differ, each with the row that it was said of first.
    """

    target: Target
    remote: Remote
    row: int = 0
    sent: Callable[[int], object] = int
    wait: Callable[[Busy], object] = pause
    reasons: dict[str, int] = field(default_factory=dict[str, int])

    def run(self, batches: Iterable[Sequence[dict[str, Any]]]) -> dict[str, int]:
        """Send all rows; give how many were accepted and rejected. Unknown columns become features.

        A row without an id gets one from service, model, the file's name and its place, so that a second run adds
        nothing. What ends it early says where to go on.
        """
        counts = {"rows": 0, "accepted": 0, "rejected": 0, "outcomes": 0}
        try:
            for batch in batches:
                self._send(batch, counts)
        except (KeyboardInterrupt, WatchkeeperError) as error:
            known = isinstance(error, WatchkeeperError)
            if known and self.row == 0:
                raise
            stored = f"The first {self.row} rows are stored: go on with --start-row {self.row}"
            raise (type(error) if known else Unavailable)(f"{error if known else 'interrupted'}. {stored}") from None
        return counts

    def _send(self, batch: Sequence[dict[str, Any]], counts: dict[str, int]) -> None:
        target = self.target
        key = f"import/{target.name}/{target.service}/{target.model}/{self.row}"
        predictions: list[dict[str, Any]] = []
        outcomes: list[dict[str, Any]] = []
        for place, values in enumerate(batch, start=self.row):
            name = f"{target.service}/{target.model}/{target.name}/{place}"
            prediction = _prediction(values, name, target.service, target.model)
            predictions.append(prediction)
            if values.get("outcome") is not None:
                outcomes.append(_outcome(values, prediction))
        reply = self._patiently("predictions", key, predictions)
        for error in reply.get("errors", ()):
            if len(self.reasons) < REASONS_SHOWN:
                self.reasons.setdefault(f"{error['field']}: {error['reason']}", self.row + error["index"])
        if outcomes:
            counts["outcomes"] += self._patiently("outcomes", key, outcomes)["accepted"]
        self.row += len(predictions)
        counts["rows"] += len(predictions)
        counts["accepted"] += reply["accepted"]
        counts["rejected"] += reply["rejected"]
        self.sent(self.row)

    def _patiently(self, kind: str, key: str, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Send a batch; while the server asks to come again, wait and do so."""
        body = _lines(events)
        waited = 0.0
        while True:
            try:
                return self.remote.send(kind, body, _keyed(key, body))
            except Busy as busy:
                waited += busy.retry_after
                if waited > MAX_WAIT_SECONDS:
                    raise
                self.wait(busy)


def _prediction(values: dict[str, Any], fallback_id: str, service: str, model: str) -> dict[str, Any]:
    event: dict[str, Any] = {"id": fallback_id, "service": service, "model": model}
    features: dict[str, Any] = {}
    tokens: dict[str, Any] = {}
    for column, value in values.items():
        if value is None or column in ("outcome", "known_at"):
            continue
        if column == "segments":
            event["segments"] = cast("object", value) if isinstance(value, dict) else {"segment": str(value)}
        elif column in _NESTED:
            event[column] = _without_nulls(value)
        elif column == "features" and isinstance(value, dict):
            features |= _without_nulls(value)
        elif column in TOKENS:
            tokens[TOKENS[column]] = _number(value)
        elif column == "ok":
            event["status"] = "ok" if value else "error"
        elif column in _NUMBERS or column in _TIMES:
            event[column] = _number(value)
        elif column in _OWN:
            event[column] = str(value) if column == "id" else value
        else:
            features[column] = value
    return event | ({"features": features} if features else {}) | ({"tokens": tokens} if tokens else {})


def _number(value: Any) -> Any:
    """Read a number that a CSV file's column of texts holds, as one "N/A" makes of the column; other text stays.

    >>> _number("0.5"), _number("17"), _number("N/A"), _number("2026-03-01T00:00:00")
    (0.5, 17, 'N/A', '2026-03-01T00:00:00')
    """
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number if math.isfinite(number) else value


def _without_nulls(value: Any) -> Any:
    """Let go of the nulls that a reader of columns puts where a row lacked a field."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {name: _without_nulls(part) for name, part in pairs if part is not None}
    return [_without_nulls(part) for part in cast("list[Any]", value)] if isinstance(value, list) else value


def _outcome(values: dict[str, Any], prediction: dict[str, Any]) -> dict[str, Any]:
    known_at = {"known_at": values["known_at"]} if values.get("known_at") is not None else {}
    return {
        "prediction_id": prediction["id"],
        "prediction_ts": prediction.get("ts"),
        "service": prediction["service"],
        "value": values["outcome"],
    } | known_at


def _lines(events: Sequence[dict[str, Any]]) -> bytes:
    return b"\n".join(map(msgspec.json.encode, events))


def _keyed(key: str, body: bytes) -> str:
    """Tell a changed file from the same one sent again: the key says what the batch holds."""
    return f"{key}/{hashlib.sha256(body).hexdigest()[:16]}"
