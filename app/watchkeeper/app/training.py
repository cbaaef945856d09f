"""Files of training data as a reference: counted where the file lies, so that only edges and counts travel."""

from __future__ import annotations

from collections.abc import Sequence
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
from watchkeeper.store.facts.kept_references import Binned, binned, merged

_OF_EVENTS = frozenset(Prediction.__struct_encode_fields__) | {"outcome", "known_at", "ok"}
_PLAIN = (pl.String, pl.Boolean, pl.Categorical, pl.Enum)


@dataclass(frozen=True, slots=True)
class Named:
    """Whose reference it is, and what it is called."""

    service: str
    model: str
    name: str


def from_files(remote: Remote, files: Sequence[Path], named: Named) -> dict[str, Any]:
    """Keep the rows of files as one reference; give what is kept, and the columns that are no features.

    Columns are those of ``watchkeeper import``: ``prediction`` and ``score`` by name, every unknown one a feature. One
    file is read at a time; where the model has no edges yet they are those of the first file that has the feature.
    Protected attributes are left out: their edges are told to nobody.
    """
    pair = {"service": named.service, "model": named.model}
    in_force = remote.get("/v1/references/edges", pair)
    epochs = {one["feature"]: epoch_of(one) for one in in_force["features"]}
    parts: list[list[Binned]] = []
    left_out: dict[str, None] = {}
    for file in files:
        frame = log_files.whole(file)
        known = [name for name, dtype in frame.schema.items() if _is_feature(name, dtype)]
        features = [name for name in known if name not in in_force["protected"]]
        if not features or frame.is_empty():
            raise InputError(f"{file} holds no rows with features, a score or a prediction")
        counted, unlike = binned(frame.select(features), list(epochs.values()))
        epochs |= {one.epoch.feature: one.epoch for one in counted}
        parts.append(counted)
        left_out |= dict.fromkeys([*unlike, *(name for name in frame.columns if name not in features)])
    asked = [asked_of(one) for one in merged(parts)]
    names = ", ".join(file.name for file in files)
    kept = remote.post("/v1/references", pair | {"name": named.name, "file": names, "features": asked})
    return kept | {"features": len(asked), "left_out": list(left_out)}


def _is_feature(name: str, dtype: pl.DataType) -> bool:
    if name in (SCORE, PREDICTION):
        return True
    return name not in _OF_EVENTS | importing.TOKENS.keys() and (dtype.is_numeric() or isinstance(dtype, _PLAIN))
