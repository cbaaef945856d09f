"""``watchkeeper slo``: check objectives in files, write them as OpenSLO, show how they stand; ``watchkeeper gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from watchkeeper.app import options
from watchkeeper.app.options import CHECK_FAILED, ConfigOption, JsonOption, UrlOption
from watchkeeper.schemas.errors import InputError, Unavailable

FolderArgument = Annotated[Path, typer.Argument(help="Folder of declared files.")]

slo = typer.Typer(help="Check objectives, write them as OpenSLO, show how they stand.", no_args_is_help=True)
EXITS = {"open": 0, "closed": 1, "unknown": 2}


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(slo, name="slo")
    cli.command("gate")(gate)


@slo.callback()
def group() -> None:
    """Check objectives, write them as OpenSLO, show how they stand."""


@slo.command()
def lint(
    folder: FolderArgument,
    per_hour: Annotated[
        float | None, typer.Option(min=0, help="Also say what cannot be seen at so many requests an hour.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with objectives: file, line, what to do. Exit code 2 where one cannot be used."""
    from watchkeeper.app.slo_lint import lint as check  # noqa: PLC0415

    found = check(folder, per_hour)
    options.show(found, as_json, lambda: [f"{one['objective']}: {one['says']}" for one in found] or ["nothing to say"])
    if any(one["level"] == "warning" for one in found):
        raise typer.Exit(CHECK_FAILED)


@slo.command()
def export(folder: FolderArgument) -> None:
    """Write every objective of a folder as OpenSLO v1. To standard output."""
    from watchkeeper.app.slo_lint import exported  # noqa: PLC0415

    typer.echo(exported(folder), nl=False)


@slo.command("list")
def listed(config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show how every objective stands, the worst first."""
    answer = options.remote(options.settings(config), url).get("/v1/slos")
    options.show(answer, as_json, lambda: [_line(one) for one in answer["slos"]])


def _line(one: dict[str, Any]) -> str:
    share = "-" if one["sli"] is None else f"{100 * one['sli']:.2f} %"
    left = "-" if one["budget_left"] is None else f"{100 * one['budget_left']:.0f} %"
    why = f"  {one['reasons'][0]}" if one["reasons"] else ""
    return f"{one['state']:<14}  {one['name']}  {share} of {100 * one['target']:g} %  budget left {left}{why}"


def gate(
    name: Annotated[str, typer.Argument(help="Name of the objective.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask whether a deployment may go on. Exit code 0 open, 1 closed, 2 nobody knows."""
    try:
        answer = options.remote(options.settings(config), url).get(f"/v1/gate/{quote(name, safe='')}")
    except (Unavailable, InputError) as error:  # no answer is not a no: the pipeline decides what to do with it
        answer = {"slo": name, "gate": "unknown", "reason": str(error)}
    options.show(answer, as_json, lambda: [f"{answer['gate']}: {answer['reason']}"])
    raise typer.Exit(EXITS[answer["gate"]])
