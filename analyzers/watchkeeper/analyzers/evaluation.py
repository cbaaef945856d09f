"""What an analyzer is, what it gives back, and how declared monitors change its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from watchkeeper.schemas.declared import Declarations, Monitor, Reference
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Finding, Json, Severity, Window

if TYPE_CHECKING:
    from watchkeeper.store.facts.examples import Showing
    from watchkeeper.store.facts.reader import FactReader, ModelInfo

Param = float | int | str | bool | list[str]
Params = Mapping[str, Param]
Snapshot = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one subject in one window, as known at ``as_of``: kept for charts, never sent to anyone.

    ``maturity`` is the share of outcomes that were known; ``reference`` what the number is compared with, ``against``
    in words which rows were.
    """

    analyzer: str
    metric: str
    service: str
    model: str
    subject: str
    window: Window
    as_of: datetime
    value: float
    lower: float | None = None
    upper: float | None = None
    n: int | None = None
    maturity: float | None = None
    reference: float | None = None
    against: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one analyzer says of one window.

    ``judged`` holds the (service, model) pairs that had enough data for a verdict: only then does an open finding
    that is not repeated become quiet. A pair that is not judged keeps its open findings.
    """

    findings: tuple[Finding, ...] = ()
    readings: tuple[Reading, ...] = ()
    judged: frozenset[tuple[str, str]] = frozenset()


class Analyzer(Protocol):
    """A method: a pure core behind a thin ``evaluate`` that reads the facts of a window.

    ``every`` is the time between evaluations, ``span`` the length of the window, ``params`` the defaults that a
    declared monitor may override.
    """

    @property
    def name(self) -> str:
        """Folder and file, as in ``data.missing``."""
        ...

    @property
    def question(self) -> str:
        """What it answers, in one sentence."""
        ...

    @property
    def every(self) -> timedelta:
        """Time between two evaluations."""
        ...

    @property
    def span(self) -> timedelta:
        """Length of the window."""
        ...

    @property
    def quiet(self) -> timedelta:
        """How long a finding must not have been repeated before it is over; keeps it from flapping."""
        ...

    @property
    def params(self) -> Params:
        """Every parameter with its default."""
        ...

    def evaluate(self, facts: FactReader, declared: Declarations, window: Window, as_of: datetime) -> Evaluation:
        """Judge every service and model in the window, by what was known at ``as_of``."""
        ...


class Recomputing(Analyzer, Protocol):
    """An analyzer with findings: each keeps what it was calculated from."""

    def recompute(self, snapshot: Snapshot) -> float:
        """Give a finding's ``observed`` from its evidence snapshot, bit for bit."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters in force for one analyzer, service and model."""

    params: Params
    severity: Severity | None = None
    enabled: bool = True

    def number(self, name: str) -> float:
        """Give a numeric parameter."""
        value = self.params[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingsError(f"parameter {name} must be a number, not {value!r}: correct the monitor that sets it")
        return float(value)

    def severity_or(self, default: Severity) -> Severity:
        """Give the declared severity, else the analyzer's own."""
        return self.severity or default


def settings_for(analyzer: Analyzer, declared: Declarations, service: str, model: str) -> Settings:
    """Apply the monitors that match, the general ones first, so that the most specific wins.

    >>> from watchkeeper.analyzers.data.missing import ANALYZER
    >>> monitors = (Monitor(analyzer="data.missing", params={"min_share": 0.05}),
    ...             Monitor(analyzer="data.missing", service="chat", enabled=False))
    >>> settings = settings_for(ANALYZER, Declarations(monitors=monitors), "chat", "m")
    >>> settings.number("min_share"), settings.enabled
    (0.05, False)
    """
    matching = [
        monitor
        for monitor in declared.monitors
        if monitor.analyzer == analyzer.name and monitor.service in (None, service) and monitor.model in (None, model)
    ]
    params = dict(analyzer.params)
    severity: Severity | None = None
    enabled = True
    for monitor in sorted(matching, key=_specificity):
        params.update(monitor.params)
        severity = Severity(monitor.severity) if monitor.severity else severity
        enabled = monitor.enabled
    return Settings(params, severity, enabled)


@dataclass(frozen=True, slots=True)
class Scope:
    """One model under evaluation: what may be read, what is declared, the window, and the parameters in force."""

    facts: FactReader
    declared: Declarations
    info: ModelInfo
    window: Window
    as_of: datetime
    settings: Settings

    @property
    def service(self) -> str:
        """The service under evaluation."""
        return self.info.service

    @property
    def model(self) -> str:
        """The model under evaluation."""
        return self.info.model

    @property
    def pair(self) -> tuple[str, str]:
        """Service and model, as ``Evaluation.judged`` holds them."""
        return self.info.service, self.info.model

    @property
    def reference(self) -> Window | None:
        """The kept reference, once it is wholly in the past of this window."""
        reference = self.info.reference
        return reference if reference is not None and reference.end <= self.window.start else None

    @property
    def declared_reference(self) -> Reference | None:
        """What its distances are declared to be measured against; None is the kept first days."""
        return self.declared.reference_of(*self.pair)

    def examples(self, showing: Showing, window: Window | None = None) -> tuple[str, ...]:
        """Give the ids of a few predictions that show it, of the window under evaluation unless another is given.

        None for a value of a protected attribute: such rows would say whose they are.
        """
        if getattr(showing, "feature", None) in self.declared.protected_of(self.service):
            return ()
        return self.facts.example_ids(*self.pair, window or self.window, showing)


def scopes(
    analyzer: Analyzer, facts: FactReader, declared: Declarations, window: Window, as_of: datetime
) -> Iterator[Scope]:
    """Go through every model that the analyzer is enabled for."""
    for info in facts.models(as_of):
        settings = settings_for(analyzer, declared, info.service, info.model)
        if settings.enabled:
            yield Scope(facts, declared, info, window, as_of, settings)


def _specificity(monitor: Monitor) -> tuple[bool, bool]:
    return monitor.model is not None, monitor.service is not None


def check_monitors(monitors: Iterable[Monitor], registry: Mapping[str, Analyzer]) -> None:
    """Refuse a monitor of an unknown analyzer or with an unknown parameter, before it is applied."""
    for monitor in monitors:
        analyzer = registry.get(monitor.analyzer)
        if analyzer is None:
            raise SettingsError(
                f"Monitor {monitor.name}: there is no analyzer {monitor.analyzer!r}; known: {', '.join(registry)}"
            )
        for name, value in monitor.params.items():
            default = analyzer.params.get(name)
            if default is None:
                raise SettingsError(
                    f"Monitor {monitor.name}: {analyzer.name} has no parameter {name!r}; "
                    f"known: {', '.join(analyzer.params) or 'none'}"
                )
            if _family(value) != _family(default):
                raise SettingsError(
                    f"Monitor {monitor.name}: parameter {name} of {analyzer.name} is like {default!r}, not {value!r}"
                )


def _family(value: Param) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
