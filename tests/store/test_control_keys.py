"""API keys as control data keeps them, on both engines."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from alerts.samples import START, day

from watchkeeper.schemas.access import Role
from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.store.control import audit, keys
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.keys import ApiKey, Grant, digest_of

GRANT = Grant("checkout", (Role.INGEST, Role.VIEWER), ("shop", "zoë"), True, 60, 10**10, day(30))


def make(control: Control, grant: Grant = GRANT) -> tuple[ApiKey, str]:
    with control.transaction() as tx:
        return keys.create(tx, grant, START, "ada")


def opens(key: ApiKey, text: str, at: datetime) -> bool:
    return key.opens(digest_of(text), at)


def test_a_key_comes_back_without_its_secret(either_control: Control) -> None:
    made, text = make(either_control)
    with either_control.snapshot() as tx:
        (found,) = keys.every(tx)
        assert keys.get(tx, made.id) == found == made
    assert (found.name, found.roles, found.services) == ("checkout", GRANT.roles, GRANT.services)
    assert (found.requests_per_minute, found.bytes_per_minute, found.expires_at) == (60, 10**10, day(30))
    assert (found.created_at, found.created_by, found.service_account) == (START, "ada", True)
    assert keys.id_of(text) == found.id
    assert text not in repr(found)
    assert text.split("_", 2)[2] not in repr(found)
    assert len(text.split("_", 2)[2]) >= 43


def test_it_opens_for_its_text_alone_until_it_expires(either_control: Control) -> None:
    made, text = make(either_control)
    assert opens(made, text, START)
    assert not opens(made, text[:-1], START)
    assert not opens(made, "", START)
    assert opens(made, text, day(30) - timedelta(microseconds=1))
    assert not opens(made, text, day(30))
    assert (made.state(START), made.state(day(30))) == ("active", "expired")


def test_after_a_rotation_the_old_secret_holds_for_its_grace(either_control: Control) -> None:
    made, old = make(either_control)
    with either_control.transaction() as tx:
        turned, new = keys.rotate(tx, "checkout", timedelta(hours=1), day(1), "bob")
    assert (turned.id, turned.rotated_at) == (made.id, day(1))
    assert opens(turned, new, day(1))
    assert opens(turned, old, day(1) + timedelta(minutes=59))
    assert not opens(turned, old, day(1) + timedelta(hours=1))
    with either_control.transaction() as tx:
        again, newest = keys.rotate(tx, made.id, timedelta(hours=1), day(1), "bob")
    assert [opens(again, text, day(1)) for text in (old, new, newest)] == [False, True, True]


def test_a_revoked_key_opens_for_nothing_and_its_name_is_free_again(either_control: Control) -> None:
    made, text = make(either_control)
    with pytest.raises(InputError, match="active key named 'checkout'"):
        make(either_control)
    with either_control.transaction() as tx:
        _, newer = keys.rotate(tx, made.id, timedelta(days=9), START, "ada")
        revoked = keys.revoke(tx, made.id, day(1), "ada")
    assert (revoked.revoked_at, revoked.state(day(1))) == (day(1), "revoked")
    assert [opens(revoked, one, day(1)) for one in (text, newer)] == [False, False]
    with either_control.transaction() as tx, pytest.raises(NotFound, match="it is revoked"):
        keys.rotate(tx, "checkout", timedelta(0), day(1), "ada")
    again, _ = make(either_control)
    with either_control.transaction() as tx:
        assert keys.revoke(tx, "checkout", day(2), "ada").id == again.id


def test_every_act_is_audited_without_a_secret(either_control: Control) -> None:
    made, text = make(either_control)
    with either_control.transaction() as tx:
        _, newer = keys.rotate(tx, made.id, timedelta(hours=1), day(1), "bob")
        keys.revoke(tx, made.id, day(2), "eve")
    with either_control.snapshot() as tx:
        told = audit.entries(tx)
        assert audit.verify(tx).entries == 3
    assert [(one.actor, one.action, one.subject) for one in told] == [
        ("eve", "key.revoked", made.id),
        ("bob", "key.rotated", made.id),
        ("ada", "key.created", made.id),
    ]
    assert told[2].detail["services"] == ["shop", "zoë"]
    for secret in (text, newer):
        assert secret.split("_", 2)[2] not in repr(told)
        assert digest_of(secret) not in repr(told)


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        (Grant("x", ()), "at least one role"),
        (Grant("x", (Role.ADMIN,), ("shop",)), "an admin key is for all services"),
    ],
)
def test_a_grant_that_makes_no_sense(either_control: Control, grant: Grant, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(either_control, grant)


def test_a_name_that_is_not_there(either_control: Control) -> None:
    with either_control.transaction() as tx, pytest.raises(NotFound, match="keys list"):
        keys.revoke(tx, "nobody", START, "ada")


def test_last_used(either_control: Control) -> None:
    made, _ = make(either_control)
    with either_control.transaction() as tx:
        keys.touch(tx, {made.id: day(3), "gone": day(3)})
    with either_control.snapshot() as tx:
        assert [key.last_used_at for key in keys.every(tx)] == [day(3)]
