"""Rows of a key that is for some services: what a decoder finds only in the loader is filtered there."""

from __future__ import annotations

from watchkeeper.collector.decoding import Events, Rejected
from watchkeeper.collector.ownership import foreign, own_only
from watchkeeper.schemas.events import Change, GpuSample, Outcome, Prediction, Review

SHOP = frozenset({"shop"})


def test_only_rows_of_these_services_are_left_and_the_others_say_why():
    earlier = Rejected(4, "x", "was wrong already", b"{}")
    events = Events(
        predictions=[
            Prediction("a", "bank"),
            Prediction("b", "shop"),
            Prediction("c", "bank"),
            Prediction("d", "shop"),
        ],
        unknown={0: {"z": 1}, 3: {"y": 2}},
        outcomes=[Outcome("a", True), Outcome("b", True, service="shop")],
        reviews=[Review("b", "approved", service="shop")],
        changes=[Change("deploy", "v2", "bank")],
        gpus=[GpuSample(1.0, "GPU-1")],
        rejected=[earlier],
    )
    own = own_only(events, SHOP, 5)
    assert [one.id for one in own.predictions] == ["b", "d"]
    assert own.unknown == {1: {"y": 2}}
    assert ([one.prediction_id for one in own.outcomes], len(own.reviews)) == (["b"], 1)
    assert (own.changes, own.gpus) == ([], [])
    assert [one.index for one in own.rejected] == [4, 5, 6, 7, 8, 9]
    assert own.rejected[1].raw == b'{"id":"a","service":"bank","features":null,"extra":null}'
    assert {one.field for one in own.rejected[1:]} == {"service"}


def test_a_key_for_all_services_may_send_anything():
    assert foreign(Prediction("a", "bank"), None) is None
    assert foreign(Prediction("a", "shop"), SHOP) is None
    assert foreign(Prediction("a", "bank" * 200), SHOP)[1].startswith("'bankbank")
    assert len(foreign(Prediction("a", "b" * 5000), SHOP)[1]) == 300
