"""What the ledger says of each group and of each expectation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.app.rooms import Rooms, open_stores
from watchkeeper.app.telemetry import report
from watchkeeper.collector.inbox import Incoming
from watchkeeper.collector.ledger import ClientBook, Group
from watchkeeper.schemas.declared import Declarations, System, parse
from watchkeeper.schemas.errors import SettingsError
from watchkeeper.schemas.findings import Window
from watchkeeper.schemas.settings import load
from watchkeeper.store.clock import stored, wall

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = System(name="s", services=["shop", "bank"], owner="o", sites=["ams"], expect_every="1h")


def us(ago: timedelta) -> int:
    return int((NOW - ago).timestamp() * 1e6)


def group(ago: timedelta = timedelta(minutes=1), **more: object) -> Group:
    ones = dict.fromkeys(("clients", "online", "logged", "accepted", "rejected", "first_us"), 1)
    none = dict.fromkeys(("dropped", "missing", "pending", "overdue", "lost_us"), 0)
    return replace(Group("shop", "ams", "1", **ones, **none, seen_us=us(ago)), **more)


def nothing_came(service: str, site: str | None, window: Window) -> datetime | None:
    return None


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (group(), "ok"),
        (group(pending=50), "ok"),
        (group(missing=1), "partial"),
        (group(overdue=1), "partial"),
        (group(dropped=9, lost_us=us(timedelta(hours=23))), "partial"),
        (group(dropped=9, lost_us=us(timedelta(hours=25))), "ok"),
        (group(timedelta(minutes=11)), "offline"),
        (group(timedelta(minutes=11), missing=1), "offline"),
    ],
)
def test_the_state_of_a_group_that_nobody_declared(one: Group, state: str) -> None:
    (shown,) = report([one], Declarations(), NOW, nothing_came).groups
    assert shown.state == state


def test_who_is_declared_may_be_silent_for_as_long_as_that() -> None:
    told = report([group(timedelta(minutes=59))], Declarations(systems=(SHOP,)), NOW, nothing_came)
    assert [one.state for one in told.groups] == ["ok"]
    assert [(one.service, one.site, one.state) for one in told.expected] == [
        ("shop", "ams", "ok"),
        ("bank", "ams", "never"),
    ]
    told = report([group(timedelta(minutes=61))], Declarations(systems=(SHOP,)), NOW, nothing_came)
    shop = told.expected[0]
    assert (shop.state, shop.offline_since) == ("offline", NOW - timedelta(minutes=61))
    assert shop.last_seen == shop.offline_since
    assert shop.expect_every_seconds == 3600


def test_a_new_version_of_a_site_makes_up_for_the_old_one() -> None:
    groups = [group(timedelta(days=2)), group(version="2")]
    told = report(groups, Declarations(systems=(SHOP,)), NOW, nothing_came)
    assert [one.state for one in told.groups] == ["offline", "ok"]
    assert told.expected[0].state == "ok"


def test_events_of_a_sender_without_a_book_are_signs_of_life() -> None:
    asked: list[tuple[str, str | None, Window]] = []

    def came(service: str, site: str | None, window: Window) -> datetime | None:
        asked.append((service, site, window))
        return NOW - timedelta(minutes=3) if service == "bank" else None

    told = report([group()], Declarations(systems=(SHOP,)), NOW, came)
    assert [one.state for one in told.expected] == ["ok", "ok"]
    assert asked == [("bank", "ams", Window(NOW - timedelta(hours=1), NOW))]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"sites": ["a"]}, "say how often at least"),
        ({"expectEvery": "soon"}, "expectEvery 'soon' is not like"),
        ({"expectEvery": "0s"}, "not longer than nothing"),
    ],
)
def test_an_expectation_that_cannot_be_used_is_refused(spec: dict[str, object], said: str) -> None:
    document = {
        "apiVersion": "watchkeeper/v1",
        "kind": "System",
        "metadata": {"name": "x"},
        "spec": {"services": ["a"], "owner": "o"} | spec,
    }
    with pytest.raises(SettingsError, match=said):
        parse(document, "x.yaml")


@pytest.mark.parametrize(("clock", "looks"), [("wall", 1), ("events", 0)])
def test_the_server_copies_its_ledger_to_where_analyzers_see_it(tmp_path: Path, clock: str, looks: int) -> None:
    """A replay of the past has no ledger of its time: nobody's silence is judged there."""
    settings, _ = load(None, {"WATCHKEEPER_SERVER_DATA_DIR": str(tmp_path), "WATCHKEEPER_SERVER_CLOCK": clock})
    stores = open_stores(settings)
    rooms = Rooms(settings, stores)
    told = ClientBook("c", 10, 2, 1, "shop", "ams", "1", "disk")
    now_us = round(wall().timestamp() * 1e6)
    stores.inbox.append(Incoming("predictions", "ndjson", now_us, b"{}", 1, (), b"{}", client=told)).result(30)
    with stores.facts.transaction() as connection:  # one service that keeps a book, and one that does not
        connection.execute(
            "INSERT INTO prediction_rows (id, service, received_at) VALUES ('a', 'shop', $now), ('b', 'bare', $now)",
            {"now": stored(wall())},
        )
    for _ in range(3):
        rooms._note_telemetry()
    later = wall() + timedelta(minutes=1)
    rows = rooms.reader.telemetry(later).to_dicts()
    shown = [(row["service"], row["site"], row["accepted"], row["dropped"]) for row in rows]
    assert shown == [("bare", "", None, None), ("shop", "ams", 1, 2)][: 2 * looks]
    assert (rooms.reader.newest_look(Window(later - timedelta(hours=1), later)) is not None) == bool(looks)
    stores.inbox.close()
    stores.control.close()
    stores.facts.close()
