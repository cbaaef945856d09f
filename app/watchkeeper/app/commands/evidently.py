"""``watchkeeper evidently``: our readings as Evidently's result JSON, and its result as readings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, cast

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, JsonOption, UrlOption
from watchkeeper.schemas.errors import InputError

ServiceOption = Annotated[str, typer.Option(help="Service that the numbers are about.")]
ModelOption = Annotated[str, typer.Option(help="Model that the numbers are about.")]

evidently = typer.Typer(help="Move between Evidently's result JSON and readings.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(evidently, name="evidently")


@evidently.command("export")
def export(
    service: ServiceOption,
    model: ModelOption,
    out: Annotated[Path, typer.Option(help="Where the result JSON goes.")],
    start: Annotated[str | None, typer.Option(help="ISO 8601 time. Default: 7 days ago.", show_default=False)] = None,
    end: Annotated[str | None, typer.Option(help="ISO 8601 time. Default: now.", show_default=False)] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
) -> None:
    """Write readings as Evidently writes its results. The newest of a window."""
    asked = {"service": service, "model": model, "start": start, "end": end}
    remote = options.remote(options.settings(config), url)
    found = remote.get("/v1/evidently/result", {name: value for name, value in asked.items() if value is not None})
    try:
        out.write_text(json.dumps(found, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}") from None
    typer.echo(f"{out}: {len(found['metrics'])} metrics")


@evidently.command("import")
def taken(
    file: Annotated[Path, typer.Argument(help="JSON that Evidently's snapshot.json() gave.")],
    service: ServiceOption,
    model: ModelOption,
    start: Annotated[str, typer.Option(help="ISO 8601 time at which its current data began.")],
    end: Annotated[str, typer.Option(help="ISO 8601 time at which its current data ended.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep an Evidently result as readings. Of their window; again changes nothing."""
    try:
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{file} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{file} is no result of Evidently: expected an object with a list `metrics`")
    asked = {"service": service, "model": model, "start": start, "end": end}
    kept = options.remote(options.settings(config), url).post(
        "/v1/evidently/result", cast("dict[str, object]", found), parameters=asked
    )
    left = [f"without a number: {', '.join(kept['left_out'])}"] if kept["left_out"] else []
    options.show(kept, as_json, lambda: [f"{kept['readings']} readings", *left])
