"""Acts of upkeep from the command line: by the server where one runs, else on its data folder.

The stores are imported where there is no server: it takes longer than all that is done where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from watchkeeper.app.options import operator
from watchkeeper.app.remote import Remote
from watchkeeper.schemas.errors import SettingsError, Unavailable
from watchkeeper.schemas.settings import Settings

if TYPE_CHECKING:
    from watchkeeper.app.rooms import Rooms
    from watchkeeper.app.upkeep import By


def act(
    settings: Settings,
    url: str | None,
    path: str,
    body: Mapping[str, object],
    here: Callable[[Rooms, By], dict[str, Any]],
) -> dict[str, Any]:
    """Ask the server; where none answers and none was named, do it on the data folder."""
    remote = Remote(url or settings.base_url, settings.auth.api_key_file)
    try:
        remote.get("/health")
    except Unavailable:
        if url is not None:
            raise
        from watchkeeper.app.upkeep import By  # noqa: PLC0415

        with stopped(settings) as rooms:
            return here(rooms, By(operator()))
    return remote.post(path, body, timeout=None)


@contextmanager
def stopped(settings: Settings) -> Generator[Rooms]:
    """Open the stores of a server that does not run, with what waits in the inbox loaded; start nothing."""
    if not (settings.data_dir / "facts.duckdb").is_file():
        raise SettingsError(f"no server answers, and {settings.data_dir} holds no data: set --data-dir or --url")
    from watchkeeper.app.rooms import Rooms, open_stores  # noqa: PLC0415

    stores = open_stores(settings)
    try:
        rooms = Rooms(settings, stores)
        rooms.loader.load_pending()
        yield rooms
    finally:
        stores.inbox.close()
        stores.control.close()
        stores.facts.close()
