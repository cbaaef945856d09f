"""A receiver that takes a message and then says nothing, or hardly ever comes to an end with what it says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest
from alerts.declaring import declare, stored, tell
from alerts.samples import day, finding, webhook
from alerts.sink import Answer, Sink

from watchkeeper.alerts.delivery import posting
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.delivery.sender_loop import SenderLoop
from watchkeeper.store.control.connection import Control
from watchkeeper.store.control.records import Sending

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"


@dataclass
class Trickle:
    """Takes requests; answers with ``at_once`` and then one more byte every now and then, for ever."""

    at_once: bytes = b""
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def serve(self, listening: socket.socket) -> None:
        while not self.stopping.is_set():
            with suppress(OSError), listening.accept()[0] as connection:
                request = connection.recv(1 << 20)
                while b"\r\n\r\n" not in request:
                    request += connection.recv(1 << 20)
                self.requests.append(request)
                connection.sendall(self.at_once)
                while not self.stopping.wait(0.05):
                    connection.sendall(b"x")

    @property
    def keys(self) -> set[bytes]:
        return {line for one in self.requests for line in one.splitlines() if line.startswith(b"Idempotency-Key")}


@contextmanager
def trickling(at_once: bytes) -> Iterator[Trickle]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        state = Trickle(at_once, f"http://127.0.0.1:{listening.getsockname()[1]}/hook")
        thread = threading.Thread(target=state.serve, args=(listening,))
        thread.start()
        yield state
        state.stopping.set()
        thread.join()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sender(control: Control) -> Sender:
    return Sender(control, "one", jitter=lambda: 0.5)


def test_a_receiver_that_never_answers_gets_the_same_key_ever_later(
    control: Control, hook: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", httpx.Timeout(0.1))
    tell(control, declare(control, webhook(hook.url)), finding())
    answer = threading.Event()
    hook.answers = [Answer(200, when=answer) for _ in range(5)]
    now, waits = day(0), []
    for _ in range(5):
        assert sender(control).run_once(now) == 1
        (message,) = stored(control)
        assert message.unsure, "it may have arrived"
        assert message.next_attempt_at is not None
        waits.append((message.next_attempt_at - now).total_seconds())
        now = message.next_attempt_at
    answer.set()
    assert sender(control).run_once(now) == 1
    (message,) = stored(control)
    assert hook.keys == [message.key] * 6
    assert waits == [2.5, 5, 10, 20, 40]
    assert message.state is Sending.DELIVERED
    assert "ReadTimeout" in message.deliveries[0].detail


def test_an_answer_that_trickles_in_for_ever_is_cut_off(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, so no wait for a byte ever ends it."""
    monkeypatch.setattr(posting, "WHOLE_SECONDS", 0.5)
    with trickling(HEAD + b"x-more: ") as slow:
        tell(control, declare(control, webhook(slow.url)), finding())
        assert sender(control).run_once(day(0)) == 1
        assert sender(control).run_once(day(1)) == 1
        assert len(slow.requests) == 2
        assert len(slow.keys) == 1
    (message,) = stored(control)
    assert (message.state, message.unsure) == (Sending.WAITING, True)
    assert message.deliveries[0].detail == "127.0.0.1: no answer within 0.5 s"


def test_a_yes_that_never_comes_to_an_end_is_a_yes(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "WHOLE_SECONDS", 0.5)
    with trickling(HEAD + b"content-length: 100000\r\n\r\n") as slow:
        tell(control, declare(control, webhook(slow.url)), finding())
        assert sender(control).run_once(day(0)) == 1
        assert len(slow.requests) == 1
    assert stored(control)[0].state is Sending.DELIVERED


def test_it_holds_up_nobody_else(control: Control, hook: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Message after message reaches the other receiver while the first one still waits for its answer."""
    monkeypatch.setattr(posting, "TIMEOUT", httpx.Timeout(60))
    monkeypatch.setattr(posting, "WHOLE_SECONDS", 60)
    answer = threading.Event()
    hook.answers = [Answer(200, when=answer)]
    silent = declare(control, webhook(hook.url, "silent", service="silent"))
    tell(control, silent, finding(service="silent"))
    loop = SenderLoop(sender(control), lambda: day(0), interval=0.01)
    loop.start()
    until(lambda: hook.received)
    routes = declare(control, webhook(hook.url, "other", service="other"))
    for number in range(3):
        tell(control, routes, finding(str(number), service="other"))
        loop.wake()
    until(lambda: [message.state for message in stored(control)].count(Sending.DELIVERED) == 3)
    assert {message.state for message in stored(control) if message.receiver == "silent"} == {Sending.WAITING}
    answer.set()
    loop.stop()
    assert {message.state for message in stored(control)} == {Sending.DELIVERED}
    assert len(set(hook.keys)) == len(hook.keys) == 4
