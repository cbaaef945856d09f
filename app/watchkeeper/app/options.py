"""What the commands share: their options, how settings are read, how an answer is printed. Nothing heavy."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.schemas import settings as settings_file

if TYPE_CHECKING:
    from watchkeeper.app.remote import Remote

CHECK_FAILED = 7
"""The exit code of a check that says no."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with settings.", envvar="WATCHKEEPER_CONFIG", show_default=False),
]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the data.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Address of the server. Default: from the settings.", show_default=False)
]


def explained(
    config: Path | None, options: Mapping[str, object] | None = None
) -> tuple[settings_file.Settings, list[settings_file.Explained]]:
    """Read the settings, and where each came from."""
    return settings_file.load(config, os.environ, options)


def settings(config: Path | None, data_dir: Path | None = None) -> settings_file.Settings:
    """Read the settings; a given data folder goes before the file's."""
    return explained(config, {"server.data_dir": str(data_dir) if data_dir else None})[0]


def remote(settings: settings_file.Settings, url: str | None) -> Remote:
    """Talk to the given server, or to the one of the settings."""
    from watchkeeper.app.remote import Remote  # noqa: PLC0415

    return Remote(url or settings.base_url, settings.auth.api_key_file, settings.server.tls_ca)


def operator() -> str:
    """Give the name of whoever runs the command, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def show(value: object, as_json: bool, lines: Callable[[], list[str]]) -> None:
    """Print a value as JSON for machines, or its lines for people."""
    if as_json:
        typer.echo(json.dumps(value, indent=1, default=str))
    else:
        for line in lines():
            typer.echo(line)


@contextlib.contextmanager
def progress(title: str, total: int, *, hidden: bool) -> Generator[Callable[[int], object]]:
    """Show how far a command is, where someone looks; give what is to be told."""
    if hidden or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=total)
        yield lambda done: bars.update(task, completed=done)


@contextlib.contextmanager
def bars() -> Generator[Callable[[str, int, int], object]]:
    """Show how far each of several things is, where someone looks; tell it name, done and total."""
    if not sys.stderr.isatty():
        yield lambda _name, _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, TaskID  # noqa: PLC0415

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True)) as shown:

        def hear(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total)
            shown.update(tasks[name], completed=done, total=total)

        yield hear
