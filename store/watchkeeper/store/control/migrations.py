"""Brings a control database to the newest schema; imports alembic only where there is something to do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from watchkeeper.schemas.errors import SettingsError

HEAD = "0006"
"""The newest file in ``versions/``; equal to the stored revision, nothing is to be done."""

TABLE = "alembic_version"


def bring_up_to_date(connection: Connection) -> None:
    """Run the steps between the stored revision and ``HEAD``, inside the caller's transaction."""
    stored = _stored(connection)
    if stored != HEAD:
        _upgrade(connection, stored)


def _stored(connection: Connection) -> str | None:
    if not inspect(connection).has_table(TABLE):
        return None
    value: object = connection.exec_driver_sql(f"SELECT version_num FROM {TABLE}").scalar()
    return None if value is None else str(value)


def _upgrade(connection: Connection, stored: str | None) -> None:
    # Importing alembic costs more than all of opening: a start on an up-to-date file never pays it.
    from alembic.migration import MigrationContext  # noqa: PLC0415
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.runtime.migration import MigrationStep  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.script.revision import ResolutionError  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(__file__).parent))
    try:
        missing = list(scripts.iterate_revisions(HEAD, stored, implicit_base=True))
    except ResolutionError:
        raise SettingsError(
            f"the control database is at revision {stored!r}, which this Watchkeeper (at {HEAD!r}) does not know: "
            "a newer one wrote it; install that one, or open a copy from before"
        ) from None
    steps = [MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(missing)]

    def to_run(_revision: object, _context: object) -> list[MigrationStep]:
        return list(steps)

    context = MigrationContext.configure(connection, opts={"fn": to_run})
    with Operations.context(context):
        context.run_migrations()
