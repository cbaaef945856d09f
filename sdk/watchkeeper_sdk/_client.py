"""The calls that a host makes. None of them raises or waits for the network; each writes one line to the spool."""

from __future__ import annotations

from functools import wraps
from time import time
from typing import TYPE_CHECKING, cast

from ._handle import handle_of, opened
from ._ledger import describe
from ._pipe import Pipe
from ._request import AsyncRequest, Request
from ._sample import SAMPLED_OUT
from ._settings import Settings, resolve
from ._usage import model_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Concatenate, ParamSpec

    from typing_extensions import Never, Self, Unpack

    from ._fields import CallFields, ChangeKind, Decision, Time, Value
    from ._ledger import Stats
    from ._predict import Inputs, Outputs, Predict
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
        ``max_batch`` events. Until then events wait in files under ``spool_dir`` (WATCHKEEPER_SPOOL_DIR, else a
        folder of the user; "" for none), at most ``max_spool_bytes`` and ``max_spool_age`` seconds: the oldest are
        dropped beyond that. Where no disk can be written, ``max_queue_events`` and ``max_queue_bytes`` wait in memory,
        and the newest is dropped. ``sample_rate`` keeps a share of the predictions, ``keep_errors`` all that failed.
        The end of the process waits ``exit_timeout`` seconds at most. What cannot be used is warned of, not raised.
        Called again, what was logged before still goes where it was meant to go.
        """
        before = self._pipe
        settings, complaints = resolve(url, service, options)
        self._pipe = Pipe(settings)
        before.retire()
        for complaint in complaints:
            self._pipe.ledger.complain(complaint, complaint)
        return self

    def log_prediction(self, *misplaced: Never, **fields: Unpack[CallFields]) -> str:
        """Log one decision or answer; gives its id, to be kept for ``log_outcome``.

        Keyword arguments are the fields of a prediction; any other name travels under ``extra``. The time is
        now, unless ``ts`` is given. It is written down before this returns: what you change afterwards changes nothing.
        ``sample_key`` decides instead of the id whether sampling keeps it.
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
            _check_mappings(fields)
            if pipe.sampling is not None and not _sampled(pipe, fields):
                pipe.recent.remember(event_id, SAMPLED_OUT)
                pipe.ledger.leave_out()
                return event_id
            fields.pop("sample_key", None)
            pipe.recent.remember(event_id, ts)
            pipe.put("predictions", cast("dict[str, object]", fields))
        except Exception as error:  # noqa: BLE001  # the host must not notice
            pipe.lose("log_prediction", error)
            return pipe.new_id()
        return event_id

    def log_llm(self, response: object, *misplaced: Never, **fields: Unpack[CallFields]) -> str:
        """Log one call of a language model by the provider's raw response, or its usage object; gives the id.

        Tokens are sorted into disjoint classes (OpenAI chat completions and responses, Anthropic messages, Gemini;
        objects or dicts), the model is the response's unless you give one. All else is as with ``log_prediction``.
        """
        try:
            tokens = tokens_of(response)
            if tokens is None:
                self.note("no_usage", f"log_llm() found no usage in a {type(response).__name__}: logged without tokens")
            else:
                fields.setdefault("tokens", tokens)
            model = model_of(response)
            if model is not None:
                fields.setdefault("model", model)
        except Exception as error:  # noqa: BLE001  # the host must not notice
            self.note("no_usage", f"log_llm() cannot read the usage: {describe(error)}")
        return self.log_prediction(*misplaced, **fields)

    def handle(self, prediction_id: str) -> str:
        """Give a text that carries the id and the time of a prediction of this process to another one.

        ``log_outcome`` and ``log_review`` take it in place of the id; the server then finds the prediction at once.
        """
        try:
            event_id = _text(prediction_id)
            return handle_of(event_id, self._pipe.recent.get(event_id))
        except Exception as error:  # noqa: BLE001  # the host must not notice
            self.note("handle", f"handle() cannot use its argument: {describe(error)}")
            return ""

    @_harmless
    def log_outcome(
        self,
        prediction_id: str,
        value: Value,
        *,
        prediction_ts: Time | None = None,
        known_at: Time | None = None,
        source: str | None = None,
        evaluation: str | None = None,
        sample_key: str | None = None,
    ) -> None:
        """Log what came true for one prediction, named by its id or handle.

        ``known_at`` is now unless given. ``prediction_ts``, the time of the prediction, makes matching
        far cheaper for the server: this process adds it for its last 10,000 predictions, a handle carries it; give
        it for others. Nothing is sent for a prediction that sampling left out; give its ``sample_key`` if it had one.
        ``evaluation`` names what was judged, where the value is a judgement and not the truth itself.
        """
        pipe = self._pipe
        event_id, ts, kept = self._found(prediction_id, sample_key)
        if not kept:
            return
        fields: dict[str, object] = {
            "prediction_id": event_id,
            "value": value,
            "prediction_ts": ts if prediction_ts is None else prediction_ts,
            "known_at": time() if known_at is None else known_at,
            "source": source,
            "evaluation": evaluation,
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
        sample_key: str | None = None,
    ) -> None:
        """Log that a human looked at one prediction (id or handle) and decided; ``role``, never a name."""
        pipe = self._pipe
        event_id, when, kept = self._found(prediction_id, sample_key)
        if not kept:
            return
        fields: dict[str, object] = {
            "prediction_id": event_id,
            "decision": decision,
            "ts": time() if ts is None else ts,
            "prediction_ts": when if prediction_ts is None else prediction_ts,
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
        fields: dict[str, object] = {
            "kind": kind,
            "title": title,
            "service": service,
            "ts": time() if ts is None else ts,
            "model": model,
            "version": version,
            "url": url,
        }
        pipe.put("changes", fields)

    def request(self, *misplaced: Never, **fields: Unpack[CallFields]) -> Request:
        """Time a ``with`` block and log it as one prediction; see :class:`Request`."""
        return Request(self.log_prediction, self._begin(misplaced, fields))

    def arequest(self, *misplaced: Never, **fields: Unpack[CallFields]) -> AsyncRequest:
        """Time an ``async with`` block and log it as one prediction; see :class:`Request`."""
        return AsyncRequest(self.log_prediction, self._begin(misplaced, fields))

    def predict(self, *, inputs: Inputs = None, outputs: Outputs = None, **fields: Unpack[CallFields]) -> Predict:
        """Decorate a function, plain or async, so that each call is logged as one prediction with its latency.

        ``inputs`` makes the features from the function's arguments, ``outputs`` fields (also ``id``) from its result;
        without it a bool, number or text that is returned is the prediction. An exception is logged and goes on.
        A generator is logged when it ends, with the time to its first item as ``ttft_ms``; ``outputs`` gets all items.
        """
        from ._predict import Predict  # noqa: PLC0415  # it loads inspect

        return Predict(self, inputs, outputs, fields)

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is logged by now; True once each event is answered for or counted as dropped.

        It blocks for up to ``timeout`` seconds and does not shorten the wait between two attempts.
        """
        return self._pipe.flush(timeout)

    def shutdown(self, timeout: float | None = None) -> bool:
        """Send what is left and stop; True if all is answered for. The end of the process does this too.

        It blocks for up to ``timeout`` seconds (``exit_timeout`` if None). What is on disk then stays there for the
        next process or a forwarder; what is in memory is lost, and what is logged later is dropped.
        """
        return self._pipe.shutdown(timeout)

    def stats(self) -> Stats:
        """Tell what became of the events so far."""
        return self._pipe.stats()

    def note(self, reason: str, message: str) -> None:
        """Count something that could not be logged as meant, and warn of the first of its kind."""
        self._pipe.ledger.adjust(reason, message)

    def _found(self, prediction_id: str, sample_key: str | None) -> tuple[str, Time | None, bool]:
        """The id and the time of a prediction, as far as they are known here, and whether it was kept."""
        pipe = self._pipe
        event_id, ts = opened(_text(prediction_id))
        if ts is None:
            ts = pipe.recent.get(event_id)
        if ts == SAMPLED_OUT:
            pipe.ledger.leave_out()
            return event_id, None, False
        if ts is None and pipe.sampling is not None and not pipe.sampling.keeps(sample_key or event_id):
            pipe.ledger.leave_out()
            return event_id, None, False
        return event_id, ts, True

    def _begin(self, misplaced: tuple[Never, ...], fields: CallFields) -> CallFields:
        """Fix what holds from the start of a request: its id, its time, and the mappings given."""
        pipe = self._pipe
        try:
            fields["id"] = event_id = _text(fields.get("id")) or pipe.new_id()
            if pipe.on:
                if misplaced:
                    pipe.ledger.adjust("positional", "request() takes keyword arguments only")
                fields["ts"] = ts = fields.get("ts") or time()
                if pipe.sampling is None or pipe.sampling.keeps(_text(fields.get("sample_key")) or event_id):
                    pipe.recent.remember(event_id, ts)
                _check_mappings(fields)
        except Exception as error:  # noqa: BLE001  # the host must not notice
            pipe.ledger.complain(f"request {type(error).__name__}", f"request(): {describe(error)}")
            return {"id": pipe.new_id()}
        return fields


def _text(value: object) -> str:
    """An id as text; empty for None."""
    return value if type(value) is str else "" if value is None else str(value)


def _check_mappings(fields: CallFields) -> None:
    """Fail on what cannot be read as names and values."""
    features = fields.get("features")
    if features is not None and type(features) is not dict:
        fields["features"] = dict(features)
    segments = fields.get("segments")
    if segments is not None and type(segments) is not dict:
        fields["segments"] = dict(segments)


def _sampled(pipe: Pipe, fields: CallFields) -> bool:
    """Does sampling keep this prediction? Then it carries for how many it stands."""
    if pipe.sampling is None:
        return True
    key = _text(fields.get("sample_key")) or fields.get("id", "")
    weight = pipe.sampling.weight(key, error=fields.get("status") == "error")
    if weight:
        fields.setdefault("sample_weight", weight)
    return weight > 0
