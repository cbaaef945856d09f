"""The keys in memory: how long they hold, and what a quota lets through."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from alerts.samples import START, day, sqlite_control

from watchkeeper.app import keyring
from watchkeeper.app.keyring import OPEN, KeyRing
from watchkeeper.app.quota import Quota
from watchkeeper.schemas.access import Role
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.store.control import keys
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.keys import Grant


@pytest.fixture
def control(tmp_path: Path):
    opened = sqlite_control(tmp_path)
    yield opened
    opened.close()


def made(control: Control, name: str = "x", **more) -> bytes:
    with control.transaction() as tx:
        return keys.create(tx, Grant(name, (Role.VIEWER,), **more), START, "test")[1].encode()


def ring_of(control: Control, at=START, **more) -> KeyRing:
    return KeyRing(control, lambda: at, more.pop("file_key", None), **({"open_without_keys": True} | more))


def test_it_is_open_only_on_loopback_without_any_key(control):
    async def ask() -> None:
        assert await ring_of(control).resolve(None) is OPEN
        assert await ring_of(control, open_without_keys=False).resolve(None) is None
        assert await ring_of(control, file_key="k" * 40).resolve(None) is None
        known = await ring_of(control, file_key="k" * 40).resolve(b"k" * 40)
        assert known is not None
        assert (known.caller.roles, known.caller.service_account) == (frozenset(Role), True)
        made(control)
        with control.transaction() as tx:
            keys.revoke(tx, "x", START, "test")
        assert await ring_of(control).resolve(None) is None

    asyncio.run(ask())


def test_an_expired_key_opens_nothing_without_reading_again(control):
    text = made(control, expires_at=day(1))

    async def ask() -> None:
        assert await ring_of(control, day(0.9)).resolve(text) is not None
        assert await ring_of(control, day(1)).resolve(text) is None

    asyncio.run(ask())


def test_keys_are_not_read_for_each_request_and_hold_while_they_cannot_be_read(control, monkeypatch, caplog):
    text = made(control)
    reads: list[bool] = []
    away = False
    read = KeyRing._read

    def counted(ring: KeyRing):
        reads.append(away)
        if away:
            raise StoreUnavailable("the database is away")
        return read(ring)

    monkeypatch.setattr(KeyRing, "_read", counted)

    async def ask() -> None:
        nonlocal away
        ring = ring_of(control)
        for _ in range(50):
            assert await ring.resolve(text) is not None
        assert reads == [False]
        away = True
        ring._read_at -= keyring.STALE_SECONDS + 1
        assert await ring.resolve(text) is not None
        assert await ring.resolve(b"wk_none_none") is None
        assert reads == [False, True, True]
        away = False
        with control.transaction() as tx:
            keys.revoke(tx, "x", START, "test")
        ring._read_at -= keyring.STALE_SECONDS + 1
        assert await ring.resolve(text) is None

    asyncio.run(ask())
    assert "those known hold" in caplog.text


def test_the_new_secret_of_a_rotation_works_at_once_and_a_wrong_one_costs_one_look(control):
    text = made(control)
    with control.snapshot() as tx:
        [key] = keys.every(tx)

    async def ask() -> None:
        ring = ring_of(control)
        assert await ring.resolve(text) is not None
        with control.transaction() as tx:
            rotated = keys.rotate(tx, key.id, timedelta(days=1), START, "test")[1].encode()
        assert await ring.resolve(rotated) is not None
        assert await ring.resolve(text) is not None
        assert await ring.resolve(f"wk_{key.id}_wrong".encode()) is None

    asyncio.run(ask())


def test_a_young_ring_is_renewed_beside_the_request(control, monkeypatch):
    text = made(control)

    async def ask() -> None:
        ring = ring_of(control)
        with control.transaction() as tx:
            keys.revoke(tx, "x", START, "test")
        ring._read_at -= keyring.RENEW_SECONDS + 1
        assert await ring.resolve(text) is not None  # it does not wait
        assert ring._reading is not None
        await ring._reading
        assert await ring.resolve(text) is None

    asyncio.run(ask())


def test_what_is_left_of_a_minute_survives_reading_again_but_not_other_limits(control):
    text = made(control, requests_per_minute=2)

    async def ask() -> None:
        ring = ring_of(control)
        first = await ring.resolve(text)
        assert first is not None
        first.quota.admit()
        await ring._read_again()
        again = await ring.resolve(text)
        assert again is not None
        assert again.quota is first.quota

    asyncio.run(ask())


def test_a_quota_refills_steadily_and_lets_a_big_body_be_paid_back():
    now = [0.0]
    quota = Quota(60, 600, lambda: now[0])

    async def body(size: int):
        async def receive():
            return {"type": "http.request", "body": b"x" * size}

        return await quota.counted(receive)()

    assert quota.admit() == (0.0, "")
    asyncio.run(body(1200))
    wait, limit = quota.admit()
    assert (wait, limit) == (pytest.approx(60.1), "600 bytes a minute")
    now[0] = 60.1
    assert quota.admit() == (0.0, "")
    for _ in range(59):
        assert quota.admit() == (0.0, "")
    assert quota.admit() == (1.0, "60 requests a minute")
    now[0] += 1
    assert quota.admit() == (0.0, "")
