"""The command line. Nothing heavy is imported before a command runs, so that ``--help`` answers at once.

Exit codes: 0 done; 1 something failed; 2 a setting, option or declared file cannot be used; 3 input cannot be used;
4 the server or the disk is not available now; 5 not found; 6 not allowed; 7 a check says no (doctor, demo --check).
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from watchkeeper.app import __version__, commands, options
from watchkeeper.app.options import CHECK_FAILED, ConfigOption, DataDirOption, JsonOption, UrlOption
from watchkeeper.schemas.errors import WatchkeeperError

if TYPE_CHECKING:
    from watchkeeper.app.remote import Busy

cli = typer.Typer(
    name="watchkeeper",
    help="Notices when an AI service quietly degrades, before it fails loudly.",
    epilog="Exit codes: 0 done, 1 failed, 2 settings, 3 input, 4 unavailable, 5 absent, 6 not allowed, 7 check failed.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@cli.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Notices when an AI service quietly degrades, before it fails loudly."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@cli.command()
def serve(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default=False)] = None,
) -> None:
    """Run the server: ingest, analyzers, alerts and API."""
    given = {"server.data_dir": str(data_dir) if data_dir else None, "server.host": host, "server.port": port}
    settings, _ = options.explained(config, given)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # its frames are small here: more threads cost more than they give
    gc.disable()  # what is imported stays: looking at it again and again took a fifth of the start
    from watchkeeper.app.serving import serve as run  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    try:
        run(settings)
    finally:
        gc.unfreeze()  # else the bindings of the database say at the end that they were leaked


@cli.command()
def dashboard(
    config: ConfigOption = None,
    url: UrlOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.")] = 8501,
) -> None:
    """Run the dashboard of a running server."""
    from watchkeeper.dashboard.launch import command  # noqa: PLC0415

    settings = options.settings(config)
    key_file, tls_ca = settings.auth.api_key_file or None, settings.server.tls_ca or None
    argv, environment = command(url or settings.base_url, host, port, key_file=key_file, tls_ca=tls_ca)
    typer.echo(f"The dashboard of {url or settings.base_url}: http://{host}:{port}")
    os.execve(argv[0], argv, environment)  # noqa: S606


@cli.command()
def demo(
    check: Annotated[bool, typer.Option("--check", help="No browser, no terminal: end by itself, print JSON.")] = False,
    port: Annotated[int, typer.Option(help="Port of the server; 0 takes a free one.")] = 0,
    dashboard_port: Annotated[int, typer.Option(help="Port of the dashboard; 0 takes a free one.")] = 0,
) -> None:
    """Replay nine months of real flights with one quiet fault."""
    from watchkeeper.app.demo.run import run  # noqa: PLC0415

    raise typer.Exit(0 if run(check=check, port=port, dashboard_port=dashboard_port) else CHECK_FAILED)


@cli.command()
def apply(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of declared files. Default: control.declared_dir.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a folder of declared files and put it in force. All of it, or none and every reason why."""
    from watchkeeper.app.declaring import apply_folder  # noqa: PLC0415

    settings = options.settings(config, data_dir)
    new = not settings.control.url and not settings.data_dir.exists()
    report = apply_folder(settings, folder)
    lines = [f"{word}: {name}" for word, names in report.items() for name in names]
    options.show(report, as_json, lambda: lines or ["nothing is declared in that folder"])
    if new:
        typer.echo(
            f"watchkeeper: the data folder {settings.data_dir} was made for this: a server with another one does not "
            "see it; name the server's with --data-dir",
            err=True,
        )


@cli.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or NDJSON file of predictions, one a row.")],
    service: Annotated[str, typer.Option(help="Service that the rows belong to.")],
    model: Annotated[str, typer.Option(help="Model that the rows belong to.")] = "default",
    start_row: Annotated[int, typer.Option(min=0, help="Go on here, after the rows that are stored.")] = 0,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a file of logs to the server. The same file again adds nothing."""
    from watchkeeper.app.importing import Import, Target, pause  # noqa: PLC0415
    from watchkeeper.app.log_files import rows, survey  # noqa: PLC0415

    settings = options.settings(config)
    found = survey(file, settings.retention.facts_days, datetime.now(UTC))
    if found.too_old:
        typer.echo(
            f"watchkeeper: {found.too_old} rows are older than the {settings.retention.facts_days} days that facts are "
            "kept (retention.facts_days, as set here): the server keeps them as rejects, `watchkeeper rejects list`",
            err=True,
        )

    def wait(busy: Busy) -> None:
        typer.echo(f"watchkeeper: {busy}; going on in {busy.retry_after:g} s", err=True)
        pause(busy)

    with options.progress(f"sending {file.name}", found.rows, hidden=as_json) as sent:
        work = Import(Target(file.name, service, model), options.remote(settings, url), start_row, sent, wait)
        report = work.run(rows(file, start_row))
    options.show(report, as_json, lambda: [f"{name}: {value}" for name, value in report.items()])
    for reason, row in work.reasons.items():
        typer.echo(f"watchkeeper: rejected, row {row} first: {reason}", err=True)
    if work.reasons:
        typer.echo("watchkeeper: correct the file and send it again, or see `watchkeeper rejects export`", err=True)


@cli.command()
def backtest(
    files: Annotated[list[Path], typer.Argument(help="Parquet files in the columns of docs/backtest.md.")],
    out: Annotated[Path, typer.Option(help="Where the findings go, as JSON; with several files a folder.")],
    reference_days: Annotated[int, typer.Option(min=1, help="Days at the start to compare with.")] = 28,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Files replayed at once. Default: one a core.", show_default=False)
    ] = None,
    notices: Annotated[bool, typer.Option("--notices", help="Also what is only shown; over twice the time.")] = False,
) -> None:
    """Say what we would have been told, and when. Replays files day by day, without looking ahead."""
    from watchkeeper.app.backtesting import lines, run, streams  # noqa: PLC0415

    with options.bars() as hear:
        asked = streams(files, out, notices=notices)
        reports = run(asked, reference_days, jobs or os.cpu_count() or 1, hear)
    for line in lines(reports, notices=notices):
        typer.echo(line)


@cli.command()
def doctor(config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Say what is wrong here, and what to do next. Checks ports, clock, write access, versions and events."""
    from watchkeeper.app.doctor import examine  # noqa: PLC0415

    settings = options.settings(config)
    checks = examine(settings, url or settings.base_url)
    signs = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    rows = [{"name": c.name, "state": c.state, "found": c.found, "next": c.next} for c in checks]
    lines = [f"{signs[c.state]}  {c.name}: {c.found}" + (f"\n      next: {c.next}" if c.next else "") for c in checks]
    options.show(rows, as_json, lambda: lines)
    if any(c.state == "fail" for c in checks):
        raise typer.Exit(CHECK_FAILED)


@cli.command("config")
def show_config(
    config: ConfigOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say where each value came from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print every setting with its value."""
    _, explained = options.explained(config)
    rows = [{"name": e.name, "value": e.value, "source": e.source} for e in explained]
    width = max(len(e.name) for e in explained)
    lines = [f"{e.name:<{width}}  {e.value!r}" + (f"  ({e.source})" if explain else "") for e in explained]
    options.show(rows, as_json, lambda: lines)


for found in pkgutil.iter_modules(commands.__path__):
    importlib.import_module(f"{commands.__name__}.{found.name}").register(cli)


def main() -> NoReturn:
    """Run the command line; a known error is one sentence and an exit code, never a traceback."""
    try:
        cli()
    except WatchkeeperError as error:
        typer.echo(f"watchkeeper: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)
