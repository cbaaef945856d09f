"""Named queries: what may be asked over HTTP, by name and parameters, never as SQL.

Each but ``sample`` and ``tasks`` reads rollups, so that its cost does not grow with traffic. Quantiles of latency come
from logarithmic buckets and are at most 1 % off. Where a sender samples, requests, errors, tokens, cost and latencies
are of what its rows stand for, to the nearest whole; ``rows`` says how many came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from watchkeeper.schemas.declared import Reference
from watchkeeper.schemas.errors import InputError, NotFound
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import label_delays, label_states, splits, unsent
from watchkeeper.store.facts.audit import audit
from watchkeeper.store.facts.reader import FactReader, step_sql
from watchkeeper.store.facts.rollups import GAMMA, ZERO_BUCKET
from watchkeeper.store.facts.sample import sample
from watchkeeper.store.facts.splits import FEWEST_OF_GROUP
from watchkeeper.store.facts.tasks import tasks

MAX_BUCKETS = 5_000
FINEST = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Ask:
    """The parameters of one query; those that a query does not use are ignored.

    ``protected`` is not the asker's: attributes that are declared so. Their values stand in no sample, and small
    counts of them in no answer.
    """

    window: Window
    service: str | None = None
    model: str | None = None
    step: timedelta = timedelta(days=1)
    dim: str = ""
    feature: str | None = None
    metric: str | None = None
    analyzer: str | None = None
    subject: str | None = None
    as_of: datetime | None = None
    protected: frozenset[str] = frozenset()
    reference: Reference | None = None

    def one_model(self) -> tuple[str, str]:
        """Give service and model of a query that is about one."""
        if self.service is None or self.model is None:
            raise InputError("this query is about one model: give service and model")
        return self.service, self.model


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A question, the parameters that shape its answer, and how it is answered."""

    question: str
    parameters: tuple[str, ...]
    run: Callable[[FactReader, Ask], pl.DataFrame]


def answer(reader: FactReader, name: str, ask: Ask) -> pl.DataFrame:
    """Answer a query by name."""
    query = QUERIES.get(name)
    if query is None:
        raise NotFound(f"there is no query {name!r}; known: {', '.join(sorted(QUERIES))}")
    if "step" in query.parameters and ask.step < FINEST:
        raise InputError("step is under a minute: nothing finer is kept")
    if "step" in query.parameters and ask.window.length / ask.step > MAX_BUCKETS:
        raise InputError(f"that is over {MAX_BUCKETS} steps: give a longer step or a shorter window")
    rows = query.run(reader, ask)
    return _unnamed(rows, ask.protected) if name == "sample" else _without_few(rows, ask)


def _unnamed(rows: pl.DataFrame, protected: frozenset[str]) -> pl.DataFrame:
    return rows.drop(name for name in rows.columns if name in protected)


def _without_few(rows: pl.DataFrame, ask: Ask) -> pl.DataFrame:
    """Leave out what is said of a protected attribute that could be traced to single rows."""
    if ask.dim in ask.protected:
        counted = [name for name in ("rows", "predictions") if name in rows.columns]
        rows = rows.filter(pl.all_horizontal(pl.col(name) >= FEWEST_OF_GROUP for name in counted))
        if "known" in rows.columns:  # as if nothing were known: a row that is left out would say which group it was
            told = rows.columns[rows.columns.index("known") :]
            rows = rows.with_columns(pl.when(pl.col("known") >= FEWEST_OF_GROUP).then(pl.col(*told)))
    if "dim" in rows.columns:
        rows = splits.without_few(rows, ask.protected)
    name = next((name for name in ("feature", "subject") if name in rows.columns), None)
    if name is None or not ask.protected:
        return rows
    hidden = pl.col(name).is_in(list(ask.protected))
    if "measure" in rows.columns:
        seen = pl.min_horizontal(pl.col("before", "after").fill_null(float("inf")))
        few = ((pl.col("measure") == "rows") & (seen < FEWEST_OF_GROUP)).any().over("part", name)
        return rows.filter(~(hidden & few))
    if "bin" in rows.columns:
        rows = _without_ends(rows, hidden)
    for count in ("n", "rows"):
        if count in rows.columns:
            rows = rows.filter(~(hidden & (pl.col(count) < FEWEST_OF_GROUP)))
    ends = [end for end in ("min", "max") if end in rows.columns]  # each is the value of one row
    return rows.with_columns(pl.when(~hidden).then(pl.col(end)).alias(end) for end in ends)


def _without_ends(bins: pl.DataFrame, hidden: pl.Expr) -> pl.DataFrame:
    """Leave out where the bins begin and end: that is the reference's smallest and its greatest value."""
    low, high = pl.col("lower").min().over("feature"), pl.col("upper").max().over("feature")
    inner = {edge: (pl.col(edge) != low) & (pl.col(edge) != high) for edge in ("lower", "upper")}
    return bins.with_columns(pl.when(~hidden | one).then(pl.col(edge)).alias(edge) for edge, one in inner.items())


def _latency_quantiles(reader: FactReader, ask: Ask, step: timedelta | None) -> pl.DataFrame:
    bucket = f"{step_sql('bucket', step)} AS bucket, " if step else ""
    keys = ("bucket, " if step else "") + "service, model"
    table = "latency_minute" if step is not None and step < timedelta(hours=1) else "latency_hour"
    quantiles = ", ".join(
        f"2 * pow({GAMMA!r}, min(log_bucket) FILTER (below >= {q} * total)) / {GAMMA + 1!r} "
        f"AS latency_p{q * 100:.0f}_ms"
        for q in (0.5, 0.95, 0.99)
    )
    where, parameters = _where(ask)
    columns = ("bucket", "service", "model", "log_bucket", "n")
    both = unsent.together(reader.facts, table, where, parameters, columns, "n")
    return reader.facts.read(
        f"""WITH counted AS (
              SELECT {bucket}service, model, greatest(log_bucket, {ZERO_BUCKET}) AS log_bucket, sum(n) AS n
              FROM {both} GROUP BY ALL),
            summed AS (
              SELECT *, sum(n) OVER (PARTITION BY {keys} ORDER BY log_bucket) AS below,
                     sum(n) OVER (PARTITION BY {keys}) AS total FROM counted)
            SELECT {keys}, {quantiles} FROM summed GROUP BY {keys}""",
        parameters,
    )


def _where(ask: Ask, column: str = "bucket") -> tuple[str, dict[str, object]]:
    where = [f"{column} >= $start_ts", f"{column} < $end_ts"]
    parameters: dict[str, object] = {"start_ts": stored(ask.window.start), "end_ts": stored(ask.window.end)}
    for name in ("service", "model", "metric", "analyzer", "subject"):
        value = getattr(ask, name)
        if value is not None and (name in ("service", "model") or column == "as_of"):
            where.append(f"{name} = ${name}")
            parameters[name] = value
    return " AND ".join(where), parameters


def _overview(reader: FactReader, ask: Ask) -> pl.DataFrame:
    traffic = reader.traffic(ask.window, service=ask.service, model=ask.model, weighted=True)
    seen = reader.facts.read(
        """SELECT m.service, m.model, any_value(m.first_ts) AS first_ts, any_value(m.last_ts) AS last_ts,
                  max_by(t.model_version, t.bucket) AS model_version
           FROM models m LEFT JOIN traffic_hour t
             ON t.service = m.service AND t.model = m.model AND t.dim = '' AND t.bucket < $end_ts
             AND t.bucket >= $end_ts - INTERVAL 90 DAY
           WHERE m.first_ts < $end_ts GROUP BY m.service, m.model""",
        {"end_ts": stored(ask.window.end)},
    )
    if ask.service is not None:
        seen = seen.filter(service=ask.service)
    if ask.model is not None:
        seen = seen.filter(model=ask.model)
    sums = _whole("errors", "late", "check_failures", "attempts", "retried", "tokens_input", "tokens_output")
    by_model = traffic.group_by("service", "model").agg(sums, pl.col("provider").drop_nulls().last(), _cost())
    keys = ["service", "model"]
    quantiles = _latency_quantiles(reader, ask, None)
    return seen.join(by_model, on=keys, how="left").join(quantiles, on=keys, how="left").sort(keys)


def _whole(*names: str) -> pl.Expr:
    """Sum the rows, the requests and these, each to the nearest whole."""
    return pl.col("rows", "requests", *names).sum().round()


def _cost() -> pl.Expr:
    return pl.when(pl.col("cost_n").sum() > 0).then(pl.col("cost").sum()).alias("cost")


def _traffic(reader: FactReader, ask: Ask) -> pl.DataFrame:
    keys = ["bucket", "service", "model", "value"]
    sums = _whole(
        "errors", "late", "check_failures", "attempts", "retried", "tokens_input", "tokens_cache_read", "tokens_output"
    )
    mean = (pl.col("latency_sum_ms").sum() / pl.col("latency_n").sum()).fill_nan(None).alias("latency_mean_ms")
    rows = reader.traffic(ask.window, service=ask.service, model=ask.model, step=ask.step, dim=ask.dim, weighted=True)
    rows = rows.group_by(keys).agg(sums, mean, _cost())
    if not ask.dim:
        rows = rows.join(_latency_quantiles(reader, ask, ask.step), on=["bucket", "service", "model"], how="left")
    return rows.sort(keys)


def _segments(reader: FactReader, ask: Ask) -> pl.DataFrame:
    return (
        reader.traffic(ask.window, service=ask.service, model=ask.model, dim=ask.dim, weighted=True)
        .group_by("service", "model", "value")
        .agg(_whole("errors", "late", "check_failures", "attempts", "retried"), _cost())
        .sort("service", "model", "requests", "value", descending=[False, False, True, False])
    )


def _quality(reader: FactReader, ask: Ask) -> pl.DataFrame:
    window = ask.window
    if ask.dim in ask.protected:  # whole hours, as predictions are counted: two windows never differ by just one row
        end = window.end.replace(minute=0, second=0, microsecond=0)
        window = Window(min(-(-(window.start - end) // HOUR) * HOUR + end, end), end)
    return reader.quality(*ask.one_model(), window, window.end, step=ask.step, dim=ask.dim)


def _split(reader: FactReader, ask: Ask) -> pl.DataFrame:
    """Split what of the window is after the kept reference, by what was known at ``as_of`` (the window's end)."""
    pair, as_of = ask.one_model(), ask.as_of or ask.window.end
    reference = next((one.reference for one in reader.models(as_of) if (one.service, one.model) == pair), None)
    if reference is None or ask.window.end <= reference.end:
        return splits.rows_of("", [])
    window = Window(max(ask.window.start, reference.end), ask.window.end)
    return splits.rows_of(*splits.error_splits(reader.facts, pair, reference, window, as_of))


def _states(reader: FactReader, ask: Ask) -> pl.DataFrame:
    return label_states.states(reader, *ask.one_model(), ask.window, ask.as_of or ask.window.end)


def _delays(reader: FactReader, ask: Ask) -> pl.DataFrame:
    return label_delays.table(reader.facts, *ask.one_model(), ask.as_of or ask.window.end)


def _readings(reader: FactReader, ask: Ask) -> pl.DataFrame:
    where, parameters = _where(ask, "as_of")
    return reader.facts.read(f"SELECT * FROM readings WHERE {where} ORDER BY as_of, metric, subject", parameters)


def _histogram(reader: FactReader, ask: Ask) -> pl.DataFrame:
    rows = reader.histogram(*ask.one_model(), ask.window, ask.reference)
    return rows if ask.feature is None else rows.filter(feature=ask.feature)


def _features(reader: FactReader, ask: Ask) -> pl.DataFrame:
    return reader.features(*ask.one_model(), ask.window, step=None)


def _gpus(reader: FactReader, ask: Ask) -> pl.DataFrame:
    return reader.gpus(ask.window).select(
        "uuid",
        "mig",
        "host",
        "gpu",
        "model_name",
        "samples",
        (pl.col("busy_sum") / pl.col("util_samples")).fill_nan(None).alias("busy_share"),
        (pl.col("idle_held") / pl.col("samples")).alias("idle_held_share"),
        (pl.col("unknown") / pl.col("samples")).alias("unknown_share"),
        "memory_used_mean",
        "power_mean",
        "last_ts",
    )


_SCOPE = ("start", "end", "service", "model")
QUERIES: Mapping[str, NamedQuery] = {
    "overview": NamedQuery("What did each model do in this window?", _SCOPE, _overview),
    "traffic": NamedQuery("How did requests, errors, latency and tokens go?", (*_SCOPE, "step", "dim"), _traffic),
    "segments": NamedQuery("Which values of a segment sent what?", (*_SCOPE, "dim"), _segments),
    "quality": NamedQuery("How often was it right, as far as is known?", (*_SCOPE, "step", "dim"), _quality),
    "quality_states": NamedQuery(
        "How wrong was it in each week: estimated, partly known, or final?", (*_SCOPE, "as_of"), _states
    ),
    "label_delay": NamedQuery("How long do outcomes take, by source?", (*_SCOPE, "as_of"), _delays),
    "readings": NamedQuery("What did the analyzers compute?", (*_SCOPE, "metric", "analyzer", "subject"), _readings),
    "histogram": NamedQuery("How do the inputs look against the reference?", (*_SCOPE, "feature"), _histogram),
    "split": NamedQuery(
        "Where does a change of the error come from: a shifted mix, or a segment?",
        ("start", "end", "service", "model", "as_of"),
        _split,
    ),
    "unseen": NamedQuery(
        "Which values had the reference never held?",
        _SCOPE,
        lambda reader, ask: reader.unseen_values(*ask.one_model(), ask.window),
    ),
    "features": NamedQuery("How clean are the inputs?", _SCOPE, _features),
    "audit": NamedQuery(
        "What came, and how clean, in this window and in the one just before it?",
        _SCOPE,
        lambda reader, ask: audit(reader, *ask.one_model(), ask.window),
    ),
    "schema": NamedQuery(
        "Which features does it send, of which type, since when?",
        _SCOPE,
        lambda reader, ask: reader.schema(*ask.one_model(), ask.window),
    ),
    "sample": NamedQuery(
        "Which raw values did the reference and this window hold, in a sample?",
        _SCOPE,
        lambda reader, ask: sample(reader.facts, *ask.one_model(), ask.window),
    ),
    "gpus": NamedQuery("How busy was each GPU?", ("start", "end"), _gpus),
    "tasks": NamedQuery(
        "What does a finished task take: steps, tool errors, loops, money?",
        ("start", "end", "service"),
        lambda reader, ask: tasks(reader.facts, ask.window, ask.service),
    ),
    "changes": NamedQuery(
        "What was changed on purpose?", ("start", "end", "service"), lambda r, a: r.changes(a.service, a.window)
    ),
}
