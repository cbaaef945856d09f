"""``watchkeeper silence``: keeps alerts quiet, lists silences, ends them."""

from __future__ import annotations

from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, JsonOption, UrlOption

group = typer.Typer(help="Keep alerts quiet for a while.", no_args_is_help=True, rich_markup_mode=None)
Matchers = Annotated[list[str], typer.Argument(help='Conditions on labels, as service="delays" or severity=~"page".')]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.add_typer(group, name="silence")


@group.command()
def add(
    matchers: Matchers,
    comment: Annotated[str, typer.Option(help="Why.")],
    duration: Annotated[str, typer.Option(help="For how long, as in 2h.")],
    author: Annotated[str | None, typer.Option(help="Who. Default: the user of this shell.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Silence every alert that meets all conditions."""
    body = {
        "matchers": matchers,
        "comment": comment,
        "duration": duration,
        "author": author or options.operator(),
    }
    made = options.remote(options.settings(config), url).post("/v1/silences", body)
    options.show(made, as_json, lambda: [made["id"]])


@group.command("list")
def list_silences(
    expired: Annotated[bool, typer.Option("--expired", help="Also those that are over.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List silences, the first to end first."""
    query = {"expired": str(expired).lower()}
    answer = options.remote(options.settings(config), url).get("/v1/silences", query)
    lines = [
        f"{one['id']}  {one['state']:<8} until {one['end'][:19]}  {one['author']}: {one['comment']}  "
        f"{', '.join(one['matchers'])}"
        for one in answer["silences"]
    ]
    options.show(answer, as_json, lambda: lines or ["nothing is silenced"])


@group.command()
def expire(
    silence: Annotated[str, typer.Argument(help="Id of the silence.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence now; what still fires is told."""
    ended = options.remote(options.settings(config), url).post(f"/v1/silences/{silence}/expire", {})
    options.show(ended, as_json, lambda: [f"ended {ended['id']}"])
