"""Puts a folder of declared files in force, for the command line and at the start of the server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from watchkeeper.alerts.delivery.addresses import check_receivers
from watchkeeper.alerts.delivery.heartbeats import check_heartbeats
from watchkeeper.alerts.routing.readiness import check_pages
from watchkeeper.alerts.routing.routing import check_routes
from watchkeeper.analyzers.evaluation import check_monitors
from watchkeeper.analyzers.registry import discover
from watchkeeper.app.options import operator
from watchkeeper.app.slo_lint import warnings
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.settings import Settings
from watchkeeper.store.clock import wall
from watchkeeper.store.control import declared
from watchkeeper.store.control.apply import apply
from watchkeeper.store.control.connection import Control, open_control


def apply_folder(settings: Settings, folder: Path | None) -> dict[str, list[str]]:
    """Apply the given folder, or the one of the settings; say what changed, by what happened to it."""
    chosen = folder or (Path(settings.control.declared_dir) if settings.control.declared_dir else None)
    if chosen is None:
        raise SettingsError("which folder? Name it, or set control.declared_dir")
    with opened_control(settings) as control:
        return apply_to(control, chosen)


@contextmanager
def opened_control(settings: Settings) -> Generator[Control]:
    """Open the control data for one command; a server may run beside it."""
    make_data_folder(settings)
    control = open_control(settings.control_url)
    try:
        yield control
    finally:
        control.close()


def make_data_folder(settings: Settings) -> None:
    """Make the data folder where it is missing."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{settings.data_dir} (server.data_dir) cannot be a folder: {error.strerror}") from None


def apply_to(control: Control, folder: Path) -> dict[str, list[str]]:
    """Apply a folder to open control data, as the user who runs this."""
    report = apply(
        folder,
        control,
        wall(),
        operator(),
        [check_receivers, check_heartbeats, check_routes, check_pages, _check_monitors],
    )
    return {
        "added": list(report.added),
        "changed": list(report.changed),
        "unchanged": list(report.unchanged),
        "removed": list(report.removed),
        "warning": [*report.warnings, *_remarks(control)],
    }


def _remarks(control: Control) -> list[str]:
    """Say what is unwise about the objectives that are now in force."""
    with control.snapshot() as tx:
        return warnings(declared.current(tx).objectives)


def _check_monitors(given: Declarations) -> list[str]:
    """Say which monitors name an analyzer or a parameter that there is not."""
    problems: list[str] = []
    for monitor in given.monitors:
        try:
            check_monitors([monitor], discover())
        except SettingsError as error:
            problems.append(str(error))
    return problems
