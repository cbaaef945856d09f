"""The server that tests run is their own, at a port that is given to nobody else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from e2e.running import Server, free_port


@pytest.mark.parametrize("mine", [False, True])
def test_another_server_at_the_same_port_is_not_taken_for_ones_own(tmp_path: Path, mine: bool) -> None:
    """Two searches for a free port may end at the same one: the later server could not start, and nobody noticed."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with Server(tmp_path / "one") as one:
        other = Server(tmp_path / "other")
        other.port, other.url, other.client.base_url = one.port, one.url, one.url
        if mine:
            other.data = one.data
        with pytest.raises(AssertionError, match="the server ended"):
            other.start()
        other.end()
        assert one.status()["loaded"] == 0


def test_a_port_that_is_held_is_given_to_nobody_else_also_while_its_server_is_away(tmp_path: Path) -> None:
    held = Server(tmp_path / "held")
    with pytest.raises(OSError, match="in use"), socket.socket() as greedy:
        greedy.bind(("127.0.0.1", held.port))
    assert held.port not in {free_port() for _ in range(200)}
    held.end()
