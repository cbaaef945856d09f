"""What polars and DuckDB hand each other: an Arrow stream and nothing else, so that neither looks closer.

For a polars frame DuckDB would import pandas; polars, which keeps the type of each source that it reads, would keep
DuckDB's modules past the end of the interpreter, which then complains. So this module imports neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Streaming(Protocol):
    """Anything that gives its rows through the Arrow C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give the stream as a capsule."""
        ...


@dataclass(frozen=True, slots=True)
class ArrowStream:
    """The rows of a frame or of a query, and nothing else of it."""

    source: Streaming

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give the stream as a capsule."""
        return self.source.__arrow_c_stream__(requested_schema)
