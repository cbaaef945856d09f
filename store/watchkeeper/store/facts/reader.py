"""What the analyzers may ask of the facts: sums over rollups, never a scan of what grows with traffic.

Times in and out are aware UTC; frames hold naive UTC. Numbers of outcomes are as known at ``as_of``: nothing that was
learned later is in them.

A bucket (an hour; a minute in windows of up to six hours of the last two days) belongs to the window in which it
begins. So a start inside a bucket leaves that bucket out, an end inside one takes it whole: windows that follow each
other count everything once, but ask for whole hours where a number must be exact, and do not evaluate an hour that is
not over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from watchkeeper.schemas.declared import Reference
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored, utc
from watchkeeper.store.facts import moments, telemetry, unsent
from watchkeeper.store.facts.compared import compared_sql, words
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.examples import Showing
from watchkeeper.store.facts.features import OVERFLOW
from watchkeeper.store.facts.histograms import INFINITE, MISSING, NAN, REST, UNSEEN
from watchkeeper.store.facts.outcomes import in_force
from watchkeeper.store.sql import quoted

FINE = timedelta(hours=6)
"""Windows up to this length are read from the minutes, where these are still kept."""

EPOCHS_SQL = """
    SELECT * FROM epochs WHERE service = $service AND model = $model
      AND coalesce(since < $end_ts, true) AND coalesce(ended_at > $start_ts, true)
    QUALIFY row_number() OVER (PARTITION BY feature ORDER BY epoch DESC) = 1
"""
"""The epoch of each feature in a window: the newest of those that held in it. One that ended with a change of the
feature's type is never compared with what came after."""

_KEYS = ("service", "model", "model_version", "provider", "value")
_SUMS = (
    "requests",
    "errors",
    "late",
    "due",
    "checked",
    "check_failures",
    "deferred",
    "weighed",
    "blocked",
    "attempts",
    "retried",
    "fallbacks",
    "latency_n",
    "latency_sum_ms",
    "tokens_input",
    "tokens_cache_read",
    "tokens_cache_write",
    "tokens_output",
    "tokens_reasoning",
    "cost",
    "cost_n",
)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One (service, model) that ever sent a prediction, and its kept reference if it has one."""

    service: str
    model: str
    first_ts: datetime
    last_ts: datetime
    reference: Window | None
    reference_rows: int


@dataclass(frozen=True, slots=True)
class FactReader:
    """Reads one fact store."""

    facts: FactStore

    def models(self, as_of: datetime) -> list[ModelInfo]:
        """List every model that had sent something by then; the reference only if it had been made by then."""
        frame = self.facts.read(
            """
            SELECT service, model, m.first_ts, m.last_ts, r.start_ts, r.end_ts, coalesce(r.total, 0) AS total
            FROM models m
            LEFT JOIN (SELECT * FROM reference_profiles WHERE end_ts <= $as_of) r USING (service, model)
            WHERE m.first_ts < $as_of ORDER BY service, model
            """,
            {"as_of": stored(as_of)},
        )
        return [
            ModelInfo(
                service=row["service"],
                model=row["model"],
                first_ts=utc(row["first_ts"]),
                last_ts=utc(row["last_ts"]),
                reference=Window(utc(row["start_ts"]), utc(row["end_ts"])) if row["start_ts"] else None,
                reference_rows=row["total"],
            )
            for row in frame.iter_rows(named=True)
        ]

    def traffic(
        self,
        window: Window,
        *,
        service: str | None = None,
        model: str | None = None,
        step: timedelta | None = None,
        dim: str = "",
        weighted: bool = False,
    ) -> pl.DataFrame:
        """Sum requests, errors, latencies, tokens and cost by model, and by step and segment value if asked.

        Counts rows, which is what statistics rest on. ``weighted`` counts what they stand for where a sender samples,
        which is what was served and paid; ``rows`` are then the rows that this is estimated from.
        """
        sums = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
        bucket = f"{step_sql('bucket', step)} AS bucket, " if step else ""
        where, parameters = _scope(window, service, model)
        where, parameters = f"{where} AND dim = $dim", parameters | {"dim": dim}
        table = self._table("traffic", window, step)
        source = f"{table} WHERE {where}"
        if weighted:
            source = unsent.together(self.facts, table, where, parameters, ("bucket", *_KEYS, *_SUMS), "requests")
            sums += ", sum(rows) AS rows"
        return self.facts.read(
            f"SELECT {bucket}{', '.join(_KEYS)}, {sums} FROM {source} GROUP BY ALL ORDER BY ALL", parameters
        ).with_columns(pl.col(*_SUMS, *(["rows"] if weighted else [])).cast(pl.Float64))

    def latency(
        self, window: Window, *, service: str, model: str | None = None, step: timedelta | None = None
    ) -> pl.DataFrame:
        """Count requests by logarithmic latency bucket (see ``rollups.bucket_value``), and by step if asked.

        ``n`` is how many there were, ``rows`` of how many rows that is estimated: more than these where a sender
        samples.
        """
        bucket = f"{step_sql('bucket', step)} AS bucket, " if step else ""
        where, parameters = _scope(window, service, model)
        table = self._table("latency", window, step)
        both = unsent.together(self.facts, table, where, parameters, ("bucket", "log_bucket", "n"), "n")
        return self.facts.read(
            f"""SELECT {bucket}log_bucket, sum(n)::DOUBLE AS n, sum(rows)::BIGINT AS rows FROM {both}
                GROUP BY ALL ORDER BY ALL""",
            parameters,
        )

    def sampled(self, window: Window, step: timedelta | None = None) -> bool:
        """Say whether any request of the window stands for another number than one."""
        where, parameters = _scope(window, None, None)
        return unsent.holds(self.facts, self._table("traffic", window, step), where, parameters)

    def features(
        self, service: str, model: str, window: Window, step: timedelta | None = timedelta(days=1)
    ) -> pl.DataFrame:
        """Say how each feature looked: rows, missing, infinite, of the wrong type, unseen, out of range, moments."""
        _, parameters = _scope(window, service, model)
        return self.facts.read(features_sql(step), parameters)

    def reference_features(self, service: str, model: str) -> pl.DataFrame:
        """Give ``features`` by day as they stood when the reference was made: what is usual, how much days differ."""
        return self.facts.read(
            "SELECT * EXCLUDE (service, model) FROM reference_days WHERE service = $service AND model = $model",
            {"service": service, "model": model},
        )

    def histogram(self, service: str, model: str, window: Window, reference: Reference | None = None) -> pl.DataFrame:
        """Count the window's rows and the reference's on the same bins; score and prediction are features too.

        Without a declared reference it is the kept first days; ``against`` says which it is.
        """
        _, parameters = _scope(window, service, model)
        epochs = self.facts.read(f"SELECT epoch, feature, kind, edges, categories FROM ({EPOCHS_SQL})", parameters)
        listed = ", ".join(map(str, epochs["epoch"].to_list())) or "NULL"
        compared, more = compared_sql(self.facts, service, model, window, reference, listed)
        counts = self.facts.read(
            f"""
            WITH current AS (
              SELECT epoch, bin, sum(n)::BIGINT AS n FROM histogram_hour
              WHERE epoch IN ({listed}) AND bucket >= $start_ts AND bucket < $end_ts GROUP BY ALL)
            SELECT epoch, bin::INTEGER AS bin, coalesce(c.n, 0) AS n, coalesce(r.n, 0) AS reference_n
            FROM current c FULL JOIN ({compared}) r USING (epoch, bin)
            """,
            {name: parameters[name] for name in ("start_ts", "end_ts")} | more,
        )
        return (
            counts.join(epochs, on="epoch")
            .sort("feature", "bin")
            .select(
                "feature", "kind", "bin", *_BIN_MEANS, "n", "reference_n", pl.lit(words(reference)).alias("against")
            )
        )

    def unseen_values(self, service: str, model: str, window: Window) -> pl.DataFrame:
        """Name the values that the reference never held, the most frequent first."""
        _, parameters = _scope(window, service, model)
        return self.facts.read(
            f"""WITH named AS (
                 SELECT feature, value, sum(n)::BIGINT AS total FROM unseen_hour JOIN ({EPOCHS_SQL}) USING (epoch)
                 WHERE bucket >= $start_ts AND bucket < $end_ts GROUP BY feature, value)
               SELECT feature, value, total AS n FROM named
               QUALIFY row_number() OVER (PARTITION BY feature ORDER BY total DESC, value) <= 50
               ORDER BY feature, total DESC, value""",
            parameters,
        )

    def vanished_values(self, service: str, model: str, window: Window) -> pl.DataFrame:
        """Name the categories of the reference that no row of the window has."""
        return (
            self.histogram(service, model, window)
            .with_columns(
                (pl.col("reference_n") / pl.col("reference_n").sum().over("feature")).alias("reference_share")
            )
            .filter((pl.col("kind") == "category") & (pl.col("bin") >= 0) & (pl.col("n") == 0))
            .select("feature", pl.col("label").alias("value"), "reference_share")
            .sort("reference_share", descending=True)
        )

    def quality(
        self,
        service: str,
        model: str,
        window: Window,
        as_of: datetime,
        step: timedelta | None = timedelta(days=1),
        dim: str = "",
    ) -> pl.DataFrame:
        """Count right and wrong among the outcomes known by ``as_of``, by the time of the prediction.

        Predictions are counted by whole hours, outcomes by their exact time: in a window that begins inside an hour
        more may be known than was predicted.
        """
        where, parameters = _scope(window, service, model)
        by = "" if step is None else "bucket, "
        joined = f"JOIN {self._segment_table(service, model, dim)} USING (prediction_id)" if dim else ""
        value = "value_of_segment" if dim else "''"
        parameters |= {"as_of": stored(as_of)}
        right = where.replace("bucket", "prediction_ts")
        return self.facts.read(
            f"""
            WITH made AS (
              SELECT {step_sql("bucket", step) + " AS bucket, " if step else ""}value, sum(requests) AS predictions
              FROM traffic_hour WHERE {where} AND dim = $dim GROUP BY ALL),
            known AS (
              SELECT {step_sql("prediction_ts", step) + " AS bucket, " if step else ""}{value} AS value,
                     count(*) AS known, count(*) FILTER (correct) AS correct, count(*) FILTER (NOT correct) AS wrong,
                     count(*) FILTER (prediction_number = 1 AND value_number = 1) AS true_positive,
                     count(*) FILTER (prediction_number = 1 AND value_number = 0) AS false_positive,
                     count(*) FILTER (prediction_number = 0 AND value_number = 1) AS false_negative,
                     count(*) FILTER (prediction_number = 0 AND value_number = 0) AS true_negative,
                     sum(score) AS score_sum,
                     sum(-CASE WHEN value_number = 1 THEN ln(greatest(score, 1e-6))
                               ELSE ln(greatest(1 - score, 1e-6)) END)
                       FILTER (score BETWEEN 0 AND 1 AND value_number IN (0, 1)) AS log_loss_sum,
                     sum(abs(prediction_number - value_number)) AS absolute_error_sum,
                     sum((prediction_number - value_number) ** 2) AS squared_error_sum
              FROM {in_force(self.facts, right, parameters)} {joined} GROUP BY ALL)
            SELECT {by}value, m.predictions::DOUBLE AS predictions, k.* EXCLUDE ({by}value)
            FROM made m LEFT JOIN known k USING ({by}value) ORDER BY ALL
            """,
            parameters | {"dim": dim},
        ).with_columns(pl.col("known", "correct", "wrong").fill_null(0), pl.selectors.ends_with("tive").fill_null(0))

    def outcome_delay(self, service: str, model: str, window: Window, as_of: datetime) -> pl.DataFrame:
        """Say how many days pass between a prediction and its outcome: median, 90 % and 99 %.

        Of a prediction with evaluations and the truth it is the truth that is waited for.
        """
        where, parameters = _scope(window, service, model)
        days = "epoch(known_at - prediction_ts) / 86400"
        parameters |= {"as_of": stored(as_of)}
        return self.facts.read(
            f"""SELECT quantile_cont({days}, 0.5) AS q50, quantile_cont({days}, 0.9) AS q90,
                       quantile_cont({days}, 0.99) AS q99, count(*) AS n
                FROM {in_force(self.facts, where.replace("bucket", "prediction_ts"), parameters)}""",
            parameters,
        )

    def reviews(self, service: str, window: Window) -> pl.DataFrame:
        """Count what humans decided, and their minutes."""
        return self.facts.read(
            """SELECT decision, count(*) AS reviews, coalesce(sum(minutes), 0) AS minutes FROM reviews
               WHERE service = $service AND ts >= $start_ts AND ts < $end_ts GROUP BY decision ORDER BY decision""",
            {"service": service, "start_ts": stored(window.start), "end_ts": stored(window.end)},
        )

    def gpus(self, window: Window) -> pl.DataFrame:
        """Sum what each GPU did; a sample without utilisation is unknown, never idle."""
        return self.facts.read(
            """SELECT uuid, mig, any_value(host) AS host, any_value(gpu) AS gpu, any_value(model_name) AS model_name,
                      count(*) AS samples, count(utilization) AS util_samples,
                      coalesce(sum(utilization), 0) AS busy_sum,
                      count(*) FILTER (utilization < 0.01
                        AND memory_used_mib > 0.1 * (memory_used_mib + memory_free_mib)) AS idle_held,
                      count(*) - count(utilization) AS unknown, avg(memory_used_mib) AS memory_used_mean,
                      avg(power_w) AS power_mean, min(ts) AS first_ts, max(ts) AS last_ts
               FROM gpu_samples WHERE ts >= $start_ts AND ts < $end_ts GROUP BY uuid, mig ORDER BY uuid, mig""",
            {"start_ts": stored(window.start), "end_ts": stored(window.end)},
        )

    def changes(self, service: str | None, window: Window) -> pl.DataFrame:
        """List what was changed on purpose: candidates for a cause, never proofs."""
        where = "AND service = $service" if service else ""
        parameters: dict[str, object] = {"start_ts": stored(window.start), "end_ts": stored(window.end)}
        return self.facts.read(
            f"""SELECT ts, kind, title, service, model, version, url FROM changes
                WHERE ts >= $start_ts AND ts < $end_ts {where} ORDER BY ts""",
            parameters | ({"service": service} if service else {}),
        )

    def minutes_since(self) -> datetime:
        """Give from when on rollups by the minute are whole; what is older is kept by the hour alone."""
        return utc(self.facts.read("SELECT since FROM minutes_kept").item())

    def readings(self, metric: str, window: Window, as_of: datetime, service: str | None = None) -> pl.DataFrame:
        """Give what analyzers had computed by then of windows that ended within [start, end]: the newest of each."""
        where = "AND service = $service" if service else ""
        parameters: dict[str, object] = {"metric": metric, "as_of": stored(as_of)}
        parameters |= {"start_ts": stored(window.start), "end_ts": stored(window.end)}
        return self.facts.read(
            f"""SELECT service, model, subject, window_start, window_end, value, n, maturity FROM readings
                WHERE metric = $metric AND window_end > $start_ts AND window_end <= $end_ts AND as_of <= $as_of {where}
                QUALIFY row_number() OVER (PARTITION BY service, model, subject, window_end ORDER BY as_of DESC) = 1
                ORDER BY window_end, model, subject""",
            parameters | ({"service": service} if service else {}),
        )

    def moments_around(self, at: datetime) -> tuple[datetime | None, datetime | None]:
        """Give the last time up to one, and the first after it, at which there is anything to read."""
        return moments.around(self.facts, at)

    def telemetry(self, as_of: datetime) -> pl.DataFrame:
        """Give, by service, site and version, what clients had logged and what had arrived at a time."""
        return telemetry.stood(self.facts, as_of)

    def newest_look(self, window: Window) -> tuple[datetime, datetime] | None:
        """Give when the ledger of telemetry was last looked at, and up to when what had arrived was loaded."""
        return telemetry.newest_look(self.facts, window)

    def watched(self, window: Window) -> timedelta:
        """Give for how long of a window the ledger was looked at: without looks, silence says nothing."""
        return telemetry.watched(self.facts, window)

    def arrival_gaps(
        self, silent: tuple[tuple[str, str, datetime], ...], window: Window, most: int
    ) -> list[telemetry.Gaps]:
        """Give the longest gaps between arrivals about the hour in which someone (service, site) fell silent."""
        return telemetry.gaps(self.facts, silent, window, most)

    def last_arrival(self, service: str, site: str | None, window: Window) -> datetime | None:
        """Give when the newest prediction of a service (and site) came in, within a window of arrival."""
        return telemetry.last_arrival(self.facts, service, site, window)

    def example_ids(self, service: str, model: str, window: Window, showing: Showing) -> tuple[str, ...]:
        """Give a few predictions of the window that show what is asked for."""
        return showing.ids(self.facts, (service, model), window)

    def store(self) -> FactStore:
        """Give the store itself, for reads that are no sum over rollups (see ``raw_rows``)."""
        return self.facts

    def schema(self, service: str, model: str, window: Window) -> pl.DataFrame:
        """List the features of each schema version that had begun by the window's end; a new one is a change of type.

        ``compared`` says whether a feature of the newest version has a reference of its type yet.
        """
        _, parameters = _scope(window, service, model)
        return self.facts.read(
            f"""SELECT t.schema_version, t.since, c.name AS feature, c.kind, e.feature IS NOT NULL AS compared
                FROM feature_tables t JOIN feature_columns c USING (table_name)
                LEFT JOIN ({EPOCHS_SQL}) e ON e.feature = c.name AND e.kind = c.kind
                WHERE t.service = $service AND t.model = $model AND c.role = 'feature'
                  AND coalesce(t.since < $end_ts, true)
                ORDER BY t.schema_version, c.name""",
            parameters,
        )

    def _segment_table(self, service: str, model: str, dim: str) -> str:
        rows = self.facts.read(
            """SELECT table_name, column_name FROM feature_columns JOIN feature_tables USING (table_name)
               WHERE service = $service AND model = $model AND name = $name AND role = 'segment'""",
            {"service": service, "model": model, "name": dim},
        )
        parts = [
            f"SELECT id AS prediction_id, {quoted(str(column))} AS value_of_segment FROM {table} "
            "WHERE ts >= $start_ts AND ts < $end_ts"
            for table, column in rows.rows()
        ]
        return f"({' UNION ALL '.join(parts) or 'SELECT NULL::VARCHAR AS prediction_id, NULL AS value_of_segment'})"

    def _table(self, name: str, window: Window, step: timedelta | None) -> str:
        """Choose minutes for short windows that are still kept in minutes, hours for all else."""
        fine = window.length <= FINE if step is None else step < timedelta(hours=1)
        if not fine:
            return f"{name}_hour"
        kept = stored(window.start) >= self.facts.read("SELECT since FROM minutes_kept").item()
        return f"{name}_minute" if kept else f"{name}_hour"


def _at(column: str, place: pl.Expr, holds: pl.Expr) -> pl.Expr:
    return pl.col(column).list.get(pl.when(holds & (place >= 0)).then(place), null_on_oob=True)


_BIN = pl.col("bin").cast(pl.Int64)
_NUMERIC, _CATEGORY = (pl.col("kind") == kind for kind in ("numeric", "category"))
_BIN_MEANS = (
    pl.col("bin")
    .replace_strict(
        {MISSING: "missing", NAN: "not a number", INFINITE: "infinite", UNSEEN: "never seen before", REST: "other"},
        default=_at("categories", _BIN, _CATEGORY),
        return_dtype=pl.String,
    )
    .alias("label"),
    _at("edges", _BIN - 1, _NUMERIC).alias("lower"),
    _at("edges", _BIN, _NUMERIC).alias("upper"),
)
"""What each bin of an epoch is: its label, or its ends; a number's outer bins are open."""


def _scope(window: Window, service: str | None, model: str | None) -> tuple[str, dict[str, object]]:
    where = "bucket >= $start_ts AND bucket < $end_ts"
    parameters: dict[str, object] = {"start_ts": stored(window.start), "end_ts": stored(window.end)}
    if service is not None:
        where, parameters = where + " AND service = $service", parameters | {"service": service}
    if model is not None:
        where, parameters = where + " AND model = $model", parameters | {"model": model}
    return where, parameters


def features_sql(step: timedelta | None) -> str:
    """Give the SQL of ``FactReader.features``; its parameters are service, model, start_ts and end_ts."""
    bucket = f"{step_sql('bucket', step)} AS bucket, " if step else ""
    return f"""
        WITH moments AS (
          SELECT {bucket}feature, sum(total)::BIGINT AS rows, sum(missing)::BIGINT AS missing,
                 sum(nan)::BIGINT AS nan, sum(infinite)::BIGINT AS infinite,
                 sum(mismatched)::BIGINT AS mismatched, min(min) AS min, max(max) AS max, sum(sum) AS sum,
                 sum(sumsq) AS sumsq
          FROM feature_hour
          WHERE bucket >= $start_ts AND bucket < $end_ts AND service = $service AND model = $model GROUP BY ALL),
        mine AS (SELECT epoch, feature, len(edges) AS edges, kind FROM ({EPOCHS_SQL})),
        binned AS (
          SELECT {bucket}feature, any_value(kind) AS kind,
                 sum(n) FILTER (bin = {UNSEEN})::BIGINT AS unseen,
                 sum(n) FILTER (kind = 'numeric' AND bin = 0)::BIGINT AS below,
                 sum(n) FILTER (kind = 'numeric' AND bin = edges)::BIGINT AS above
          FROM histogram_hour JOIN mine USING (epoch)
          WHERE bucket >= $start_ts AND bucket < $end_ts GROUP BY ALL)
        SELECT m.* EXCLUDE (feature), m.feature, coalesce(b.kind, CASE WHEN m.min IS NULL THEN 'category'
               ELSE 'numeric' END) AS kind, coalesce(b.unseen, 0) AS unseen, coalesce(b.below, 0) AS below,
               coalesce(b.above, 0) AS above
        FROM moments m LEFT JOIN binned b USING ({"bucket, " if step else ""}feature)
        ORDER BY ALL
    """


def step_sql(column: str, step: timedelta | None) -> str:
    """Give the SQL that floors a time to its step (a day where none is given)."""
    seconds = int(step.total_seconds()) if step else 86400
    return f"time_bucket(to_seconds({seconds}), {column})"


__all__ = ["OVERFLOW", "FactReader", "ModelInfo"]
