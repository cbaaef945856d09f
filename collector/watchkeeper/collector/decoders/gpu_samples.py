"""GPU samples that a poller took from Prometheus text: one line each, already of our schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from watchkeeper.collector.decoding import Door, Events, PlainJson, Sent, Taken
from watchkeeper.schemas.errors import NotDecodable
from watchkeeper.schemas.events import GpuSample
from watchkeeper.schemas.settings import Ingest

KIND = "gpu_samples"


def build(ingest: Ingest) -> GpuSamples:  # noqa: ARG001 - no setting concerns it
    """Make the decoder."""
    return GpuSamples()


class GpuSamples(PlainJson):
    """Nobody posts these: they have no path."""

    kinds = (KIND,)
    doors: Sequence[Door] = ()

    def __init__(self) -> None:
        self._lines: Callable[[bytes], list[GpuSample]] = msgspec.json.Decoder(GpuSample).decode_lines

    def check(self, sent: Sent) -> Taken:
        """Refuse: a request cannot bring them."""
        raise NotDecodable(f"{sent.kind} are read by the server itself (gpu.targets), not sent")

    def events(self, kind: str, encoding: str, body: bytes) -> Events:  # noqa: ARG002 - there is one of each
        """Read the lines."""
        return Events(gpus=self._lines(body))
