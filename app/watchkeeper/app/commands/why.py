"""``watchkeeper why``: says why an incident was told, or was not."""

from __future__ import annotations

from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, JsonOption, UrlOption


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(why)


def why(
    incident: Annotated[str, typer.Argument(help="Id of the incident.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why an incident was told, or was not. By rule, route, silence, what it waits for, every attempt."""
    answer = options.remote(options.settings(config), url).get(f"/v1/incidents/{incident}/why")
    options.show(answer, as_json, lambda: answer["words"])
