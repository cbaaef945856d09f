"""Bodies are read and undone within limits; what is not whole is refused."""

from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.collector import body
from watchkeeper.collector.body import UnknownEncoding, decompressed
from watchkeeper.schemas.errors import NotDecodable, TooLarge

LIMIT = 2**20
COMPRESS = {"gzip": gzip.compress, "zstd": lambda data: zstandard.ZstdCompressor().compress(data)}
BOTH = pytest.mark.parametrize("encoding", ["gzip", "zstd"])
NOISE = random.Random(7).randbytes(300_000)
TEXT = b'{"id": "a", "service": "shop"}\n' * 5_000


@BOTH
@pytest.mark.parametrize("data", [b"", b"a", TEXT, NOISE, bytes(LIMIT)])
def test_what_was_compressed_comes_back(encoding: str, data: bytes) -> None:
    assert decompressed(COMPRESS[encoding](data), encoding, LIMIT) == data


def test_the_old_name_of_gzip_is_gzip() -> None:
    assert decompressed(COMPRESS["gzip"](TEXT), "x-gzip", LIMIT) == TEXT


def test_without_encoding_it_is_as_it_came() -> None:
    assert decompressed(b"abc", "", 1) == decompressed(b"abc", "identity", 1) == b"abc"


@BOTH
def test_several_in_a_row_are_one_body(encoding: str) -> None:
    """As ``cat a.gz b.gz`` makes it: to stop after the first would lose the rest without a word."""
    parts = [TEXT, NOISE, b"", b"end"]
    joined = b"".join(COMPRESS[encoding](part) for part in parts)
    assert decompressed(joined, encoding, LIMIT) == b"".join(parts)


@BOTH
@pytest.mark.parametrize("data", [TEXT, NOISE])
def test_cut_off_anywhere_it_is_refused(encoding: str, data: bytes) -> None:
    whole = COMPRESS[encoding](data)
    for end in {0, 1, 5, 18, len(whole) // 3, len(whole) // 2, len(whole) - 4, len(whole) - 1}:
        with pytest.raises(NotDecodable, match=f"not valid {encoding}"):
            decompressed(whole[:end], encoding, LIMIT)
    with pytest.raises(NotDecodable, match=f"not valid {encoding}"):
        decompressed(whole + whole[: len(whole) // 2], encoding, LIMIT)


@pytest.mark.parametrize("padding", [b"\0", bytes(511), bytes(2**16)])
def test_zeros_after_a_gzip_member_are_padding_as_gzip_itself_takes_them(padding: bytes) -> None:
    first, second = gzip.compress(TEXT), gzip.compress(b"end")
    for data in (first + padding, first + padding + second, first + padding + second + padding):
        assert decompressed(data, "gzip", LIMIT) == gzip.decompress(data)
    with pytest.raises(TooLarge):
        decompressed(first + padding + second, "gzip", len(TEXT) + 2)
    for data in (padding, padding + first, first + padding + b"x", first[:-6] + padding):
        with pytest.raises(NotDecodable, match="not valid gzip"):
            decompressed(data, "gzip", LIMIT)


@BOTH
def test_garbage_is_refused_at_the_start_and_at_the_end(encoding: str) -> None:
    for data in (b"hello", NOISE, TEXT, COMPRESS[encoding](TEXT) + b"hello"):
        with pytest.raises(NotDecodable, match=f"not valid {encoding}"):
            decompressed(data, encoding, LIMIT)


@BOTH
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=5))
def test_damaged_bytes_raise_nothing_but_our_errors(encoding: str, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(COMPRESS[encoding](TEXT))
    for place, mask in flips:
        damaged[place % len(damaged)] ^= mask
    with suppress(NotDecodable, TooLarge):
        decompressed(bytes(damaged), encoding, LIMIT)


@BOTH
def test_exactly_the_limit_passes_and_one_byte_more_does_not(encoding: str) -> None:
    compressed = COMPRESS[encoding](bytes(LIMIT))
    assert len(decompressed(compressed, encoding, LIMIT)) == LIMIT
    with pytest.raises(TooLarge, match=r"over 1048575 bytes after decompression \(ingest\.max_decoded_bytes\)"):
        decompressed(compressed, encoding, LIMIT - 1)
    with pytest.raises(TooLarge):
        decompressed(COMPRESS[encoding](NOISE) * 4, encoding, LIMIT)


def bombs() -> dict[str, bytes]:
    """A gigabyte each, in a few kilobytes to a megabyte."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    # After a full flush nothing refers to what stood before: the second part may stand there any number of times.
    first, again = (squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return {"gzip": first + again * 1023, "zstd": zstandard.ZstdCompressor(level=1).compress(bytes(2**26)) * 16}


@pytest.mark.parametrize(("encoding", "bomb"), bombs().items())
def test_a_bomb_stops_at_the_limit_with_bounded_memory(encoding: str, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decompressed(bomb, encoding, 4 * LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * LIMIT


def test_a_zstd_window_beyond_8_mib_is_refused() -> None:
    """A sender's window is our memory."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    whole = zstandard.ZstdCompressor(compression_params=parameters).compressobj().compress(NOISE)
    with pytest.raises(NotDecodable, match="memory"):
        decompressed(whole + b"\0" * 100, "zstd", LIMIT)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x-zstd", "zstd;q=1", "ünknown"])
def test_another_encoding_is_not_guessed(encoding: str) -> None:
    with pytest.raises(UnknownEncoding, match="is not known: use gzip, zstd or none"):
        decompressed(b"", encoding, LIMIT)


def test_the_body_on_the_wire_is_bounded_as_it_comes() -> None:
    taken = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            taken.append(1)
            yield bytes(1000)

    with pytest.raises(TooLarge, match=r"over 10000 bytes \(ingest\.max_body_bytes\): send smaller batches"):
        asyncio.run(body.read(endless(), 10_000))
    assert len(taken) == 11


def test_a_body_of_exactly_the_limit_is_read() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"ab", b"", b"cde"):
            yield part

    assert asyncio.run(body.read(parts(), 5)) == b"abcde"
