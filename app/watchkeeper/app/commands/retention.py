"""``watchkeeper retention``: let go of what is older than it is kept, or say what that is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, DataDirOption, JsonOption, UrlOption

retention = typer.Typer(help="Let go of what is older than it is kept.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(retention, name="retention")


@retention.callback()
def group() -> None:
    """Let go of what is older than it is kept."""


@retention.command()
def run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run retention now: the server does so by itself once a day."""
    from watchkeeper.app.offline import act  # noqa: PLC0415

    report = act(
        options.settings(config, data_dir),
        url,
        "/v1/admin/retention",
        {"dry_run": dry_run},
        lambda rooms, by: rooms.upkeep.retention(by, dry_run=dry_run),
    )
    options.show(report, as_json, lambda: _lines(report, dry_run))


def _lines(report: dict[str, Any], dry_run: bool) -> list[str]:
    word = "would go" if dry_run else "gone"
    lines = [f"{rows:>12,}  rows of {table} {word}" for table, rows in report["deleted"].items()]
    if report["texts"]:
        lines.append(f"{report['texts']:>12,}  texts {word}")
    if report["sealed_rows"]:
        lines.append(
            f"{report['sealed_rows']:>12,}  rows sealed in {report['sealed_files']} files, {report['sealed_bytes']:,} B"
        )
    return lines or ["nothing is older than it is kept"]
