"""``watchkeeper keys``: makes, lists, turns and ends API keys, in the control data itself: no server is needed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.app import options
from watchkeeper.app.options import ConfigOption, DataDirOption, JsonOption
from watchkeeper.schemas.access import Role
from watchkeeper.schemas.durations import duration
from watchkeeper.schemas.errors import SettingsError

if TYPE_CHECKING:
    from watchkeeper.store.control.keys import ApiKey

group = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Id or name of the key.")]
Limit = Annotated[int | None, typer.Option(min=1, show_default=False, help="Most in a minute; without it, any number.")]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.add_typer(group, name="keys")


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for; the audit log names it.")],
    role: Annotated[list[Role], typer.Option(help="What it may do; several times for several roles.")],
    service: Annotated[
        list[str] | None, typer.Option(help="Service that it is for; several times for several. Default: all.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="How long it holds, as in 90d. Default: for good.")] = None,
    service_account: Annotated[
        bool, typer.Option("--service-account", help="It may act on behalf of users, whom it names.")
    ] = False,
    requests_per_minute: Limit = None,
    bytes_per_minute: Limit = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key, and print it: this once and never again."""
    from watchkeeper.app.declaring import opened_control  # noqa: PLC0415
    from watchkeeper.store.clock import wall  # noqa: PLC0415
    from watchkeeper.store.control import keys  # noqa: PLC0415

    now = wall()
    until = now + _span(expires, "--expires") if expires else None
    services = tuple(service) if service else None
    grant = keys.Grant(name, tuple(role), services, service_account, requests_per_minute, bytes_per_minute, until)
    with opened_control(options.settings(config, data_dir)) as control, control.transaction() as tx:
        key, text = keys.create(tx, grant, now, options.operator())
    options.show({"id": key.id, "name": key.name, "key": text}, as_json, lambda: [text])


@group.command("list")
def list_keys(config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List the keys, revoked ones included; never their secrets."""
    from watchkeeper.app.declaring import opened_control  # noqa: PLC0415
    from watchkeeper.store.clock import wall  # noqa: PLC0415
    from watchkeeper.store.control import keys  # noqa: PLC0415

    with opened_control(options.settings(config, data_dir)) as control, control.snapshot() as tx:
        found = keys.every(tx)
    now = wall()
    rows = [_row(key, key.state(now)) for key in found]
    options.show(rows, as_json, lambda: [_line(key, key.state(now)) for key in found] or ["there are no keys"])


@group.command()
def rotate(
    key: KeyArgument,
    grace: Annotated[str, typer.Option(help="How long the old secret still holds.")] = "24h",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key a new secret, and print it: this once and never again."""
    from watchkeeper.app.declaring import opened_control  # noqa: PLC0415
    from watchkeeper.store.clock import wall  # noqa: PLC0415
    from watchkeeper.store.control import keys  # noqa: PLC0415

    span = _span(grace, "--grace")
    with opened_control(options.settings(config, data_dir)) as control, control.transaction() as tx:
        turned, text = keys.rotate(tx, key, span, wall(), options.operator())
    options.show({"id": turned.id, "name": turned.name, "key": text}, as_json, lambda: [text])


@group.command()
def revoke(
    key: KeyArgument, config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """End a key for good; a running server refuses it within 5 seconds."""
    from watchkeeper.app.declaring import opened_control  # noqa: PLC0415
    from watchkeeper.store.clock import wall  # noqa: PLC0415
    from watchkeeper.store.control import keys  # noqa: PLC0415

    with opened_control(options.settings(config, data_dir)) as control, control.transaction() as tx:
        ended = keys.revoke(tx, key, wall(), options.operator())
    options.show(_row(ended, "revoked"), as_json, lambda: [f"revoked: {ended.name} ({ended.id})"])


def _span(text: str, option: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from None


def _row(key: ApiKey, state: str) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "state": state,
        "roles": [role.value for role in key.roles],
        "services": None if key.services is None else [*key.services],
        "service_account": key.service_account,
        "requests_per_minute": key.requests_per_minute,
        "bytes_per_minute": key.bytes_per_minute,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "rotated_at": key.rotated_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _line(key: ApiKey, state: str) -> str:
    services = "all services" if key.services is None else ", ".join(key.services)
    used = f"last used {key.last_used_at:%Y-%m-%d %H:%M} UTC" if key.last_used_at else "never used"
    return f"{key.id}  {state:<8}{key.name}: {', '.join(key.roles)}; {services}; {used}"
