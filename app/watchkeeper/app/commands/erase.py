"""``watchkeeper erase``: remove a person's rows from everything that is kept."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, DataDirOption, JsonOption, UrlOption


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(erase)


def erase(
    subject: Annotated[list[str], typer.Option(help="KEY=VALUE or a prediction's id; may be repeated.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a person's rows. From facts, rejects, inbox and sealed files; counts stay."""
    from watchkeeper.app.offline import act  # noqa: PLC0415

    report = act(
        options.settings(config, data_dir),
        url,
        "/v1/admin/erase",
        {"subjects": subject, "dry_run": dry_run},
        lambda rooms, by: rooms.upkeep.erase(by, subject, dry_run=dry_run),
    )
    options.show(report, as_json, lambda: _lines(report, "would go" if dry_run else "gone"))


def _lines(report: dict[str, Any], word: str) -> list[str]:
    lines = [f"{rows:>12,}  rows of {table} {word}" for table, rows in report["deleted"].items()]
    if report["sealed_rows"]:
        lines.append(f"{report['sealed_rows']:>12,}  rows of {report['sealed_files']} sealed files {word}")
    return lines or ["nothing about that is kept"]
