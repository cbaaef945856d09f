"""Reads a request body within limits: bytes on the wire, and bytes after decompression."""

from __future__ import annotations

import io
import zlib
from collections.abc import AsyncIterator

import zstandard

from watchkeeper.schemas.errors import NotDecodable, TooLarge

_CHUNK = 2**18
_ZSTD_WINDOW = 8 * 2**20


async def read(stream: AsyncIterator[bytes], limit: int) -> bytes:
    """Read at most ``limit`` bytes; more is refused as soon as it is seen."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body is over {limit} bytes (ingest.max_body_bytes): send smaller batches")
        chunks.append(chunk)
    return b"".join(chunks)


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding; stop at ``limit`` bytes, so that a bomb costs no more than that.

    >>> import gzip
    >>> decompressed(gzip.compress(b"a"), "gzip", 10)
    b'a'
    """
    if encoding in ("", "identity"):
        return body
    try:
        if encoding == "gzip":
            return _gunzip(body, limit)
        if encoding == "zstd":
            return _unzstd(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise NotDecodable(f"the body is not valid {encoding}: {error}") from None
    raise NotDecodable(f"Content-Encoding {encoding!r} is not known: use gzip, zstd or none")


def _gunzip(body: bytes, limit: int) -> bytes:
    inflate = zlib.decompressobj(wbits=31)
    data = inflate.decompress(body, limit + 1)
    if len(data) > limit:
        raise _bomb(limit)
    if not inflate.eof:
        raise EOFError("it ends in the middle")
    return data


def _unzstd(body: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    out = bytearray()
    with decompressor.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        while chunk := reader.read(_CHUNK):
            out += chunk
            if len(out) > limit:
                raise _bomb(limit)
    return bytes(out)


def _bomb(limit: int) -> TooLarge:
    return TooLarge(f"the body is over {limit} bytes after decompression (ingest.max_decoded_bytes)")
