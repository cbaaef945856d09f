"""Sampling decides by a hash, alike everywhere; handles carry what another process must know."""

from __future__ import annotations

import datetime as dt

import pytest

from watchkeeper_sdk._sample import Sampling


def test_a_share_is_sent_with_its_weight_and_the_rest_is_told(sink, connect, conserved):
    client = connect(sample_rate=0.25)
    ids = [client.log_prediction(id=f"id-{n}") for n in range(400)]
    assert client.flush(5)
    rows = sink.rows()
    assert {row["sample_weight"] for row in rows} == {4.0}
    assert [row["id"] for row in rows] == [name for name in ids if Sampling(0.25).keeps(name)]
    assert 60 < len(rows) < 140
    stats = conserved(client.stats())
    assert (stats.logged, stats.sampled_out) == (len(rows), 400 - len(rows))


def test_outcomes_and_reviews_go_the_way_of_their_prediction(sink, connect):
    here, elsewhere = connect(sample_rate=0.5), connect(sample_rate=0.5)
    ids = [here.log_prediction(id=f"id-{n}") for n in range(100)]
    for name in ids[:50]:
        here.log_outcome(name, 1)
        here.log_review(name, "approved")
    for name in ids[50:]:
        elsewhere.log_outcome(name, 1)
        elsewhere.log_review(name, "approved")
    assert here.flush(5)
    assert elsewhere.flush(5)
    kept = {row["id"] for row in sink.rows()}
    assert 30 < len(kept) < 70
    assert {row["prediction_id"] for row in sink.rows("outcomes")} == kept
    assert {row["prediction_id"] for row in sink.rows("reviews")} == kept


def test_a_key_keeps_all_of_a_customer_together(sink, connect):
    client = connect(sample_rate=0.5)
    for n in range(200):
        name = client.log_prediction(sample_key=f"customer-{n % 10}", segments={"customer": n % 10})
        client.log_outcome(name, 1, sample_key=f"customer-{n % 10}")
    with client.request(sample_key="customer-0", segments={"customer": 0}):
        pass
    assert client.flush(5)
    kept = {n for n in range(10) if Sampling(0.5).keeps(f"customer-{n}")}
    assert 0 < len(kept) < 10
    assert {row["segments"]["customer"] for row in sink.rows()} == kept
    assert len(sink.rows("outcomes")) == 20 * len(kept)
    assert not any("sample_key" in row or "extra" in row for row in sink.rows())


def test_errors_may_always_be_kept(sink, connect):
    client = connect(sample_rate=0.01, keep_errors=True)
    for n in range(50):
        with pytest.raises(KeyError), client.request(model="bad"):
            raise KeyError
        client.log_prediction(id=f"fine-{n}", model="good")
    assert client.flush(5)
    bad = [row for row in sink.rows() if row["model"] == "bad"]
    assert len(bad) == 50
    assert {row["sample_weight"] for row in bad} == {1.0}
    client.log_outcome(bad[0]["id"], 1)
    assert client.flush(5)
    assert [row["prediction_id"] for row in sink.rows("outcomes")] == [bad[0]["id"]]


def test_without_sampling_there_is_no_weight(sink, connect, caplog):
    client = connect(sample_rate=7)
    client.log_prediction(sample_key="ignored")
    assert client.flush(5)
    assert "sample_weight" not in sink.rows()[0]
    assert "extra" not in sink.rows()[0]
    assert "sample_rate 7.0" in caplog.text


@pytest.mark.parametrize("ts", [1767323045.25, "2026-01-02T03:04:05Z", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None])
def test_a_handle_carries_id_and_time_to_another_process(sink, connect, ts):
    here, there = connect(), connect()
    event_id = here.log_prediction(id="a~b", ts=ts)
    handle = here.handle(event_id)
    there.log_outcome(handle, 1)
    there.log_review(handle, "approved")
    there.log_outcome(handle, 1, prediction_ts=5.0)
    assert here.flush(5)
    assert there.flush(5)
    [prediction] = sink.rows()
    first, second = sink.rows("outcomes")
    assert (first["prediction_id"], first["prediction_ts"]) == ("a~b", prediction["ts"])
    assert sink.rows("reviews")[0]["prediction_ts"] == prediction["ts"]
    assert second["prediction_ts"] == 5.0


def test_a_handle_of_what_was_left_out_says_so(sink, connect):
    here, there = connect(sample_rate=0.5), connect()
    ids = [here.log_prediction(id=f"id-{n}") for n in range(40)]
    for name in ids:
        there.log_outcome(here.handle(name), 1)
    assert here.flush(5)
    assert there.flush(5)
    assert [row["prediction_id"] for row in sink.rows("outcomes")] == [row["id"] for row in sink.rows()]
    assert there.stats().sampled_out == 40 - len(sink.rows())
    assert (here.handle("not from here"), here.handle(None)) == ("not from here", "")
