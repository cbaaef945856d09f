"""``watchkeeper report``: pages that others make of our data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, JsonOption, UrlOption

report = typer.Typer(help="Pages that others make of our data.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(report, name="report")


@report.callback()
def group() -> None:
    """Pages that others make of our data."""


@report.command()
def evidently(
    service: Annotated[str, typer.Option(help="Service to look at.")],
    model: Annotated[str, typer.Option(help="Model to look at.")],
    out: Annotated[Path, typer.Option(help="Where the HTML page goes; a name in .json gets its result JSON.")],
    start: Annotated[str | None, typer.Option(help="ISO 8601 time. Default: 7 days ago.", show_default=False)] = None,
    end: Annotated[str | None, typer.Option(help="ISO 8601 time. Default: now.", show_default=False)] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make Evidently's page of a window. It shows a sample against the reference."""
    from watchkeeper.app.evidently_report import make  # noqa: PLC0415

    asked = {"service": service, "model": model, "start": start, "end": end}
    remote = options.remote(options.settings(config), url)
    made = make(remote, {name: value for name, value in asked.items() if value is not None}, out.absolute())
    rows = f"{made['reference_rows']:,} rows of the reference, {made['current_rows']:,} of the window"
    lines = [
        f"{out}: {rows}, {made['columns']} columns",
        *(f"left out, as it has no values in one of them: {name}" for name in made["left_out"]),
    ]
    options.show(made, as_json, lambda: lines)
