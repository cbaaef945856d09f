"""Every setting, its default and where its value came from: one TOML file, then ``WATCHKEEPER_SECTION_NAME``.

The order is default, file, environment, option; the last that speaks wins. ``watchkeeper config --explain`` prints
each value with its source.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct, field

from watchkeeper.schemas.errors import SettingsError

PREFIX = "WATCHKEEPER_"
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")
Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
Seconds = Annotated[float, Meta(ge=0)]


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens and keeps its files."""

    host: str = "127.0.0.1"
    port: Port = 8090
    data_dir: str = "watchkeeper-data"
    dashboard_url: str = "http://127.0.0.1:8501"
    public_url: str = ""
    clock: Literal["wall", "events"] = "wall"
    notes_file: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may talk to the server."""

    api_key_file: str = ""


class Ingest(Struct, frozen=True, forbid_unknown_fields=True):
    """How much the server takes at once."""

    max_body_bytes: Positive = 8 * 2**20
    max_decoded_bytes: Positive = 32 * 2**20
    max_rows: Positive = 20_000
    queue_bytes: Positive = 64 * 2**20
    queue_requests: Positive = 2_000
    backlog_bytes: Positive = 2 * 2**30
    otlp_max_bytes: Positive = 64 * 2**20
    segment_attributes: list[str] = field(default_factory=lambda: ["team", "feature", "customer"])
    keep_text: bool = False
    redact: list[str] = field(default_factory=list[str])
    join_seconds: Annotated[float, Meta(gt=0)] = 300.0


class Loader(Struct, frozen=True, forbid_unknown_fields=True):
    """How events move from the inbox to the facts."""

    max_age_seconds: Seconds = 0.5
    max_rows: Positive = 122_880


class Control(Struct, frozen=True, forbid_unknown_fields=True):
    """Where decisions are kept, and the folder of declared files."""

    url: str = ""
    declared_dir: str = ""


class Reference(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model is compared with: its first days."""

    days: Positive = 28
    min_rows: Positive = 500


class Retention(Struct, frozen=True, forbid_unknown_fields=True):
    """How many days what is kept, where a declared system does not say otherwise; 0 keeps for ever."""

    facts_days: Days = 90
    rollups_days: Days = 400
    rejects_days: Days = 30
    text_days: Days = 14


class Schedule(Struct, frozen=True, forbid_unknown_fields=True):
    """When the analyzers run."""

    tick_seconds: Seconds = 15.0
    min_every_seconds: Seconds = 0.0


class Gpu(Struct, frozen=True, forbid_unknown_fields=True):
    """Prometheus text endpoints of GPU metrics that the server reads by itself."""

    targets: list[str] = field(default_factory=list[str])
    interval_seconds: Seconds = 15.0


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    server: Server = field(default_factory=Server)
    auth: Auth = field(default_factory=Auth)
    ingest: Ingest = field(default_factory=Ingest)
    loader: Loader = field(default_factory=Loader)
    control: Control = field(default_factory=Control)
    reference: Reference = field(default_factory=Reference)
    retention: Retention = field(default_factory=Retention)
    schedule: Schedule = field(default_factory=Schedule)
    gpu: Gpu = field(default_factory=Gpu)

    @property
    def data_dir(self) -> Path:
        """The folder of inbox.db, facts.duckdb and control.db."""
        return Path(self.server.data_dir)

    @property
    def control_url(self) -> str:
        """The SQLAlchemy URL of the control data; SQLite in the data folder unless another is set."""
        return self.control.url or f"sqlite:///{self.data_dir / 'control.db'}"

    @property
    def public_url(self) -> str:
        """Where people's browsers find the server: links in messages begin with it."""
        return (self.server.public_url or self.base_url).rstrip("/")

    @property
    def base_url(self) -> str:
        """Where a client on this machine finds the server."""
        host = "127.0.0.1" if self.server.host in ("0.0.0.0", "::") else self.server.host  # noqa: S104
        scheme = "https" if self.server.tls_cert else "http"
        return f"{scheme}://{host}:{self.server.port}"


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting: its name, its value, and what set it."""

    name: str
    value: object
    source: str


SECTIONS: dict[str, type[Struct]] = {
    "server": Server,
    "auth": Auth,
    "ingest": Ingest,
    "loader": Loader,
    "control": Control,
    "reference": Reference,
    "retention": Retention,
    "schedule": Schedule,
    "gpu": Gpu,
}


def load(
    file: Path | None, environment: Mapping[str, str], options: Mapping[str, object] | None = None
) -> tuple[Settings, list[Explained]]:
    """Read the settings; ``options`` are command-line values by dotted name, None where not given.

    >>> settings, explained = load(None, {"WATCHKEEPER_SERVER_PORT": "9000"})
    >>> settings.server.port, next(e.source for e in explained if e.name == "server.port")
    (9000, 'environment WATCHKEEPER_SERVER_PORT')
    """
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    sources: dict[str, str] = {}
    if file is not None:
        for section, entries in _read(file).items():
            if section not in SECTIONS or not isinstance(entries, dict):
                raise SettingsError(f"{file}: unknown section [{section}]; known: {', '.join(SECTIONS)}")
            values[section] |= cast("dict[str, Any]", entries)
            sources |= {f"{section}.{name}": f"file {file}" for name in cast("dict[str, Any]", entries)}
    for section, struct in SECTIONS.items():
        for name in struct.__struct_fields__:
            variable = f"{PREFIX}{section}_{name}".upper()
            if variable in environment:
                text = environment[variable]
                listed = isinstance(getattr(struct(), name), list)
                values[section][name] = [part for part in text.split(",") if part] if listed else text
                sources[f"{section}.{name}"] = f"environment {variable}"
            option = (options or {}).get(f"{section}.{name}")
            if option is not None:
                values[section][name] = option
                sources[f"{section}.{name}"] = "option"
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        where = ", ".join(sorted({source for source in sources.values() if source != "option"})) or "options"
        raise SettingsError(f"{error} (from {where}); see `watchkeeper config --explain`") from None
    explained = [
        Explained(
            f"{section}.{name}",
            without_password(getattr(getattr(settings, section), name)),
            sources.get(f"{section}.{name}", "default"),
        )
        for section, struct in SECTIONS.items()
        for name in struct.__struct_fields__
    ]
    return settings, explained


def without_password(value: object) -> object:
    """Give a setting as it may be shown.

    >>> without_password("postgresql://ada:secret@db/wk"), without_password(["http://u:p@gpu/metrics"])
    ('postgresql://ada:***@db/wk', ['http://u:***@gpu/metrics'])
    """
    if isinstance(value, list):
        return [without_password(one) for one in cast("list[object]", value)]
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {file}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not TOML: {error}") from None
