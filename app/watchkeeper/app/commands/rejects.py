"""``watchkeeper rejects``: look at what was turned away, correct it, send it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, JsonOption, UrlOption

ServiceOption = Annotated[str | None, typer.Option(help="Rejects of this service.", show_default=False)]
KindOption = Annotated[str | None, typer.Option(help="Rejects of this kind, as predictions.", show_default=False)]
SinceOption = Annotated[str | None, typer.Option(help="Rejects received since (ISO 8601).", show_default=False)]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]

rejects = typer.Typer(help="Look at what was turned away, correct it, send it again.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(rejects, name="rejects")


@rejects.command("list")
def listed(
    service: ServiceOption = None,
    kind: KindOption = None,
    since: SinceOption = None,
    limit: LimitOption = 100,
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that were sent again.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show rejects and count them by reason."""
    settings = options.settings(config)
    answer = options.remote(settings, url).get(
        "/v1/rejects", _query(service, kind, since, limit) | {"replayed": str(replayed).lower()}
    )
    lines = [f"{r['n']:>8}  {r['service'] or '-'}  {r['kind']}  {r['field']}: {r['reason']}" for r in answer["reasons"]]
    lines += [
        f"{r['id']}  {r['received_at'][:19]}  {r['service'] or '-'}  {r['field']}: {r['reason']}  {_start(r)}"
        for r in answer["rejects"]
    ]
    options.show(answer, as_json, lambda: lines or ["nothing was turned away"])


@rejects.command()
def export(
    file: Annotated[Path, typer.Argument(help="NDJSON file to write, one reject a line.")],
    service: ServiceOption = None,
    kind: KindOption = None,
    since: SinceOption = None,
    limit: LimitOption = 10_000,
    config: ConfigOption = None,
    url: UrlOption = None,
) -> None:
    """Write open rejects to a file, to be corrected and replayed."""
    from watchkeeper.app import replaying  # noqa: PLC0415

    found = replaying.fetch(options.remote(options.settings(config), url), _query(service, kind, since, limit))
    replaying.export(found, file)
    typer.echo(f"{len(found)} rejects in {file}: correct them, then `watchkeeper rejects replay --file {file}`")


@rejects.command()
def replay(
    file: Annotated[Path | None, typer.Option(help="Corrected file of `rejects export`.", show_default=False)] = None,
    service: ServiceOption = None,
    kind: KindOption = None,
    since: SinceOption = None,
    limit: LimitOption = 10_000,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send open rejects again, as they came or from a corrected file."""
    from dataclasses import asdict  # noqa: PLC0415

    from watchkeeper.app import replaying  # noqa: PLC0415

    remote = options.remote(options.settings(config), url)
    lines = replaying.read(file) if file else replaying.fetch(remote, _query(service, kind, since, limit))
    report = replaying.replay(remote, lines)
    text = [
        f"sent {report.sent}: accepted {report.accepted}, rejected again {report.rejected}, left {report.left_open}"
    ]
    options.show(asdict(report), as_json, lambda: text + report.reasons)


def _query(service: str | None, kind: str | None, since: str | None, limit: int) -> dict[str, str]:
    given = {"service": service, "kind": kind, "since": since, "limit": str(limit)}
    return {name: value for name, value in given.items() if value is not None}


def _start(reject: dict[str, str]) -> str:
    return (reject.get("raw") or reject.get("raw_base64") or "")[:80].replace("\n", " ")
