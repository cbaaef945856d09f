"""``watchkeeper audit``: reads the audit log, and checks that nobody changed it."""

from __future__ import annotations

from typing import Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, DataDirOption, JsonOption

group = typer.Typer(help="Read the audit log, and check it.", no_args_is_help=True, rich_markup_mode=None)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.add_typer(group, name="audit")


@group.command("list")
def list_entries(
    limit: Annotated[int, typer.Option(min=1, help="Most entries.")] = 100,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who did what, the newest first."""
    from watchkeeper.app.declaring import opened_control  # noqa: PLC0415
    from watchkeeper.store.control import audit  # noqa: PLC0415

    with opened_control(options.settings(config, data_dir)) as control, control.snapshot() as tx:
        links = audit.links(tx, limit)
    rows = [
        {
            "number": link.number,
            "at": link.entry.at,
            "actor": link.entry.actor,
            "key": link.entry.key,
            "action": link.entry.action,
            "subject": link.entry.subject,
            "detail": link.entry.detail,
            "hash": link.hash,
        }
        for link in links
    ]
    lines = [
        f"{link.number:>6}  {link.entry.at:%Y-%m-%d %H:%M:%S} UTC  {link.entry.actor}"
        + (f" by {link.entry.key}" if link.entry.key else "")
        + f"  {link.entry.action}  {link.entry.subject}"
        for link in links
    ]
    options.show(rows, as_json, lambda: lines or ["nothing was done yet"])


@group.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="Hash that was once the newest: it must be there still.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute every hash again. Names the first entry that was changed, removed or put in."""
    from watchkeeper.app.declaring import opened_control  # noqa: PLC0415
    from watchkeeper.store.control import audit  # noqa: PLC0415

    with opened_control(options.settings(config, data_dir)) as control, control.snapshot() as tx:
        found = audit.verify(tx, head)
    row = {"entries": found.entries, "head": found.head, "broken": found.broken, "reason": found.reason}
    whole = f"all {found.entries} entries hold; the newest hash is {found.head}"
    broken = f"broken at entry {found.broken}: {found.reason}; the {found.entries} entries before it hold"
    options.show(row, as_json, lambda: [whole if found.broken is None else broken])
    if found.broken is not None:
        raise typer.Exit(options.CHECK_FAILED)
