"""Reads a request body within limits: bytes on the wire, and bytes after decompression."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import zstandard

from watchkeeper.schemas.errors import NotDecodable, TooLarge

_STEP = 512
"""Compressed zstd bytes taken at once. Four of them can hold a block of 128 KiB, so a step gives at most 16 MiB."""
_ZSTD_WINDOW = 8 * 2**20


class UnknownEncoding(NotDecodable):
    """The content encoding is none that is undone here."""


async def read(stream: AsyncIterator[bytes], limit: int, setting: str = "ingest.max_body_bytes") -> bytes:
    """Read at most ``limit`` bytes (as ``setting`` says); more is refused as soon as it is seen."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body is over {limit} bytes ({setting}): send smaller batches")
        chunks.append(chunk)
    return b"".join(chunks)


def decompressed(body: bytes, encoding: str, limit: int, setting: str = "ingest.max_decoded_bytes") -> bytes:
    """Undo the content encoding; stop at ``limit`` bytes, so that a bomb costs no more than that.

    >>> import gzip
    >>> decompressed(gzip.compress(b"a"), "gzip", 10, "limit")
    b'a'
    """
    if encoding in ("", "identity"):
        return body
    try:
        if encoding in ("gzip", "x-gzip"):  # RFC 9110 has them as the same
            return _gunzip(body, limit, setting)
        if encoding == "zstd":
            return _unzstd(body, limit, setting)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise NotDecodable(f"the body is not valid {encoding}: {error}") from None
    raise UnknownEncoding(f"Content-Encoding {encoding!r} is not known: use gzip, zstd or none")


def _gunzip(body: bytes, limit: int, setting: str) -> bytes:
    """Undo every member: files of several, one after the other, are as valid as one.

    Zeros after one are padding, as tapes and block devices leave it.
    """
    out: list[bytes] = []
    size = 0
    while body or not out:
        inflate = zlib.decompressobj(wbits=31)
        out.append(inflate.decompress(body, limit + 1 - size))
        size += len(out[-1])
        if size > limit:
            raise _bomb(limit, setting)
        if not inflate.eof:
            raise EOFError("it ends in the middle")
        body = inflate.unused_data.lstrip(b"\0")
    return b"".join(out)


def _unzstd(body: bytes, limit: int, setting: str) -> bytes:
    """Undo every frame, in small steps: only so is a truncated body told from a whole one."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = decompressor.decompressobj()
    out = bytearray()
    for start in range(0, len(body), _STEP):
        part = body[start : start + _STEP]
        while part:
            if frame.eof:
                frame = decompressor.decompressobj()
            out += frame.decompress(part)
            part = frame.unused_data if frame.eof else b""
        if len(out) > limit:
            raise _bomb(limit, setting)
    if not frame.eof:
        raise EOFError("it ends in the middle")
    return bytes(out)


def _bomb(limit: int, setting: str) -> TooLarge:
    return TooLarge(f"the body is over {limit} bytes after decompression ({setting})")
