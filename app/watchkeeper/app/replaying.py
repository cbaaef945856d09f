"""Sends rejects again, as they came or corrected in a file, through the same routes as any sender.

A row that is sent is closed; if it fails once more the server keeps it as a new reject with its new reason. The same
rows under the same key change nothing, so that a replay that was interrupted may be repeated.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from watchkeeper.app.remote import Remote
from watchkeeper.collector.raws import NAMES_ALONE
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.events import EMPTY, KINDS

CHUNK = 100
"""Rows a request: as many as the server names the errors of."""


JSON = "application/json"
_OTHERS = {
    "otlp_traces": ("traces", JSON, "application/x-protobuf"),
    "otlp_logs": ("logs", JSON, "application/x-protobuf"),
    "otlp_metrics": ("metrics", JSON, "application/x-protobuf"),
    "litellm": ("litellm", JSON, JSON),
    "cloudevents": ("cloudevents", "application/cloudevents+json", "application/cloudevents-batch+json"),
}
"""Kinds of other protocols: their path, the content type of a row, and that of a whole body that is no JSON object."""


class Line(msgspec.Struct, omit_defaults=True):
    """One reject in a file: its row as an event where it is JSON on one line, else as text, else in base64."""

    id: str
    kind: str
    row_index: int | None = None
    service: str | None = None
    field: str = ""
    reason: str = ""
    received_at: str = ""
    replayed_at: str | None = None
    event: Raw = msgspec.field(default_factory=lambda: EMPTY)
    raw: str | None = None
    raw_base64: str | None = None

    @property
    def whole(self) -> bool:
        """Whether more than the names of the row was kept."""
        return bool(self.body) and not self.reason.endswith(NAMES_ALONE)

    @property
    def body(self) -> bytes:
        """The row, byte for byte."""
        if self.event is not EMPTY:
            return bytes(self.event)
        return base64.b64decode(self.raw_base64) if self.raw_base64 is not None else (self.raw or "").encode()


@dataclass(slots=True)
class Report:
    """What became of the rows that were sent again."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    left_open: int = 0
    reasons: list[str] = field(default_factory=list[str])


def fetch(remote: Remote, query: Mapping[str, str]) -> list[Line]:
    """Ask the server for rejects."""
    return msgspec.convert(remote.get("/v1/rejects", query)["rejects"], list[Line])


def export(lines: Sequence[Line], file: Path) -> None:
    """Write rejects to a file that a person can correct: one a line."""
    file.write_bytes(b"".join(msgspec.json.encode(_readable(line)) + b"\n" for line in lines))


def read(file: Path) -> list[Line]:
    """Read a corrected file."""
    try:
        return msgspec.json.Decoder(Line).decode_lines(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{file} is not as `rejects export` wrote it: {error}") from None


def replay(remote: Remote, lines: Sequence[Line]) -> Report:
    """Send rows again and close their rejects; what cannot be sent stays open."""
    report = Report()
    known = [line for line in lines if (line.kind in KINDS or line.kind in _OTHERS) and line.whole]
    if len(known) < len(lines):
        left = {line.kind for line in lines if line not in known}
        report.left_open += len(lines) - len(known)
        report.reasons.append(
            "of a kind that has no route, or with nothing kept of the row but names (export it, write the row, and "
            f"empty its reason): {', '.join(sorted(left))}"
        )
    for kind, content_type, part, body in _requests(known):
        report.sent += len(part)
        key = "replay/" + hashlib.sha256(repr([line.id for line in part]).encode() + body).hexdigest()
        try:
            reply = remote.send(kind, body, key, content_type)
        except InputError as error:
            report.left_open += len(part)
            report.reasons.append(str(error))
            continue
        accepted, rejected, reasons = _said(part, reply)
        report.accepted += accepted
        report.rejected += rejected
        report.reasons += reasons
        remote.post("/v1/rejects/replayed", {"ids": [line.id for line in part]})
    return report


def _requests(lines: Sequence[Line]) -> Iterator[tuple[str, str, Sequence[Line], bytes]]:
    """Give kind, content type, rejects and body of each request; what is not one line goes alone."""
    for (kind, alone), group in groupby(lines, key=lambda line: (line.kind, _alone(line))):
        part = list(group)
        if kind in _OTHERS:
            for line in part:
                yield *_foreign(line), line.body
            continue
        if alone:
            for line in part:
                yield kind, *_whole(line)
            continue
        for start in range(0, len(part), CHUNK):
            chunk = part[start : start + CHUNK]
            yield kind, "application/x-ndjson", chunk, b"\n".join(line.body for line in chunk)


def _foreign(line: Line) -> tuple[str, str, Sequence[Line]]:
    """Say where a row of another protocol goes, and as what; each goes alone."""
    path, media, otherwise = _OTHERS[line.kind]
    return path, media if line.body.lstrip()[:1] == b"{" else otherwise, [line]


def _said(part: Sequence[Line], reply: Mapping[str, Any]) -> tuple[int, int, list[str]]:
    """Read an answer: how many rows were accepted and rejected, and why. OTLP tells only what it refused."""
    if "accepted" in reply:
        return reply["accepted"], reply["rejected"], [_reason(part, error) for error in reply["errors"]]
    told: Mapping[str, Any] = reply.get("partialSuccess") or {}
    rejected = sum(int(value) for name, value in told.items() if name.startswith("rejected"))
    reasons = [f"{part[0].id}: {told['errorMessage']}"] if told.get("errorMessage") else []
    return max(0, len(part) - rejected), rejected, reasons


def _alone(line: Line) -> bool:
    return line.row_index is None or b"\n" in line.body


def _whole(line: Line) -> tuple[str, Sequence[Line], bytes]:
    body = line.body
    if line.row_index is not None:
        return "application/json", [line], b"[" + body + b"]"
    return "application/json" if body.lstrip()[:1] == b"[" else "application/x-ndjson", [line], body


def _reason(part: Sequence[Line], error: Mapping[str, Any]) -> str:
    index = int(error["index"])
    name = part[index].id if index < len(part) else part[0].id
    return f"{name}: {error['field'] or 'row'}: {error['reason']}"


def _readable(line: Line) -> dict[str, Any]:
    """Show a row that is JSON on one line as it is, so that nobody has to edit quotes within quotes."""
    shown = {name: value for name in line.__struct_fields__ if (value := getattr(line, name)) not in (None, EMPTY)}
    if line.raw is None or "\n" in line.raw:
        return shown
    try:
        msgspec.json.decode(line.raw, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return shown
    del shown["raw"]
    return shown | {"event": Raw(line.raw.encode())}
