"""The files of a spool: what a line, a plan and a segment mean to who reads them next."""

from __future__ import annotations

import os

import pytest

from watchkeeper_sdk import _adopt, _backlog, _folder, _writer
from watchkeeper_sdk._parcel import packed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs flock")


def test_a_line_without_an_end_is_no_event(tmp_path):
    folder = tmp_path / "7-abc"
    folder.mkdir()
    _folder.segment(folder, 1).write_bytes(b'p1 {"id":"a"}\np2 {"id":"b"}\np3 {"id":')
    backlog = _backlog.left(folder)
    parcel = backlog.next(500)
    assert parcel.lines == {"predictions": [b'{"id":"a"}', b'{"id":"b"}']}
    assert (parcel.key, backlog.told()) == ("abc-1-0-28", (2, 0, 2))
    backlog.answered(parcel, 2, 0, 0)
    backlog.finish(parcel)
    assert backlog.next(500) is None
    assert backlog.told() == (2, 0, 0)
    backlog.close()
    assert not folder.exists()


def test_a_plan_holds_for_who_comes_next(tmp_path):
    folder = tmp_path / "7-abc"
    folder.mkdir()
    _folder.segment(folder, 1).write_bytes(b"".join(b'p%d {"id":"%d"}\n' % (n, n) for n in range(1, 101)))
    first = _backlog.left(folder)
    planned = first.next(10)
    assert _backlog.left(folder) is None  # one at a time
    first.forget()
    second = _backlog.left(folder)
    parcel = second.next(500)
    assert (parcel.key, parcel.waiting, parcel.lines) == (planned.key, 10, planned.lines)
    assert second.told() == (100, 0, 100)
    second.answered(parcel, 10, 0, 0)
    assert second.told() == (100, 0, 90)
    second.finish(parcel)
    assert second.next(500).waiting == 90
    assert second.told() == (100, 0, 90)
    second.close()


def test_dropping_a_segment_under_way_counts_the_rest_of_it(tmp_path):
    folder = tmp_path / "7-abc"
    folder.mkdir()
    lines = [b'p%d {"id":"%d"}\n' % (n, n) for n in range(1, 11)]
    _folder.segment(folder, 1).write_bytes(b"".join([*lines, b"x11 invalid_call\n"]))
    _folder.segment(folder, 12).write_bytes(b'p12 {"id":"12"}\n')
    backlog = _backlog.left(folder)
    parcel = backlog.next(4)
    assert backlog.told() == (12, 1, 11)
    assert _adopt.bound(tmp_path, 100, 0.0, [backlog]) == 10
    assert parcel.void
    backlog.finish(parcel)
    assert backlog.told() == (12, 11, 1)
    assert backlog.progress.dropped == {"invalid_call": 1, "spool_full": 10}
    assert backlog.next(4).lines == {"predictions": [b'{"id":"12"}']}
    backlog.close()


def test_no_line_of_another_kind_is_sent():
    parcel = packed("k", [b"", b"garbage", b'p {"a":1}', b'z9 {"a":1}', b'p2 {"id":"x"}'])
    assert parcel.lines == {"predictions": [b'{"id":"x"}']}


def test_drops_that_stand_in_no_file_are_told_by_who_comes_next(tmp_path):
    folder = tmp_path / "7-abc"
    folder.mkdir()
    _folder.segment(folder, 1).write_bytes(b'p1 {"id":"a"}\np2 {"id":"b"}\n')
    first = _backlog.left(folder)
    first.note(30, 20)  # as the owner does that had neither disk nor room in memory for twenty
    first.next(500)
    first.forget()
    second = _backlog.left(folder)
    assert second.told() == (30, 20, 2)
    second.close()


def test_a_segment_is_known_to_grow_before_it_is_there(tmp_path, monkeypatch):
    seen = []
    writer = _writer.Writer(tmp_path, -1, 10, lambda: None)
    real = os.open
    monkeypatch.setattr(_writer.os, "open", lambda *args: seen.append(writer.growing) or real(*args))
    assert all(writer.append(number, b"p%d {}\n" % number) for number in range(1, 5))
    writer.close()
    assert seen == [1, 3]
    assert writer.growing == 0
    assert _folder.segments(tmp_path) == [1, 3]
