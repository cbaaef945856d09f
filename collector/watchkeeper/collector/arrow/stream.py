"""Reads an Arrow IPC stream that a stranger sent.

polars reads one fast, but a damaged stream makes it end the process. So the messages' lengths are looked at first,
then pyarrow reads and validates the whole, and only what it found sound is handed to polars. pyarrow is imported at
the first such request.
"""

from __future__ import annotations

import importlib
import struct
from typing import Any

import polars as pl

from watchkeeper.schemas.errors import NotDecodable, TooLarge
from watchkeeper.store.arrow_stream import ArrowStream

_CONTINUES = b"\xff\xff\xff\xff"
_DICTIONARY, _BATCH = 2, 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_LENGTH, _COMPRESSION, _DICTIONARY_DATA = 0, 3, 1


def read(body: bytes, max_rows: int) -> pl.DataFrame:
    """Give the rows of a stream.

    Raises:
        NotDecodable: it is no sound stream, or its buffers are compressed.
        TooLarge: it has more rows.

    """
    try:
        _look(body, max_rows)
    except (struct.error, IndexError) as error:
        raise NotDecodable(f"the body is no Arrow IPC stream: {error}") from None
    arrow: Any = importlib.import_module("pyarrow")
    ipc: Any = importlib.import_module("pyarrow.ipc")
    try:
        table = ipc.open_stream(arrow.py_buffer(body)).read_all()
        table.validate(full=True)
        if any(field.metadata for field in table.schema):
            table = table.cast(arrow.schema([field.remove_metadata() for field in table.schema]))
        return pl.DataFrame(ArrowStream(table))
    except (arrow.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise NotDecodable(f"the body is no sound Arrow IPC stream: {str(error)[:300]}") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise NotDecodable(f"the columns of the Arrow stream cannot be used: {str(error)[:300]}") from None


def _look(body: bytes, max_rows: int) -> None:
    """Walk over the messages: no more rows than allowed, none compressed (a small one could fill the memory)."""
    rows = place = 0
    while place < len(body):
        if body[place : place + 4] == _CONTINUES:
            place += 4
        (size,) = struct.unpack_from("<i", body, place)
        place += 4
        if size == 0:
            return
        if size < 0 or place + size > len(body):
            raise IndexError("a message is longer than the body")
        message = _Table.root(body[place : place + size])
        place += size + max(0, message.number(_BODY_LENGTH, "<q"))
        kind = message.number(_HEADER_TYPE, "<B")
        header = message.table(_HEADER)
        if kind == _DICTIONARY and header is not None:
            header = header.table(_DICTIONARY_DATA)
        if kind not in (_DICTIONARY, _BATCH) or header is None:
            continue
        if header.table(_COMPRESSION) is not None:
            raise NotDecodable("the Arrow buffers are compressed: send them plain, with Content-Encoding: zstd or gzip")
        rows += max(0, header.number(_LENGTH, "<q"))
        if rows > max_rows:
            raise TooLarge(f"the body has over {max_rows} rows (ingest.max_rows): send smaller batches")


class _Table:
    """As much of the flatbuffer format as the lengths need."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data = data
        self._place = place
        (back,) = struct.unpack_from("<i", data, place)
        self._names = place - back
        if self._names < 0:
            raise IndexError("a table lies outside of its message")
        (self._size,) = struct.unpack_from("<H", data, self._names)

    @classmethod
    def root(cls, data: bytes) -> _Table:
        (place,) = struct.unpack_from("<I", data, 0)
        return cls(data, place)

    def _field(self, index: int) -> int | None:
        slot = 4 + 2 * index
        if slot + 2 > self._size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._names + slot)
        return self._place + offset if offset else None

    def number(self, index: int, form: str) -> int:
        """Give a number; zero where it is left out."""
        place = self._field(index)
        return 0 if place is None else int(struct.unpack_from(form, self._data, place)[0])

    def table(self, index: int) -> _Table | None:
        """Give a table within this one, where there is one."""
        place = self._field(index)
        if place is None:
            return None
        (offset,) = struct.unpack_from("<I", self._data, place)
        return _Table(self._data, place + offset)
