"""From rows to lines: pure, at most a hundred points a line."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from watchkeeper.dashboard import rows
from watchkeeper.dashboard.format import epoch_ms
from watchkeeper.dashboard.histograms import Bar

Key = tuple[str, str]
T = TypeVar("T")
Points = tuple[tuple[int, float | None], ...]

DRIFT_MUCH = 0.2
"""From this PSI on (above chance) an input has moved much. That is no alert: inputs move with seasons."""
LONGEST_BRIDGE = timedelta(hours=12)
"""A pause up to this long, such as a night, does not break a line."""
BARS = 24
TAIL = 0.015
DISTINCT = 30
"""A number with this few bins has a bin for each value: they are drawn as they are."""
UNSEEN = -4
"""The bin of values that the reference never held (see the query ``histogram``)."""
CATEGORIES_SHOWN = 6


def names(keys: Iterable[Key]) -> dict[Key, str]:
    """Name each model as short as it stays clear: by its service, if that has no other model.

    >>> names([("a", "m1"), ("b", "m1"), ("b", "m2")])
    {('a', 'm1'): 'a', ('b', 'm1'): 'b · m1', ('b', 'm2'): 'b · m2'}
    """
    keys = list(dict.fromkeys(keys))
    models: dict[str, int] = defaultdict(int)
    for service, _ in keys:
        models[service] += 1
    return {key: key[0] if models[key[0]] == 1 else f"{key[0]} · {key[1]}" for key in keys}


def without_prefix(names: Iterable[str]) -> dict[str, str]:
    """Leave out the words that all names begin with.

    >>> without_prefix(["bot-fast", "bot-available"]), without_prefix(["only-one"])
    ({'bot-fast': 'fast', 'bot-available': 'available'}, {'only-one': 'only-one'})
    """
    words = {name: name.split("-") for name in names}
    same = 0
    while len(words) > 1 and all(len(parts) > same + 1 for parts in words.values()):
        if len({parts[same] for parts in words.values()}) > 1:
            break
        same += 1
    return {name: "-".join(parts[same:]) for name, parts in words.items()}


def latency_limit(objectives: Iterable[rows.Objective], key: Key) -> float | None:
    """Give the strictest latency that the model's service promises, in ms."""
    limits = [
        objective.sli.max_ms
        for objective in objectives
        if objective.service == key[0] and objective.sli.max_ms and objective.sli.model in {None, key[1]}
    ]
    return min(limits, default=None)


def by_model(traffic: Iterable[rows.Traffic]) -> dict[Key, list[rows.Traffic]]:
    """Group buckets by model, in time order."""
    grouped: dict[Key, list[rows.Traffic]] = defaultdict(list)
    for row in traffic:
        grouped[row.service, row.model].append(row)
    return {key: sorted(found, key=lambda row: row.bucket) for key, found in grouped.items()}


def line(
    buckets: Sequence[tuple[datetime, float | None]], step: timedelta, now: datetime, start: datetime | None = None
) -> Points:
    """Put each value in the middle of its bucket, and break the line over a pause longer than half a day.

    >>> from datetime import UTC
    >>> noon, hour = datetime(2026, 1, 1, 12, tzinfo=UTC), timedelta(hours=1)
    >>> points = line([(noon, 1.0), (noon + 20 * hour, 2.0)], hour, noon + 21 * hour)
    >>> [value for _, value in points]
    [1.0, None, 2.0]
    """
    points: list[tuple[int, float | None]] = []
    last: datetime | None = None
    for bucket, value in buckets:
        if last is not None and bucket - last > max(3 * step, LONGEST_BRIDGE):
            points.append((epoch_ms(last + step), None))
        middle = bucket + step / 2
        points.append((epoch_ms(min(max(middle, start or middle), now)), value))
        last = bucket
    return tuple(points)


def traffic_line(
    found: Sequence[rows.Traffic],
    value: Callable[[rows.Traffic], float | None],
    step: timedelta,
    span: tuple[datetime, datetime],
) -> Points:
    """Draw one number of a model's traffic, without a bucket that has run for less than half of its time."""
    ripe = [row for row in found if span[1] - row.bucket >= step / 2]
    return line([(row.bucket, value(row)) for row in ripe], step, span[1], span[0])


def rate_per_hour(row: rows.Traffic, step: timedelta, now: datetime) -> float:
    """Requests an hour; the bucket that has just begun counts the time it has had."""
    covered = min(step, max(now - row.bucket, timedelta(minutes=1)))
    return (row.requests or 0.0) / (covered / timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Quality:
    """How often a model was wrong, by week: what is final, what is partly known since, what is estimated since."""

    final: Points
    partial: Points
    estimated: Points


def quality(weeks: Sequence[rows.QualityState]) -> Quality:
    """Set the three states of the error rate apart; what is not final is drawn on from the last final point."""
    weeks = sorted(weeks, key=lambda week: week.window_end)
    final = [week for week in weeks if week.state == "final"]
    last = final[-1].window_end if final else None
    young = [week for week in weeks if last is None or week.window_end >= last]

    def points(found: Iterable[tuple[rows.QualityState, float | None]]) -> Points:
        kept = tuple((epoch_ms(week.window_end), value) for week, value in found if value is not None)
        return kept if len(kept) > 1 else ()

    return Quality(
        points((week, week.wrong_share) for week in final),
        points((week, week.wrong_share) for week in young if week.state in ("final", "partial")),
        points((week, week.estimated) for week in young),
    )


def delay_words(delays: Sequence[rows.LabelDelay]) -> tuple[str, ...]:
    """Say of each source after how many days half and nine of ten of its outcomes are known.

    >>> delay_words([rows.LabelDelay(source="crm", days=d, share=s) for d, s in ((1, 0.2), (2, 0.6), (3, 1.0))])
    ('Outcomes from crm: half within 2 days, nine of ten within 3.',)
    """
    shown = sorted({delay.source for delay in delays if delay.source}) or [None]
    words: list[str] = []
    for source in shown:
        curve = sorted((one.days, one.share) for one in delays if one.source == source)
        half, most = (next((days for days, known in curve if known >= part), None) for part in (0.5, 0.9))
        if half is not None and most is not None:
            named = f"Outcomes from {source}" if source else "Outcomes"
            words.append(f"{named}: half within {half} {'day' if half == 1 else 'days'}, nine of ten within {most}.")
    return tuple(words)


def share(part: float | None, whole: float | None) -> float | None:
    """Divide, where there is something to divide by.

    >>> share(1, 4), share(1, 0), share(None, 3)
    (0.25, None, 0.0)
    """
    return (part or 0.0) / whole if whole else None


def top_drift(readings: Iterable[rows.Reading]) -> dict[Key, list[rows.Reading]]:
    """Give, for each model and day, the reading of the feature that moved most."""
    best: dict[tuple[Key, datetime], rows.Reading] = {}
    for reading in readings:
        slot = ((reading.service, reading.model or ""), reading.window_end)
        if reading.value is not None and (slot not in best or (best[slot].value or 0.0) < reading.value):
            best[slot] = reading
    grouped: dict[Key, list[rows.Reading]] = defaultdict(list)
    for (key, _), reading in sorted(best.items(), key=lambda item: item[0][1]):
        grouped[key].append(reading)
    return dict(grouped)


def reading_points(readings: Iterable[rows.Reading]) -> Points:
    """Put each reading at the end of its window."""
    return tuple(
        (epoch_ms(reading.window_end), reading.value) for reading in sorted(readings, key=lambda r: r.window_end)
    )


def latest(readings: Iterable[rows.Reading]) -> dict[tuple[str, str, str], rows.Reading]:
    """Give the newest reading of each (service, model, subject)."""
    newest: dict[tuple[str, str, str], rows.Reading] = {}
    for reading in readings:
        key = (reading.service, reading.model or "", reading.subject)
        if key not in newest or newest[key].window_end <= reading.window_end:
            newest[key] = reading
    return newest


def thinned(values: Sequence[float | None], most: int = 48) -> list[float]:
    """Give at most ``most`` values, each the mean of its neighbours: what a sparkline can show.

    >>> thinned([1, 3, None, 5, 7], most=2)
    [2.0, 6.0]
    """
    known = [value for value in values if value is not None]
    size = -(-len(known) // most) or 1
    chunks = [known[place : place + size] for place in range(0, len(known), size)]
    return [float(f"{sum(chunk) / len(chunk):.4g}") for chunk in chunks]


def strided(points: Sequence[T], most: int = 200) -> tuple[T, ...]:
    """Keep every n-th point, and the last, so that a line has at most about ``most``.

    >>> strided(range(7), most=3)
    (0, 3, 6)
    """
    size = -(-len(points) // most) or 1
    return tuple(point for place, point in enumerate(points) if (len(points) - 1 - place) % size == 0)


def relative_to_median(values: Sequence[float | None], most: int = 40) -> list[float]:
    """Give values over their median, so that sparklines of different sizes can be compared.

    >>> relative_to_median([10, 10, 20])
    [1.0, 1.0, 2.0]
    """
    known = [value for value in values if value is not None]
    middle = statistics.median(known) if known else 0.0
    return thinned([value / middle for value in known], most) if middle else []


# -- histograms


def bars(bins: Sequence[rows.Bin], unseen: Sequence[rows.Unseen] = ()) -> tuple[list[Bar], bool]:
    """Give the bars of one feature, and whether it is numeric: numbers on even steps, names by size."""
    numeric = any(one.kind == "numeric" for one in bins)
    return (_numeric(bins) if numeric else _named(bins, unseen)), numeric


def absent(bins: Sequence[rows.Bin]) -> list[tuple[str, float, float]]:
    """List what is no value of a number (missing, not a number, infinite): its share now and in the reference."""
    now, reference = _totals(bins)
    return [
        (one.label or "no value", (one.n or 0) / now, (one.reference_n or 0) / reference)
        for one in bins
        if one.bin < 0 and (one.n or one.reference_n)
    ]


def _totals(bins: Sequence[rows.Bin]) -> tuple[float, float]:
    return sum(one.n or 0 for one in bins) or 1.0, sum(one.reference_n or 0 for one in bins) or 1.0


def _named(bins: Sequence[rows.Bin], unseen: Sequence[rows.Unseen]) -> list[Bar]:
    """Name the largest values; what was never seen comes first, the small ones together last."""
    now, reference = _totals(bins)
    new = [Bar(f"{one.value} (new)", one.n / now, 0.0, unseen=True) for one in unseen[:2] if one.n]
    rest = sum(one.n or 0 for one in bins if one.bin == UNSEEN) / now - sum(bar.now for bar in new)
    if rest > 0.0005:
        uncounted = [one.value for one in unseen if one.n is None]
        label = "other new" if new else f"{uncounted[0]} … (new)" if uncounted else "new values"
        new.append(Bar(label, rest, 0.0, unseen=True))
    known = [
        Bar(one.label or "?", (one.n or 0) / now, (one.reference_n or 0) / reference)
        for one in bins
        if one.bin != UNSEEN and (one.n or one.reference_n)
    ]
    known.sort(key=lambda bar: -max(bar.now, bar.reference))
    room = CATEGORIES_SHOWN - len(new)
    if len(known) > room:
        small = known[room - 1 :]
        others = Bar(f"{len(small)} others", sum(b.now for b in small), sum(b.reference for b in small))
        known = [*known[: room - 1], others]
    return [*new, *known]


def _numeric(bins: Sequence[rows.Bin]) -> list[Bar]:
    """Spread the store's bins, which hold equal shares, over even steps: only so does the height mean density."""
    closed = [one for one in bins if one.bin >= 0 and one.lower is not None and one.upper is not None]
    if not closed:
        return []
    now, reference = _totals(bins)
    if len(closed) <= DISTINCT:
        return [
            Bar(
                _between(one.lower, one.upper),
                (one.n or 0) / now,
                (one.reference_n or 0) / reference,
                one.lower,
                one.upper,
            )
            for one in closed
            if one.lower is not None and one.upper is not None
        ]
    low, high = _range(closed)
    width = (high - low) / BARS
    steps = [(low + place * width, low + (place + 1) * width) for place in range(BARS)]
    return [
        Bar(
            _between(*step),
            sum(_inside(one, step) * (one.n or 0) for one in closed) / now,
            sum(_inside(one, step) * (one.reference_n or 0) for one in closed) / reference,
            *step,
        )
        for step in steps
    ]


def _between(lower: float | None, upper: float | None) -> str:
    return f"{lower:.4g} to {upper:.4g}"


def _inside(one: rows.Bin, step: tuple[float, float]) -> float:
    """Give the part of a bin that lies within a step, its rows taken as even."""
    lower, upper = one.lower or 0.0, one.upper or 0.0
    return max(0.0, min(upper, step[1]) - max(lower, step[0])) / (upper - lower) if upper > lower else 0.0


def _range(closed: Sequence[rows.Bin]) -> tuple[float, float]:
    """Leave out the outermost ``TAIL`` of both sides, so that one far value does not flatten the rest."""
    lows: list[float] = []
    highs: list[float] = []
    for counts in ([one.n or 0 for one in closed], [one.reference_n or 0 for one in closed]):
        if total := sum(counts):
            lows.append(closed[_reach(counts, total * TAIL)].lower or 0.0)
            highs.append(closed[-1 - _reach(counts[::-1], total * TAIL)].upper or 0.0)
    low, high = (min(lows), max(highs)) if lows else (closed[0].lower or 0.0, closed[-1].upper or 0.0)
    return low, high if high > low else low + 1.0


def _reach(counts: Sequence[float], tail: float) -> int:
    """Give the place of the first bin at which more than ``tail`` rows are counted."""
    seen = 0.0
    for place, many in enumerate(counts):
        seen += many
        if seen > tail:
            return place
    return 0
