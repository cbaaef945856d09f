"""``watchkeeper reference``: keep what models are compared with, under names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, JsonOption, UrlOption

ServiceOption = Annotated[str, typer.Option(help="Service that the model belongs to.")]
ModelOption = Annotated[str, typer.Option(help="Model that is compared with it.")]
NameOption = Annotated[str, typer.Option(help="What it is called; a name that is taken gets its next version.")]

reference = typer.Typer(help="Keep what models are compared with, under names.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(reference, name="reference")


@reference.command("from-file")
def from_file(
    files: Annotated[list[Path], typer.Argument(help="Parquet, CSV or NDJSON files of training data.")],
    service: ServiceOption,
    model: ModelOption,
    name: NameOption,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the rows of files, as training data. Only edges and counts are sent."""
    from watchkeeper.app.training import Named, from_files  # noqa: PLC0415

    kept = from_files(options.remote(options.settings(config), url), files, Named(service, model, name))
    left = [f"left out: {', '.join(kept['left_out'])}"] if kept["left_out"] else []
    options.show(kept, as_json, lambda: [_line(kept), *left])


@reference.command("from-window")
def from_window(
    service: ServiceOption,
    model: ModelOption,
    name: NameOption,
    start: Annotated[str, typer.Option(help="ISO 8601 time, at a full hour.")],
    end: Annotated[str, typer.Option(help="ISO 8601 time, at a full hour.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a past window, from the rollups."""
    _keep({"service": service, "model": model, "name": name, "start": start, "end": end}, config, url, as_json)


@reference.command("from-version")
def from_version(
    service: ServiceOption,
    model: ModelOption,
    name: NameOption,
    version: Annotated[str, typer.Option(help="Version of the model, as its events name it.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep what one version got and said. Of the rows that are still kept."""
    _keep({"service": service, "model": model, "name": name, "version": version}, config, url, as_json)


@reference.command("list")
def listed(
    service: Annotated[str | None, typer.Option(help="Only this service.", show_default=False)] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is kept by name."""
    remote = options.remote(options.settings(config), url)
    found = remote.get("/v1/references", {"service": service} if service else {})["references"]
    options.show(found, as_json, lambda: [_line(one) for one in found] or ["no reference is kept by name"])


def _keep(body: dict[str, object], config: Path | None, url: str | None, as_json: bool) -> None:
    kept = options.remote(options.settings(config), url).post("/v1/references", body, timeout=None)
    options.show(kept, as_json, lambda: [_line(kept)])


def _line(one: dict[str, Any]) -> str:
    where = f"{one['service']} / {one['model']}"
    return f"{one['name']}, version {one['version']}, of {where}: {one['total']:,} rows, {one['detail']}"
