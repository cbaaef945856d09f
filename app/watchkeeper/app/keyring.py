"""Which key belongs to whom: the keys of the control data, kept in memory for some seconds.

A request never waits for the control data while keys are younger than ``STALE_SECONDS``; after ``RENEW_SECONDS`` they
are read again beside it. So a revocation holds at the latest after ``STALE_SECONDS``. An unknown key is looked up at
once, so that a new one works at once. While the control data cannot be read, the keys that were read last hold.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from watchkeeper.app.access import is_loopback, read_or_make
from watchkeeper.app.quota import Quota
from watchkeeper.schemas.access import ANYONE, IMPLIED, Caller, Role
from watchkeeper.schemas.errors import SettingsError, StoreUnavailable
from watchkeeper.schemas.settings import Settings
from watchkeeper.store.clock import Clock, wall
from watchkeeper.store.control import keys
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.keys import ApiKey, digest_of, id_of

log = logging.getLogger("watchkeeper.server")
RENEW_SECONDS = 2.0
STALE_SECONDS = 5.0
LOOKUP_SECONDS = 0.25
"""Least time between two looks for unknown keys: who guesses keys cannot keep the control data busy."""
LAST_USED = timedelta(minutes=10)
"""How coarse the time of last use is."""


@dataclass(frozen=True, slots=True)
class Known:
    """Who a key belongs to, and what may be left of its minute."""

    caller: Caller
    quota: Quota


UNLIMITED = Quota(None, None)
OPEN = Known(ANYONE, UNLIMITED)


class KeyRing:
    """Says whose key it is. Used by one event loop."""

    def __init__(self, control: Control, clock: Clock, file_key: str | None, *, open_without_keys: bool) -> None:
        self._control = control
        self._clock = clock
        self._file_digest = digest_of(file_key) if file_key is not None else None
        self._file_known = Known(Caller("file", "key-file", IMPLIED[Role.ADMIN], service_account=True), UNLIMITED)
        self._may_be_open = open_without_keys and file_key is None
        self._by_id: dict[str, ApiKey] = {}
        self._known: dict[str, Known] = {}
        self._touched: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._read_at = 0.0
        self._take(self._read())

    async def resolve(self, text: bytes | None) -> Known | None:
        """Give whose key this is; None for no key, or one that opens nothing."""
        await self._renew()
        if self._may_be_open and not self._by_id:
            return OPEN
        if text is None:
            return None
        digest = digest_of(text)
        if self._file_digest is not None and hmac.compare_digest(digest, self._file_digest):
            return self._file_known
        key_id = id_of(text.decode("latin-1"))
        if key_id is None:
            return None
        key = self._by_id.get(key_id)
        if key is None or key.may_have_changed(digest, self._clock()):
            await self._look_again()
            key = self._by_id.get(key_id)
        if key is None or not key.opens(digest, self._clock()):
            return None
        self._note_use(key)
        return self._known[key_id]

    async def _renew(self) -> None:
        """Have keys that are young enough; wait for them only where they are too old."""
        age = time.monotonic() - self._read_at
        if age > RENEW_SECONDS:
            reading = self._begin()
            if age > STALE_SECONDS:
                await asyncio.shield(reading)

    async def _look_again(self) -> None:
        """Read what is there now: a read that began before this moment may have missed a new key."""
        if self._reading is not None:
            await asyncio.shield(self._reading)
        await asyncio.sleep(max(0.0, self._read_at + LOOKUP_SECONDS - time.monotonic()))
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None:
            self._reading = self._start(self._read_again())
        return self._reading

    async def _read_again(self) -> None:
        try:
            self._take(await asyncio.to_thread(self._read))
        except StoreUnavailable as error:
            log.warning("the API keys cannot be read again, those known hold: %s", error)
            self._read_at = time.monotonic()
        finally:
            self._reading = None

    def _read(self) -> list[ApiKey]:
        with self._control.snapshot() as tx:
            return keys.every(tx)

    def _take(self, found: list[ApiKey]) -> None:
        self._by_id = {key.id: key for key in found}
        self._known = {key.id: Known(_caller(key), self._quota(key)) for key in found}
        self._read_at = time.monotonic()

    def _quota(self, key: ApiKey) -> Quota:
        """Keep what is left of a minute when the key is read again."""
        limits = (key.requests_per_minute, key.bytes_per_minute)
        known = self._known.get(key.id)
        return known.quota if known is not None and known.quota.limits == limits else Quota(*limits)

    def _note_use(self, key: ApiKey) -> None:
        now = time.monotonic()
        if now - self._touched.get(key.id, -1e9) < LAST_USED.total_seconds():
            return
        self._touched[key.id] = now
        if key.last_used_at is None or self._clock() - key.last_used_at >= LAST_USED:
            self._start(asyncio.to_thread(self._write_use, key.id))

    def _write_use(self, key_id: str) -> None:
        try:
            with self._control.transaction() as tx:
                keys.touch(tx, {key_id: self._clock()})
        except StoreUnavailable as error:
            log.warning("when the key %s was used last cannot be noted: %s", key_id, error)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def file_key(settings: Settings) -> str | None:
    """Give the key of ``auth.api_key_file``, made where it is missing; None where no file is named.

    Raises:
        SettingsError: the server would be reached from elsewhere, and there is no key to ask for.

    """
    if settings.auth.api_key_file:
        return read_or_make(Path(settings.auth.api_key_file))
    if not is_loopback(settings.server.host) and not _any_key(settings):
        raise SettingsError(
            f"will not listen on {settings.server.host} without an API key: make one with `watchkeeper keys create`; "
            "or set auth.api_key_file (WATCHKEEPER_AUTH_API_KEY_FILE) to a path, a key is made there; "
            "or listen on 127.0.0.1"
        )
    return None


def _any_key(settings: Settings) -> bool:
    if not settings.control.url and not (settings.data_dir / "control.db").exists():
        return False
    control = open_control(settings.control_url)
    try:
        with control.snapshot() as tx:
            return any(key.state(wall()) == "active" for key in keys.every(tx))
    finally:
        control.close()


def _caller(key: ApiKey) -> Caller:
    roles = frozenset[Role]().union(*(IMPLIED[role] for role in key.roles))
    services = None if key.services is None else frozenset(key.services)
    return Caller(key.id, key.name, roles, services, service_account=key.service_account)
