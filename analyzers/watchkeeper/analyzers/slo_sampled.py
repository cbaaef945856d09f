"""Bad and all events where a sender samples: what its rows stand for, and how exactly that says it.

Rows of weight w are sums of w like events of which one was seen, so a sum of weights W over n rows of one key and fate
varies as W squared over n. Exact where the rows of one key (model, version, provider) and fate in one bucket have one
weight, as those of one sender have; too small where very different weights are mixed within one.
Source: the linearised variance of a ratio (Cochran, Sampling Techniques, 1977, 6.3); without it, Kish's effective size.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from watchkeeper.analyzers.intervals import Count, Sample

PARTS = ("bad_rows", "rows", "bad_spread", "good_spread")


def with_rows(counted: pl.DataFrame, came: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Put the rows that came (``bad``, ``total`` by key) beside what they stand for, summed by bucket."""
    rows = came.rename({"bad": "bad_rows", "total": "rows"})
    joined = counted.join(rows, on=list(keys), how="left", nulls_equal=True)
    good, good_rows = pl.col("total") - pl.col("bad"), pl.col("rows") - pl.col("bad_rows")
    return (
        joined.with_columns(
            _spread(pl.col("bad"), pl.col("bad_rows")).alias("bad_spread"),
            _spread(good, good_rows).alias("good_spread"),
        )
        .group_by("bucket")
        .agg(pl.col("bad", "total", *PARTS).sum())
    )


def whole(counted: pl.DataFrame, came: pl.DataFrame) -> Count:
    """Count the failed of all requests of a stretch, from its weighted traffic and the rows that came."""
    keys = ("model", "model_version", "provider")
    judged = [
        frame.select(*keys, pl.lit(0).alias("bucket"), pl.col("errors").alias("bad"), pl.col("requests").alias("total"))
        for frame in (counted, came)
    ]
    sums = with_rows(judged[0], judged[1].drop("bucket"), keys)
    if sums.is_empty():
        return Count(0, 0)
    bad, total, *parts = sums.select("bad", "total", *PARTS).row(0)
    return count(bad, total, parts)


def days(frame: pl.DataFrame) -> pl.DataFrame:
    """Give bucket, bad, total and ``design``, in order: how much more a day's share varies than that of whole events.

    It is the mean weight of a bad event, and that of a good one as far as bad ones are usual. What a bad one weighs is
    not known on a day without any: then as on the day before.
    """
    frame = frame.sort("bucket")
    if "rows" not in frame.columns:
        return frame.select("bucket", "bad", "total", pl.lit(1.0).alias("design"))
    usual = pl.col("bad").sum() / pl.col("total").sum()
    good = pl.col("total") - pl.col("bad")
    of_good = pl.when(good > 0).then(pl.col("good_spread") / good)
    of_bad = pl.when(pl.col("bad") > 0).then(pl.col("bad_spread") / pl.col("bad")).forward_fill()
    both = pl.coalesce(of_bad, of_good) * (1 - usual) + pl.coalesce(of_good, of_bad) * usual
    return frame.select("bucket", "bad", "total", both.fill_nan(None).fill_null(1.0).alias("design"))


def _spread(weight: pl.Expr, rows: pl.Expr) -> pl.Expr:
    return pl.when(rows > 0).then(weight**2 / rows).otherwise(0.0)


def count(bad: float, total: float, parts: Sequence[float]) -> Count:
    """Give the count of a stretch: ``parts`` are the sums of ``PARTS``.

    Of 10 failures, all kept, and 99 successes that stand for 990, the share is known as if by 900 requests.

    >>> found = count(10.0, 1000.0, (10, 109, 10.0, 9900.0))
    >>> found.share, found.came, round(found.worth)
    (0.01, 109, 917)
    """
    bad_rows, rows, bad_spread, good_spread = parts
    near = round(bad)
    affected, whole = near if abs(bad - near) < 1e-9 else bad, round(total)
    affected = min(max(affected, 0), whole)
    if rows == whole and bad_rows == affected:
        return Count(affected, whole)
    share = affected / whole if whole else 0.0
    varies = bad_spread * (1 - share) ** 2 + good_spread * share**2
    spread = bad_spread + good_spread
    if 0 < share < 1 and varies > 0:
        worth = share * (1 - share) * total**2 / varies
    else:
        worth = total**2 / spread if spread else 0.0
    return Count(affected, whole, Sample(round(bad_rows), round(rows), worth))
