"""What is an attempt of a request, and what is another request."""

from __future__ import annotations

from watchkeeper.store.facts.attempts import Sibling, Standing, standings


def row(start: float, *, failed: bool = False, seconds: float = 1.0, model: str = "big") -> Sibling:
    start_us = int(start * 1e6)
    status, error = ("error", "rate_limited") if failed else ("ok", None)
    return Sibling(f"at {start}", start_us, start_us + int(seconds * 1e6), status, model, error)


def told(*rows: Sibling) -> list[Standing]:
    found = standings(rows)
    assert found == standings(rows[::-1]), "the order in which they came does not matter"
    return [found[one.id] for one in rows]


ATTEMPT, REQUEST = Standing(attempt=True), Standing()


def test_a_retry_is_one_request_of_two_attempts() -> None:
    assert told(row(0, failed=True), row(2, failed=True), row(4)) == [ATTEMPT, ATTEMPT, Standing(attempts=3)]


def test_a_fallback_names_the_model_that_failed() -> None:
    fell = Standing(attempts=2, fallback_from="big", fallback_reason="rate_limited")
    assert told(row(0, failed=True), row(2, model="small")) == [ATTEMPT, fell]


def test_what_is_no_retry_stays_two_requests() -> None:
    two = [REQUEST, REQUEST]
    assert told(row(0), row(2)) == two, "the first did not fail"
    assert told(row(0, failed=True), row(0.5)) == two, "they ran side by side"
    assert told(row(0, failed=True), row(2, failed=True)) == two, "nothing came of it"
    assert told(row(0, failed=True), row(1000)) == two, "long after"


def test_a_success_between_is_a_request_of_its_own() -> None:
    assert told(row(0, failed=True), row(2), row(4)) == [ATTEMPT, Standing(attempts=2), REQUEST]


def test_the_next_attempt_may_begin_in_the_microsecond_in_which_the_last_ended() -> None:
    assert told(row(0, failed=True), row(1)) == [ATTEMPT, Standing(attempts=2)]
    early = Sibling("early", 999_999, 1_500_000, "ok", "big")
    assert standings([row(0, failed=True), early])["early"].attempts == 2, "a time that was rounded"


def test_attempts_are_bounded() -> None:
    many = [row(2 * n, failed=True) for n in range(1200)]
    assert told(*many, row(2400))[-1].attempts == 1000
