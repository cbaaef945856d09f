"""What people declare in files: systems, objectives, prices, value models, monitors, routes.

One folder of YAML files (``watchkeeper.d/``), several documents a file. ``watchkeeper apply`` validates them all
before it takes any. A document is ``apiVersion``, ``kind``, ``metadata.name`` and ``spec``; an objective is OpenSLO v1.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from watchkeeper.schemas import openslo, sloth
from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.events import Name, Text
from watchkeeper.schemas.objectives import Declared, Objective, Planned
from watchkeeper.schemas.settings import Days
from watchkeeper.schemas.times import Times

T = TypeVar("T")


class Retention(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """How many days the events of a system are kept, where it differs from the settings; 0 keeps for ever."""

    facts_days: Days | None = None
    rollups_days: Days | None = None
    rejects_days: Days | None = None
    text_days: Days | None = None


class System(Declared, frozen=True):
    """An AI system that someone owns: who is told, what to do, what to fall back on.

    ``expect_every``: each of its services (each of its ``sites``, where these are named) sends at least so often.
    ``protected``: segments or features that groups of people are told apart by, never shown row by row.
    """

    services: list[Name]
    owner: Name
    description: Text | None = None
    vendor: Name | None = None
    risk_class: Literal["minimal", "limited", "high", "unacceptable"] | None = None
    fallback: Text | None = None
    runbook: Text | None = None
    contact: Text | None = None
    retention: Retention | None = None
    sites: list[Name] = msgspec.field(default_factory=list[Name])
    expect_every: str | None = None
    protected: list[Name] = msgspec.field(default_factory=list[Name])

    @property
    def silence(self) -> timedelta | None:
        """How long it may be silent; None where nothing is expected."""
        return None if self.expect_every is None else duration(self.expect_every)


class Price(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """What a million tokens of one class (or one request) costs from a day on, until another day."""

    model: Name
    token_class: Literal["input", "cache_read", "cache_write", "output", "reasoning", "request"] = msgspec.field(
        name="class"
    )
    per_million: Annotated[float, Meta(ge=0)]
    valid_from: date = msgspec.field(name="from")
    valid_to: date | None = msgspec.field(name="to", default=None)
    provider: Name | None = None
    source: Text | None = None


class PriceTable(Declared, frozen=True):
    """Dated prices; the one in force at the time of the request is used. ``request`` is per million requests."""

    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    prices: list[Price]


class ValueModel(Declared, frozen=True):
    """What one outcome is worth to the operation, by kind; what is not declared stays unknown.

    Kinds: ``true_positive``, ``false_positive``, ``false_negative``, ``true_negative`` for yes/no predictions,
    ``correct`` and ``wrong`` for all others; ``override_minute`` for a minute of human review;
    ``error`` for a failed request.
    """

    service: Name
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    values: dict[
        Literal[
            "true_positive",
            "false_positive",
            "false_negative",
            "true_negative",
            "correct",
            "wrong",
            "override_minute",
            "error",
        ],
        float,
    ]
    owner: Name | None = None
    signed_off_by: Name | None = None


class Monitor(Declared, frozen=True):
    """Other parameters, another severity or other times of one analyzer, for one service (or all)."""

    analyzer: Name
    service: Name | None = None
    model: Name | None = None
    params: dict[str, float | int | str | bool | list[str]] = msgspec.field(
        default_factory=dict[str, float | int | str | bool | list[str]]
    )
    severity: Literal["page", "ticket", "notice"] | None = None
    enabled: bool = True
    for_: str | None = msgspec.field(name="for", default=None)
    keep_firing_for: str | None = None

    @property
    def hold(self) -> timedelta | None:
        """How long a condition must hold before it fires; None: as usual."""
        return None if self.for_ is None else duration(self.for_)

    @property
    def keep(self) -> timedelta | None:
        """How long an incident outlives its last condition; None: as usual."""
        return None if self.keep_firing_for is None else duration(self.keep_firing_for)


class Reference(Declared, frozen=True):
    """What the distances of a service (or of one model) are measured against; without one, the kept first days.

    ``rolling``: the days before each window. ``seasonal``: the same hours of the week in the weeks before. ``kept``:
    one that was kept by name, in this version of it.
    """

    service: Name
    type: Literal["rolling", "seasonal", "kept"]
    model: Name | None = None
    days: Annotated[int, Meta(ge=1, le=366)] = 28
    weeks: Annotated[int, Meta(ge=1, le=52)] = 4
    kept: Name | None = None
    version: Annotated[int, Meta(ge=1)] = 1

    @property
    def words(self) -> str:
        """Say what it is, and what it cannot see."""
        if self.type == "rolling":
            return f"the {self.days} days before each window; they take in slow drift, which is not seen against them"
        if self.type == "seasonal":
            return (
                f"the same hours of the week in the {self.weeks} weeks before; "
                "they take in slow drift, which is not seen against them"
            )
        return f"the reference {self.kept}, version {self.version}, which never moves"


FIRST_DAYS = "the first days that were kept, which never move"
"""What is compared with where nothing is declared."""


class Template(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Jinja2 text in place of ours; what is not given stays as it is."""

    title: Text | None = None
    text: Text | None = None


class Receiver(Declared, frozen=True):
    """A notifier by its ``type`` and what that type needs; declared by itself, or inside a route.

    ``urls``: several addresses of which each gets every message, tracked by itself. ``settings`` are the type's own.
    ``fallback`` names the declared receiver that gets what this one refuses for good.
    """

    type: Name
    url: Text | None = None
    urls: list[Text] = msgspec.field(default_factory=list[Text])
    settings: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    fallback: Name | None = None
    template: Template | None = None


class Heartbeat(Declared, frozen=True):
    """A sign of life for a watcher outside, every so often while the whole chain moves.

    It stays away once loader, analyzers or rounds have not moved for ``stale``.
    """

    receiver: Name
    every: str = "1m"
    stale: str = "10m"


class Escalation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who else is told where nobody acknowledged a message ``after`` so long."""

    after: str
    receiver: Name


class Route(Declared, frozen=True, rename={"continue_": "continue"}):
    """Which alerts go to which receiver, in Alertmanager's words: a tree whose deepest branch that matches counts.

    ``match`` is short for matchers that are equal. A branch has what it does not say itself from the one above it,
    matchers and time intervals aside. Each declared route is a tree of its own: every tree is asked.
    """

    receiver: Receiver | Name | None = None
    match: dict[Name, str] = msgspec.field(default_factory=dict[Name, str])
    matchers: list[Text] = msgspec.field(default_factory=list[Text])
    continue_: bool = False
    group_by: list[Name] | None = None
    group_wait: str | None = None
    group_interval: str | None = None
    repeat_interval: str | None = None
    mute_time_intervals: list[Name] = msgspec.field(default_factory=list[Name])
    active_time_intervals: list[Name] = msgspec.field(default_factory=list[Name])
    escalate: Escalation | None = None
    routes: tuple[Route, ...] = ()


class TimeInterval(Declared, frozen=True):
    """A named set of times, of which one must be met, for ``mute_time_intervals`` and ``active_time_intervals``."""

    time_intervals: list[Times] = msgspec.field(name="time_intervals")


class Inhibition(Declared, frozen=True):
    """While an alert that meets ``source_matchers`` fires, those that meet ``target_matchers`` are not told.

    Both must have the same values of the labels in ``equal``. An alert that meets both sides inhibits no other such.
    """

    source_matchers: list[Text] = msgspec.field(name="source_matchers")
    target_matchers: list[Text] = msgspec.field(name="target_matchers")
    equal: list[Name] = msgspec.field(default_factory=list[Name])


KINDS: dict[str, type[Declared]] = {
    "System": System,
    "PriceTable": PriceTable,
    "ValueModel": ValueModel,
    "Monitor": Monitor,
    "Reference": Reference,
    "Receiver": Receiver,
    "Heartbeat": Heartbeat,
    "Route": Route,
    "TimeInterval": TimeInterval,
    "Inhibition": Inhibition,
}


class Declarations(Struct, frozen=True, kw_only=True):
    """Everything that is declared, as the analyzers and the router read it; and the planned work that corrects it."""

    systems: tuple[System, ...] = ()
    objectives: tuple[Objective, ...] = ()
    prices: tuple[PriceTable, ...] = ()
    values: tuple[ValueModel, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    heartbeats: tuple[Heartbeat, ...] = ()
    routes: tuple[Route, ...] = ()
    references: tuple[Reference, ...] = ()
    time_intervals: tuple[TimeInterval, ...] = ()
    inhibitions: tuple[Inhibition, ...] = ()
    planned: tuple[Planned, ...] = ()

    def system_of(self, service: str) -> System | None:
        """Find the system that a service belongs to."""
        return next((system for system in self.systems if service in system.services), None)

    def reference_of(self, service: str, model: str) -> Reference | None:
        """Find what a model is compared with: its own before its service's; None is its kept first days."""
        ours = [one for one in self.references if one.service == service and one.model in (None, model)]
        return min(ours, key=lambda one: one.model is None, default=None)

    def protected_of(self, service: str | None) -> frozenset[str]:
        """Name the attributes of a service (of all, for None) that are never shown row by row."""
        systems = [one for one in self.systems if service is None or service in one.services]
        return frozenset(name for system in systems for name in system.protected)


def parse(document: object, where: str) -> tuple[str, Declared]:
    """Read one YAML document that was already parsed; ``where`` (file and number) is named in errors.

    What OpenSLO or Sloth says comes back as a ``openslo.Document``: its references are looked up once all are read.

    >>> parse({"apiVersion": "watchkeeper/v1", "kind": "System", "metadata": {"name": "x"},
    ...        "spec": {"services": ["a"], "owner": "ops"}}, "x.yaml")[1].name
    'x'
    """
    if not isinstance(document, dict):
        raise SettingsError(f"{where}: expected a mapping with apiVersion, kind, metadata and spec")
    doc = cast("dict[str, Any]", document)
    if sloth.is_own(doc):
        return sloth.read(doc, where)
    kind, version = doc.get("kind"), doc.get("apiVersion")
    metadata = cast("dict[str, Any]", doc.get("metadata") or {})
    spec = cast("dict[str, Any]", doc.get("spec") or {})
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise SettingsError(f"{where}: metadata.name is missing")
    at = f"{where} ({kind} {name})"
    if version == "openslo/v1alpha" and kind in {"SLO", "Service"}:
        return ("Objective" if kind == "SLO" else kind), sloth.read_v1alpha(kind, name, metadata, spec, at)
    if version == "openslo/v1" and kind in openslo.SPECS:
        return ("Objective" if kind == "SLO" else kind), _openslo(kind, openslo.SPECS[kind], metadata, spec, at)
    if version == "watchkeeper/v1" and kind == "Objective":
        return "Objective", _openslo(kind, openslo.OwnSpec, metadata, spec, at)
    if version != "watchkeeper/v1" or kind not in KINDS:
        raise SettingsError(
            f"{where}: cannot read kind {kind!r} of {version!r}; known: openslo/v1 {', '.join(openslo.SPECS)}; "
            f"openslo/v1alpha SLO and Sloth's prometheus/v1; watchkeeper/v1 Objective, {', '.join(KINDS)}"
        )
    declared = _convert({**spec, "name": name}, KINDS[kind], at)
    if isinstance(declared, System):
        _check_silence(declared, at)
    if isinstance(declared, Reference) and (declared.kept is None) == (declared.type == "kept"):
        raise SettingsError(f"{at}: kept names the reference of type kept, and belongs to no other type")
    return kind, declared


def _openslo(
    kind: str, spec: type[openslo.Spec], metadata: dict[str, Any], content: dict[str, Any], at: str
) -> openslo.Document:
    named = _convert(metadata, openslo.Metadata, at)
    plain = msgspec.to_builtins(content, str_keys=True)  # YAML reads a startTime as a time
    return openslo.Document(name=named.name, kind=kind, at=at, metadata=named, spec=_convert(plain, spec, at))


def _check_silence(system: System, at: str) -> None:
    if system.sites and system.expect_every is None:
        raise SettingsError(f"{at}: sites are expected to send: say how often at least, as in expectEvery: 15m")
    try:
        _ = system.silence
    except ValueError as error:
        raise SettingsError(f"{at}: expectEvery {error}") from None


def _convert(value: object, kind: type[T], at: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{at}: {error}") from None
