"""Our own events as NDJSON or as one JSON array: the good rows are kept, each bad one is named with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

import msgspec
from msgspec import Raw

from watchkeeper.collector import extent, framed, plain, times, whole
from watchkeeper.collector.choices import choices, listed
from watchkeeper.collector.decoding import JSON, Door, Events, PlainJson, Rejected, Sent, Taken, plain_reply
from watchkeeper.collector.fitted import Fitted
from watchkeeper.collector.ownership import foreign
from watchkeeper.collector.shapes import fields_of
from watchkeeper.schemas.errors import NotDecodable, TooLarge
from watchkeeper.schemas.events import CONTROL, EMPTY, KINDS, Change, Event, Outcome, Prediction, Review
from watchkeeper.schemas.settings import Ingest

_AT = re.compile(r" - at `\$(?:\[\.*\d*\])?\.?([^`]*)`$")
_NAMED = re.compile(r"(?:missing required|unknown) field `([^`]+)`")
_LINE = re.compile(rb"[^\n]+")
_BOM = b"\xef\xbb\xbf"
_SERVICE = attrgetter("service")
_CONTROL = re.compile(CONTROL)
_LINKS = ("trace_id", "parent_id", "conversation")
_MAX_MENDED = 10
"""Counts of one row that may be written as 12.0: no event has more fields of whole numbers."""
_SHOWN = 300
"""Characters of a reason: it may hold a name that the sender chose."""
_OTHER = "Invalid enum value "
_PLACE = re.compile(r"\[[^\]]*\]")
_SHOWN_VALUE = 60
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LINES = "application/x-ndjson"
_TYPES = {
    "": "ndjson",
    _LINES: "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/plain": "ndjson",
    JSON: "json",
}
_FIELDS = frozenset(Prediction.__struct_encode_fields__)


def build(ingest: Ingest) -> OwnEvents:  # noqa: ARG001 - no setting concerns it
    """Make the decoder."""
    return OwnEvents()


class OwnEvents(PlainJson):
    """Predictions, outcomes, reviews and changes, each on its path."""

    kinds = tuple(KINDS)
    doors = tuple(
        Door(
            f"/v1/{kind}",
            kind,
            f"Take {kind}: NDJSON or a JSON array, plain, gzip or zstd",
            _TYPES,
            {
                "content": {
                    _LINES: {"schema": {"type": "string", "description": "one event a line"}},
                    JSON: {"schema": {"type": "array", "items": {"type": "object"}}},
                },
                "x-event-schema": {"$ref": f"/v1/schemas#/{kind}"},
            },
        )
        for kind in KINDS
    )

    def __init__(self) -> None:
        self._decoders = {kind: EventDecoder(kind) for kind in KINDS}
        self._raw = msgspec.json.Decoder(Raw)
        self._fitted = Fitted()

    def check(self, sent: Sent) -> Taken:
        """Decode every row: the good ones are kept, as columns where all fit, else as they came."""
        if sent.kind == "predictions":
            frame = self._fitted.frame(sent)
            if frame is not None:
                return Taken(framed.write(frame), frame.height, plain_reply(frame.height, ()), (), framed.ENCODING)
        decoded = self._decoders[sent.kind].decode(sent.body, sent.encoding, sent.max_rows, sent.services)
        reply = plain_reply(len(decoded.events), decoded.rejected)
        return Taken(decoded.body, len(decoded.events), reply, decoded.rejected)

    def events(self, kind: str, encoding: str, body: bytes) -> Events:
        """Decode them again; this cannot fail but on a body that was never checked."""
        if encoding == framed.ENCODING:
            return Events(columns=[framed.read(body)])
        if kind == "predictions":
            return self._predictions(encoding, body)
        rows = self._decoders[kind].stored(body, encoding)
        if kind == "outcomes":
            return Events(outcomes=cast("list[Outcome]", rows))
        if kind == "reviews":
            return Events(reviews=cast("list[Review]", rows))
        return Events(changes=cast("list[Change]", rows))

    def _predictions(self, encoding: str, body: bytes) -> Events:
        try:
            return Events(predictions=plain.predictions(body, encoding))
        except msgspec.ValidationError:
            pass  # a field that the schema does not have: a slower look is needed
        lines = encoding == "ndjson"
        events = Events(predictions=cast("list[Prediction]", self._decoders["predictions"].stored(body, encoding)))
        raws = self._raw.decode_lines(body) if lines else msgspec.json.decode(body, type=list[Raw])
        for position, raw in enumerate(raws):
            row = cast("Mapping[str, object]", fields_of(raw) or {})
            more = row.keys() - _FIELDS
            if more:
                events.unknown[position] = {name: row[name] for name in sorted(more)}
        return events


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a body held: good events, the bytes that hold just these, and the rejects."""

    events: Sequence[Event]
    body: bytes
    encoding: str
    rejected: Sequence[Rejected]


class EventDecoder:
    """Decodes the bodies of one kind of event."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        struct: Any = KINDS[kind]
        self._one: Callable[[bytes | Raw], Event] = msgspec.json.Decoder(struct).decode
        self._lines: Callable[[bytes], list[Event]] = msgspec.json.Decoder(struct).decode_lines
        self._array: Callable[[bytes], list[Event]] = msgspec.json.Decoder(list[struct]).decode
        self._raws: Callable[[bytes], list[Raw]] = msgspec.json.Decoder(list[Raw]).decode

    def decode(self, body: bytes, encoding: str, max_rows: int, services: frozenset[str] | None = None) -> Decoded:
        """Decode a whole body; raises only where nothing of it can be read, or where it has too many rows.

        A row of NDJSON is a line that is not blank; its index counts such lines. Where ``services`` are given, a row
        of another service, or of none, is rejected.
        """
        body = body.removeprefix(_BOM)
        ends = body.count(b"\n") if encoding == "ndjson" else 0
        if ends > max_rows:
            return self._row_by_row(body, encoding, max_rows, services)
        if encoding == "json" and extent.too_many_parts(body, max_rows):
            raise _too_many(max_rows)
        try:
            _check_utf8(body)
            events = self._lines(body) if encoding == "ndjson" else self._array(body)
        except _UNREADABLE:
            return self._row_by_row(body, encoding, max_rows, services)
        if len(events) > max_rows:
            raise _too_many(max_rows)
        if encoding == "ndjson" and ends - len(events) not in (0, -1):  # two on a line, or one over several
            return self._row_by_row(body, encoding, max_rows, services)
        if (
            suspicious(events)
            or extent.may_exceed(body.split(b"\n") if encoding == "ndjson" else [*map(bytes, self._raws(body))])
            or not (services is None or services.issuperset(map(_SERVICE, events)))
        ):
            return self._row_by_row(body, encoding, max_rows, services)
        return Decoded(events, body, encoding, ())

    def stored(self, body: bytes, encoding: str) -> list[Event]:
        """Decode a body that ``decode`` once found good."""
        return self._lines(body) if encoding == "ndjson" else self._array(body)

    def _row_by_row(self, body: bytes, encoding: str, max_rows: int, services: frozenset[str] | None) -> Decoded:
        rows = self._split(body, encoding, max_rows)
        events: list[Event] = []
        good: list[bytes] = []
        rejected: list[Rejected] = []
        for index, sent in enumerate(rows):
            row = sent
            try:
                _check_utf8(sent)
                event, row = self._decoded(sent)
                beyond = extent.exceeded(row)
            except _UNREADABLE as error:
                rejected.append(Rejected(index, *explain(error, self._kind), row))
                continue
            wrong = ("", beyond) if beyond else problem(event) or foreign(event, services)
            if wrong:
                rejected.append(Rejected(index, *wrong, row))
            else:
                events.append(event)
                good.append(row)
        if encoding == "ndjson":
            return Decoded(events, b"\n".join(good), encoding, rejected)
        return Decoded(events, b"[" + b",".join(good) + b"]", encoding, rejected)

    def _decoded(self, row: bytes) -> tuple[Event, bytes]:
        """Decode one row; give it as it is to be kept, with counts as whole numbers."""
        for _ in range(_MAX_MENDED):
            try:
                return self._one(row), row
            except msgspec.ValidationError as error:
                better = whole.mended(row, error)
                if better is None:
                    raise
                row = better
        return self._one(row), row

    def _split(self, body: bytes, encoding: str, max_rows: int) -> list[bytes]:
        if encoding == "ndjson":
            return _lines(body, max_rows)
        try:
            rows = self._raws(body)
        except msgspec.ValidationError:
            raise NotDecodable("the body is JSON but no array: send an array of events, or NDJSON") from None
        except _UNREADABLE as error:
            raise NotDecodable(
                f"the body is not a JSON array ({explain(error)[1]}): nothing was kept. "
                "Send NDJSON, where one bad line does not spoil the others"
            ) from None
        if len(rows) > max_rows:
            raise _too_many(max_rows)
        return [bytes(raw) for raw in rows]


def problem(event: Event) -> tuple[str, str] | None:
    """Say what the types cannot: (field, reason), or None for a good event."""
    for field in _TIMES[type(event)]:
        value = getattr(event, field)
        if value is not None:
            reason = times.problem(value)
            if reason:
                return field, reason
    for field in _IDS[type(event)]:
        value = getattr(event, field)
        if value is not None and _CONTROL.search(value):
            return field, "an id holds no control characters"
    if isinstance(event, Prediction):
        for field, raw in (("features", event.features), ("extra", event.extra)):
            if not _object_or_nothing(raw):
                return field, "expected an object of names and values"
    return None


def suspicious(events: Sequence[Event]) -> bool:
    """Say whether any event of a batch of one kind may have a ``problem``: cheap, and never wrong about a bad one."""
    kind = type(events[0]) if events else Prediction
    for field in _TIMES[kind]:
        values = [value for value in map(attrgetter(field), events) if value is not None]
        if values and not times.plausible(values):
            return True
    for field in _IDS[kind]:
        if not "".join([value for value in map(attrgetter(field), events) if value is not None]).isprintable():
            return True
    return kind is Prediction and not all(
        _object_or_nothing(event.features) and _object_or_nothing(event.extra)
        for event in cast("Sequence[Prediction]", events)
    )


def _object_or_nothing(raw: Raw) -> bool:
    return raw is EMPTY or bytes(raw)[:1] in (b"{", b"n")


_TIMES: dict[type, tuple[str, ...]] = {
    struct: tuple(
        name for name in ("ts", "prediction_ts", "known_at", "needed_by", "used_at") if name in struct.__struct_fields__
    )
    for struct in KINDS.values()
}


_IDS: dict[type, tuple[str, ...]] = {
    struct: tuple(name for name in ("id", "prediction_id", *_LINKS) if name in struct.__struct_fields__)
    for struct in KINDS.values()
}


def explain(error: Exception, kind: str = "") -> tuple[str, str]:
    """Turn a decoding error into (field, reason) for the sender; of a known kind with the values to choose from.

    >>> explain(msgspec.ValidationError("Expected `str`, got `int` - at `$.id`"))
    ('id', 'expected `str`, got `int`')
    >>> explain(msgspec.ValidationError("Invalid enum value 'fine' - at `$.status`"), "predictions")
    ('status', "'fine' is no value that is known: send 'error', 'ok' or 'unknown'")
    """
    if isinstance(error, RecursionError):
        return "", "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "", f"not UTF-8 at byte {error.start}"
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        hint = " (NaN and Infinity are not JSON: send null)" if "invalid character" in text else ""
        return "", f"not valid JSON: {text[:_SHOWN]}{hint}"
    found = _AT.search(text)
    reason = text[: found.start()] if found else text
    named = _NAMED.search(reason)
    within = found.group(1) if found else ""
    field = ".".join(part for part in (within, named.group(1) if named else "") if part)
    known = choices(kind).get(_PLACE.sub("", field)) if kind and reason.startswith(_OTHER) else None
    if known:
        sent = reason.removeprefix(_OTHER)
        sent = sent if len(sent) <= _SHOWN_VALUE else f"{sent[:_SHOWN_VALUE]}…'"
        return field[:_SHOWN], f"{sent} is no value that is known: send {listed(known)}"
    return field[:_SHOWN], reason[:1].lower() + reason[1:_SHOWN]


def _check_utf8(text: bytes) -> None:
    """Raise on what is not UTF-8: a part that is kept as it came (features) would let it through."""
    if not text.isascii():
        text.decode()


def _lines(body: bytes, max_rows: int) -> list[bytes]:
    """Give the lines that are not blank; stop as soon as there are too many."""
    rows: list[bytes] = []
    for found in _LINE.finditer(body):
        if found[0].strip():
            rows.append(found[0])
            if len(rows) > max_rows:
                raise _too_many(max_rows)
    return rows


def _too_many(limit: int) -> TooLarge:
    return TooLarge(f"the body has over {limit} rows (ingest.max_rows): send smaller batches")
