"""The calls that a host makes. None of them raises, waits for the network, or touches a file."""

from __future__ import annotations

from functools import wraps
from time import time
from typing import TYPE_CHECKING

from ._ledger import describe
from ._pipe import Pipe
from ._request import AsyncRequest, Request
from ._settings import Settings, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Concatenate, ParamSpec

    from typing_extensions import Never, Self, Unpack

    from ._fields import ChangeKind, Decision, PredictionFields, Time, Value
    from ._ledger import Stats
    from ._settings import Options

    P = ParamSpec("P")


def _harmless(
    method: Callable[Concatenate[Client, P], None],
) -> Callable[Concatenate[Client, P], None]:
    """Count and tell what goes wrong in the call instead of raising it, wrong arguments included."""

    @wraps(method)
    def call(self: Client, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # the host must not notice
            self._pipe.lose(method.__name__, error)  # pyright: ignore[reportPrivateUsage]  # a method but for its place

    return call


class Client:
    """Logs to one server. Most programs use the functions of the module, which share one client."""

    def __init__(self, url: str | None = None, service: str | None = None, **options: Unpack[Options]) -> None:
        self._pipe = Pipe(Settings())
        self.init(url, service, **options)

    def init(self, url: str | None = None, service: str | None = None, **options: Unpack[Options]) -> Self:
        """Say where to send and in whose name; without a URL every call does nothing, silently.

        ``url`` and ``service`` default to WATCHKEEPER_URL and WATCHKEEPER_SERVICE, ``api_key`` to
        WATCHKEEPER_API_KEY or the content of the file WATCHKEEPER_API_KEY_FILE. ``environment`` and
        ``site`` go with each prediction. A batch leaves after ``flush_interval`` seconds or with
        ``max_batch`` events. At most ``max_queue_events`` and about ``max_queue_bytes`` wait, the
        newest is dropped beyond that. The end of the process waits ``exit_timeout`` seconds at most.
        What cannot be used is warned of, not raised. Called again, what was logged before still goes
        where it was meant to go.
        """
        before = self._pipe
        settings, complaints = resolve(url, service, options)
        self._pipe = Pipe(settings)
        before.retire()
        for complaint in complaints:
            self._pipe.ledger.complain(complaint, complaint)
        return self

    def log_prediction(self, *misplaced: Never, **fields: Unpack[PredictionFields]) -> str:
        """Log one decision or answer; gives its id, to be kept for ``log_outcome``.

        Keyword arguments are the fields of a prediction; any other name travels under ``extra``. The time
        is now, unless ``ts`` is given. ``features`` and ``segments`` are copied; what is inside them is
        read later, on another thread, so do not change a nested object afterwards.
        """
        pipe = self._pipe
        try:
            fields["id"] = event_id = _text(fields.get("id")) or pipe.new_id()
            if not pipe.on:
                return event_id
            if misplaced:
                pipe.ledger.adjust("positional", "log_prediction() takes keyword arguments only")
            ts = fields.get("ts")
            if ts is None:
                fields["ts"] = ts = time()
            _own_mappings(fields)
            pipe.recent.remember(event_id, ts)
            pipe.put("predictions", fields)
        except Exception as error:  # noqa: BLE001  # the host must not notice
            pipe.lose("log_prediction", error)
            return pipe.new_id()
        return event_id

    @_harmless
    def log_outcome(
        self,
        prediction_id: str,
        value: Value,
        *,
        prediction_ts: Time | None = None,
        known_at: Time | None = None,
        source: str | None = None,
    ) -> None:
        """Log what came true for one prediction.

        ``known_at`` is now unless given. ``prediction_ts``, the time of the prediction, makes matching
        far cheaper for the server: this process adds it for its last 10,000 predictions; give it for others.
        """
        pipe = self._pipe
        event_id = _text(prediction_id)
        fields = {
            "prediction_id": event_id,
            "value": value,
            "prediction_ts": pipe.recent.get(event_id) if prediction_ts is None else prediction_ts,
            "known_at": time() if known_at is None else known_at,
            "source": source,
        }
        pipe.put("outcomes", fields)

    @_harmless
    def log_review(
        self,
        prediction_id: str,
        decision: Decision,
        *,
        ts: Time | None = None,
        prediction_ts: Time | None = None,
        minutes: float | None = None,
        role: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Log that a human looked at one prediction and decided; ``role``, never a name."""
        pipe = self._pipe
        event_id = _text(prediction_id)
        fields = {
            "prediction_id": event_id,
            "decision": decision,
            "ts": time() if ts is None else ts,
            "prediction_ts": pipe.recent.get(event_id) if prediction_ts is None else prediction_ts,
            "minutes": minutes,
            "role": role,
            "reason": reason,
        }
        pipe.put("reviews", fields)

    @_harmless
    def mark_change(
        self,
        kind: ChangeKind,
        title: str,
        *,
        service: str | None = None,
        ts: Time | None = None,
        model: str | None = None,
        version: str | None = None,
        url: str | None = None,
    ) -> None:
        """Log that something was changed on purpose: a candidate for the cause of what follows."""
        pipe = self._pipe
        fields = {
            "kind": kind,
            "title": title,
            "service": service,
            "ts": time() if ts is None else ts,
            "model": model,
            "version": version,
            "url": url,
        }
        pipe.put("changes", fields)

    def request(self, *misplaced: Never, **fields: Unpack[PredictionFields]) -> Request:
        """Time a ``with`` block and log it as one prediction; see :class:`Request`."""
        return Request(self.log_prediction, self._begin(misplaced, fields))

    def arequest(self, *misplaced: Never, **fields: Unpack[PredictionFields]) -> AsyncRequest:
        """Time an ``async with`` block and log it as one prediction; see :class:`Request`."""
        return AsyncRequest(self.log_prediction, self._begin(misplaced, fields))

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is logged by now; True once each event is answered for or counted as dropped.

        It blocks for up to ``timeout`` seconds and does not shorten the wait between two attempts.
        """
        return self._pipe.flush(timeout)

    def shutdown(self, timeout: float | None = None) -> bool:
        """Send what is left and stop; False if events were lost. The end of the process does this too.

        It blocks for up to ``timeout`` seconds (``exit_timeout`` if None); what is logged later is dropped.
        """
        return self._pipe.shutdown(timeout)

    def stats(self) -> Stats:
        """Tell what became of the events so far."""
        return self._pipe.stats()

    def _begin(self, misplaced: tuple[Never, ...], fields: PredictionFields) -> PredictionFields:
        """Fix what holds from the start of a request: its id, its time, and the mappings given."""
        pipe = self._pipe
        try:
            fields["id"] = event_id = _text(fields.get("id")) or pipe.new_id()
            if pipe.on:
                if misplaced:
                    pipe.ledger.adjust("positional", "request() takes keyword arguments only")
                fields["ts"] = ts = fields.get("ts") or time()
                pipe.recent.remember(event_id, ts)
                _own_mappings(fields)
        except Exception as error:  # noqa: BLE001  # the host must not notice
            pipe.ledger.complain(f"request {type(error).__name__}", f"request(): {describe(error)}")
            return {"id": pipe.new_id()}
        return fields


def _text(value: object) -> str:
    """An id as text; empty for None."""
    return value if type(value) is str else "" if value is None else str(value)


def _own_mappings(fields: PredictionFields) -> None:
    """Copy what the host may change after the call."""
    features = fields.get("features")
    if features is not None:
        fields["features"] = dict(features)
    segments = fields.get("segments")
    if segments is not None:
        fields["segments"] = dict(segments)
