"""What a protocol must say of itself to be taken in: its paths, a check in the request, and typed events later.

A decoder works in two stages. ``check`` runs in the request, before the answer: is this the format, which rows are
usable, what will the sender be told. It must be cheap, for every other request waits meanwhile. ``events`` runs in the
loader's thread, after the bytes are on disk: it turns them into events. What is found wrong only there is kept as a
reject; nothing may be lost without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec
import polars as pl

from watchkeeper.collector.halves import Half
from watchkeeper.schemas.errors import NotDecodable, WatchkeeperError
from watchkeeper.schemas.events import Change, GpuSample, Outcome, Prediction, Review
from watchkeeper.schemas.settings import Ingest
from watchkeeper.store.facts.features import ModelColumns

JSON = "application/json"
KnownColumns = Callable[[str, str], ModelColumns | None]


def nothing_known(_service: str, _model: str) -> ModelColumns | None:
    """Know of no columns."""
    return None


class UnknownType(NotDecodable):
    """The content type is not one that is read here."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row that cannot be used: where it stood, what is wrong, and the row itself.

    ``kind`` is given where the row is not in the form of the request: it says in which it is.
    """

    index: int
    field: str
    reason: str
    raw: bytes
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of one request: bytes as sent, bytes after decompression, rows; and which settings say so."""

    body_bytes: int
    decoded_bytes: int
    rows: int
    body_setting: str = "ingest.max_body_bytes"
    decoded_setting: str = "ingest.max_decoded_bytes"


@dataclass(frozen=True, slots=True)
class Door:
    """One path of a protocol.

    ``types`` maps each content type that is read there to the encoding that the bytes are kept under; several
    decoders may share a path, each with content types of its own. ``document`` is added to the OpenAPI operation.
    """

    path: str
    kind: str
    summary: str
    types: Mapping[str, str]
    document: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as the check sees it: decompressed, its header names in lower case.

    ``services``, where the sender's key is for some only: rows of others are rejected, here or by the loader.
    ``known`` gives the columns that a (service, model) has in the store by now.
    """

    kind: str
    encoding: str
    body: bytes
    max_rows: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    services: frozenset[str] | None = None
    known: KnownColumns = nothing_known


@dataclass(frozen=True, slots=True)
class Taken:
    """What the check found: the bytes to keep, how many rows of them are good, the others, and the answer.

    ``encoding``, where the bytes are not in that of the request: how they are kept.
    """

    body: bytes
    rows: int
    reply: bytes
    rejected: Sequence[Rejected] = ()
    encoding: str = ""


@dataclass(slots=True)
class Events:
    """What one kept body holds, by kind.

    ``unknown`` has, by position among the predictions, the fields that the schema does not have. ``ignored`` counts
    rows that are sound but nothing that is kept here, by what they are. ``columns`` holds predictions that were
    kept as such (see ``framed``); their check has looked whose they are. ``halves`` are predictions whose request and
    response come apart. ``linked`` says what makes siblings of predictions that may belong together, with others too
    that came before or are yet to come: that they name the same parent, or only the same trace.
    """

    predictions: list[Prediction] = field(default_factory=list[Prediction])
    unknown: dict[int, Mapping[str, object]] = field(default_factory=dict[int, Mapping[str, object]])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    reviews: list[Review] = field(default_factory=list[Review])
    changes: list[Change] = field(default_factory=list[Change])
    gpus: list[GpuSample] = field(default_factory=list[GpuSample])
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    ignored: Counter[str] = field(default_factory=Counter[str])
    columns: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    halves: list[Half] = field(default_factory=list[Half])
    linked: Literal["", "parent", "trace"] = ""


class Decoder(Protocol):
    """One protocol. It keeps no state between calls, and may be called from several threads."""

    @property
    def kinds(self) -> Sequence[str]:
        """Name what this decoder keeps in the inbox; no two decoders share a kind and an encoding."""
        ...

    @property
    def doors(self) -> Sequence[Door]:
        """Give the paths; none where the rows come from a poller."""
        ...

    def limits(self, ingest: Ingest) -> Limits:
        """Say how much one request may hold."""
        ...

    def check(self, sent: Sent) -> Taken:
        """Look at a request before it is kept; raise an ``InputError`` where nothing of it can be used."""
        ...

    def events(self, kind: str, encoding: str, body: bytes) -> Events:
        """Turn bytes that ``check`` gave into events."""
        ...

    def answer_type(self, encoding: str) -> str:
        """Give the content type of the answer to a request in this encoding."""
        ...

    def refusal(self, status: int, error: WatchkeeperError, encoding: str) -> bytes:
        """Say in the protocol's own words why a request was not taken."""
        ...


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request as a whole was not taken."""

    error: str
    reason: str


class RowError(msgspec.Struct, frozen=True):
    """Why one row was not taken."""

    index: int
    field: str
    reason: str


class Reply(msgspec.Struct, frozen=True):
    """What became of the rows of one request."""

    accepted: int
    rejected: int
    duplicates: int = 0
    errors: tuple[RowError, ...] = ()


MAX_ERRORS_SHOWN = 100


def plain_reply(accepted: int, rejected: Sequence[Rejected]) -> bytes:
    """Tell what became of the rows, as JSON.

    >>> plain_reply(2, ())
    b'{"accepted":2,"rejected":0,"duplicates":0,"errors":[]}'
    """
    shown = tuple(RowError(r.index, r.field, r.reason) for r in rejected[:MAX_ERRORS_SHOWN])
    return msgspec.json.encode(Reply(accepted, len(rejected), 0, shown))


class PlainJson:
    """The answers of a protocol that has none of its own: JSON, and the limits of our own events."""

    def limits(self, ingest: Ingest) -> Limits:
        """Give the limits of our own events."""
        return Limits(ingest.max_body_bytes, ingest.max_decoded_bytes, ingest.max_rows)

    def answer_type(self, encoding: str) -> str:  # noqa: ARG002 - the same for all
        """Answer in JSON."""
        return JSON

    def refusal(self, status: int, error: WatchkeeperError, encoding: str) -> bytes:  # noqa: ARG002
        """Give the error's name and reason."""
        return msgspec.json.encode(Problem(type(error).__name__, str(error)))
