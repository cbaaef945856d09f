"""``watchkeeper receivers``: try out who is told."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from watchkeeper.app import options
from watchkeeper.app.options import CHECK_FAILED, ConfigOption, JsonOption, UrlOption

receivers = typer.Typer(help="Try out who is told.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(receivers, name="receivers")


@receivers.callback()
def group() -> None:
    """Try out who is told."""


@receivers.command("test")
def try_out(
    name: Annotated[str, typer.Argument(help="Receiver, as declared.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the server send one test message, and say what came back."""
    answer = options.remote(options.settings(config), url).post(f"/v1/receivers/{quote(name, safe='')}/test", {})
    lines = [
        f"{'ok  ' if one['delivered'] else 'FAIL'}  {one['address']} ({one['type']}): {one['said'] or 'delivered'}"
        for one in answer["tries"]
    ]
    options.show(answer, as_json, lambda: lines)
    if not all(one["delivered"] for one in answer["tries"]):
        raise typer.Exit(CHECK_FAILED)
