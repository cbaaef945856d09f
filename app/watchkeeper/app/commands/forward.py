"""``watchkeeper forward``: send what processes on this host left in their spool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, UrlOption


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(forward)


def forward(
    spool: Annotated[Path, typer.Option(envvar="WATCHKEEPER_SPOOL_DIR", help="Folder of the spool.")],
    url: UrlOption = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to send.")] = False,
    config: ConfigOption = None,
) -> None:
    """Send what services on this host left in their spool. Waits until the server can be reached."""
    try:
        from watchkeeper_sdk.forward import forward as run  # noqa: PLC0415
    except ImportError as error:
        from watchkeeper.schemas.errors import SettingsError  # noqa: PLC0415

        raise SettingsError("watchkeeper forward needs the client library: install watchkeeper-sdk") from error
    settings = options.settings(config)
    if settings.auth.api_key_file:
        os.environ.setdefault("WATCHKEEPER_API_KEY_FILE", settings.auth.api_key_file)
    server = url or settings.base_url
    raise typer.Exit(run(["--spool", str(spool), "--url", server, *(["--once"] if once else [])]))
