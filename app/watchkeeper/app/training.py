"""A file of training data as a reference: counted where the file lies, so that only edges and counts travel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from watchkeeper.app import importing, log_files
from watchkeeper.app.reference_routes import asked_of, epoch_of
from watchkeeper.app.remote import Remote
from watchkeeper.schemas.errors import InputError
from watchkeeper.schemas.events import Prediction
from watchkeeper.store.facts.features import PREDICTION, SCORE
from watchkeeper.store.facts.kept_references import binned

_OF_EVENTS = frozenset(Prediction.__struct_encode_fields__) | {"outcome", "known_at", "ok"}
_PLAIN = (pl.String, pl.Boolean, pl.Categorical, pl.Enum)


@dataclass(frozen=True, slots=True)
class Named:
    """Whose reference it is, and what it is called."""

    service: str
    model: str
    name: str


def from_file(remote: Remote, file: Path, named: Named) -> dict[str, Any]:
    """Keep a file's rows as a reference; give what is kept, and the columns that are no features.

    Columns are those of ``watchkeeper import``: ``prediction`` and ``score`` by name, every unknown one a feature.
    """
    frame = log_files.whole(file)
    features = [name for name, dtype in frame.schema.items() if _is_feature(name, dtype)]
    if not features or frame.is_empty():
        raise InputError(f"{file} holds no rows with features, a score or a prediction")
    pair = {"service": named.service, "model": named.model}
    epochs = [epoch_of(one) for one in remote.get("/v1/references/edges", pair)["features"]]
    counted, left_out = binned(frame.select(features), epochs)
    body = pair | {"name": named.name, "file": file.name, "features": [asked_of(one) for one in counted]}
    kept = remote.post("/v1/references", body)
    return kept | {"features": len(counted), "left_out": left_out + [n for n in frame.columns if n not in features]}


def _is_feature(name: str, dtype: pl.DataType) -> bool:
    if name in (SCORE, PREDICTION):
        return True
    return name not in _OF_EVENTS | importing.TOKENS.keys() and (dtype.is_numeric() or isinstance(dtype, _PLAIN))
