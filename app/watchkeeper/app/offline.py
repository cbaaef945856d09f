"""Acts of upkeep from the command line: by the server where one runs, else on its data folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from watchkeeper.app.options import operator
from watchkeeper.app.remote import Remote
from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.app.upkeep import By
from watchkeeper.schemas.errors import SettingsError, Unavailable
from watchkeeper.schemas.settings import Settings


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
        with stopped(settings) as rooms:
            return here(rooms, By(operator()))
    return remote.post(path, body, timeout=None)


@contextmanager
def stopped(settings: Settings) -> Generator[Rooms]:
    """Open the stores of a server that does not run, with what waits in the inbox loaded; start nothing."""
    if not (settings.data_dir / "facts.duckdb").is_file():
        raise SettingsError(f"no server answers, and {settings.data_dir} holds no data: set --data-dir or --url")
    stores = open_stores(settings)
    try:
        rooms = Rooms(settings, stores)
        rooms.loader.load_pending()
        yield rooms
    finally:
        stores.inbox.close()
        stores.control.close()
        stores.facts.close()
