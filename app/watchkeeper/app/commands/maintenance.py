"""``watchkeeper maintenance``: plans work, during which nothing is told and no budget is spent."""

from __future__ import annotations

from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, JsonOption, UrlOption

group = typer.Typer(help="Plan maintenance: no messages, no budget spent.", no_args_is_help=True, rich_markup_mode=None)
Matchers = Annotated[list[str], typer.Argument(help='Conditions on labels, as service="delays".')]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.add_typer(group, name="maintenance")


@group.command()
def add(
    matchers: Matchers,
    reason: Annotated[str, typer.Option(help="Why; every report shows it.")],
    duration: Annotated[str | None, typer.Option(help="For how long, as in 2h.", show_default=False)] = None,
    start: Annotated[str | None, typer.Option(help="From when (ISO 8601). Default: now.", show_default=False)] = None,
    end: Annotated[str | None, typer.Option(help="Until when (ISO 8601).", show_default=False)] = None,
    author: Annotated[str | None, typer.Option(help="Who. Default: the user of this shell.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plan a window on all that meets the conditions. It may lie in the past."""
    body = {
        "matchers": matchers,
        "reason": reason,
        "duration": duration,
        "start": start,
        "end": end,
        "author": author or options.operator(),
    }
    made = options.remote(options.settings(config), url).post("/v1/maintenance", body)
    options.show(made, as_json, lambda: [made["id"]])


@group.command("list")
def list_windows(
    expired: Annotated[bool, typer.Option("--expired", help="Also those that are over.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List windows by their start."""
    query = {"expired": str(expired).lower()}
    answer = options.remote(options.settings(config), url).get("/v1/maintenance", query)
    lines = [
        f"{one['id']}  {one['state']:<8} {one['start'][:19]} to {one['end'][:19]}  {one['author']}: {one['reason']}  "
        f"{', '.join(one['matchers'])}"
        for one in answer["windows"]
    ]
    options.show(answer, as_json, lambda: lines or ["no maintenance is planned"])


@group.command()
def end(
    window: Annotated[str, typer.Argument(help="Id of the window.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a window now."""
    ended = options.remote(options.settings(config), url).post(f"/v1/maintenance/{window}/end", {})
    options.show(ended, as_json, lambda: [f"ended {ended['id']}"])
