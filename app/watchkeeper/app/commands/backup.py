"""``watchkeeper backup``, ``restore`` and ``compact``: copies of the data folder, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, DataDirOption, JsonOption, UrlOption


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command()(backup)
    cli.command()(restore)
    cli.command()(compact)


def backup(
    dest: Annotated[Path, typer.Argument(help="New folder for the backup, on the server's machine.")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the whole data folder, while the server runs."""
    from watchkeeper.app.offline import act  # noqa: PLC0415

    report = act(
        options.settings(config, data_dir),
        url,
        "/v1/admin/backup",
        {"dest": str(dest.absolute())},
        lambda rooms, by: rooms.upkeep.backup(by, dest.absolute()),
    )
    text = f"{report['files']} files, {report['bytes']:,} B in {dest.absolute()}"
    options.show(report, as_json, lambda: [text])


def restore(
    source: Annotated[Path, typer.Argument(help="Folder of a backup.")],
    data_dir: Annotated[Path, typer.Option("--data-dir", help="New folder for the data.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a backup and put it into a new data folder."""
    from watchkeeper.app.restoring import restore as run  # noqa: PLC0415

    report = run(options.settings(config, data_dir), source.absolute(), data_dir.absolute())
    text = f"{report['files']} files, {report['bytes']:,} B in {data_dir}: start a server with --data-dir {data_dir}"
    options.show(report, as_json, lambda: [text])


def compact(config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Give back the room that deleted rows left in facts.duckdb. The server must be stopped."""
    from watchkeeper.app.restoring import compact as run  # noqa: PLC0415

    report = run(options.settings(config, data_dir))
    options.show(report, as_json, lambda: [f"facts.duckdb: {report['before']:,} B, now {report['after']:,} B"])
