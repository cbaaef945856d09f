"""One model's course since its reference: every channel by day, what is said on each day, and the incident after it.

A day is measured once, from at most 20,000 rows, and then kept: in memory, and with the next run's start in the facts,
so that neither a restart nor retention loses it. A new day costs one day. Outcomes are taken
as known when the model's usual delay has passed, so that no day's number changes later. In one run of the schedule
(a replay, a server that catches up) whole weeks are read at once: each day still rests on its own rows alone, and on
those before it. What a run read ahead of its last evaluation is forgotten by the next.
A feature whose type has changed for good is not compared from that day on.
Misleads where rows come more than a week late: their day stays as it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from weakref import ReferenceType

import numpy as np
import polars as pl

from watchkeeper.analyzers import course_kept
from watchkeeper.analyzers.verdict.core import incident, profile, strength
from watchkeeper.analyzers.verdict.core.channels import Channel, Days, Floats, Measured, Rows, Table
from watchkeeper.analyzers.verdict.core.incident import Alert, State
from watchkeeper.analyzers.verdict.core.outcomes import Errors, Outcomes
from watchkeeper.analyzers.verdict.core.profile import Profile
from watchkeeper.analyzers.verdict.core.strength import Watched
from watchkeeper.schemas.errors import StoreUnavailable
from watchkeeper.schemas.findings import Window
from watchkeeper.store.clock import stored
from watchkeeper.store.facts import measured, raw_rows
from watchkeeper.store.facts.connection import FactStore

DAY = timedelta(days=1)
MOST_ROWS = 20_000
"""Rows of a day that are read."""
STRETCH = 28
LEAST_DAYS = 14
MIN_KNOWN = 200
MOST_DELAY = 120
LATE_QUANTILE = 0.9
RECHECKED = 7
GONE = 0.1


@dataclass(slots=True)
class Course:
    """Grows by days; day 0 is the reference's first."""

    store: ReferenceType[FactStore]
    pair: tuple[str, str]
    reference: Window
    alerts_per_month: float
    table: Table = field(default_factory=dict[str, Measured])
    days: int = 0
    late: int = 0
    requests: list[int] = field(default_factory=list[int])
    strengths: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    log_chances: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    states: list[State] = field(default_factory=list[State])
    alerts: list[tuple[Alert, ...]] = field(default_factory=list[tuple[Alert, ...]])
    watched: list[Watched] = field(default_factory=list[Watched])
    watched_late: list[Watched] = field(default_factory=list[Watched])
    delay: int | None = None
    settled: int = 0
    blind: bool = False
    """Rows of the reference are gone, so that nothing can be compared with it."""
    _profile: Profile | None = None
    _outcomes: Outcomes | Errors | None = None
    _columns: tuple[raw_rows.FeatureColumn, ...] = ()
    _known: tuple[tuple[str, str], ...] = ()
    _run: object = None
    _saved: tuple[int, int] = (0, 0)

    @property
    def facts(self) -> FactStore:
        """The store that its rows are in."""
        found = self.store()
        if found is None:
            raise StoreUnavailable("the facts were closed while they were read: run it again")
        return found

    @property
    def length(self) -> int:
        """Days of the reference."""
        return self.reference.length // DAY

    @property
    def channels(self) -> list[Channel]:
        """Every channel in force, in the order of ``strengths``."""
        return [one.channel for one in (*self.watched, *self.watched_late)]

    def grow(self, until: int, ahead: int, run: object) -> None:
        """Make sure that day ``until - 1`` is judged; days up to ``ahead`` are complete and may be read with it."""
        if run is not self._run:
            if self._run is None:
                self._restore()
            self._run = run
            self._forget(min(self.settled, self._first_changed()))
            self._save()
        while self.days < until and not self.blind:
            self._extend(min(max(until, ahead), self.days + STRETCH if self.days else self.length))
        self.settled = max(self.settled, until)

    def window(self, day: int) -> Window:
        """Give the span of a day."""
        start = self.reference.start + day * DAY
        return Window(start, start + DAY)

    def rows_of(self, day: int) -> float:
        """Give how many predictions a day had."""
        return self.requests[day]

    def _extend(self, until: int) -> None:
        span = Window(self.window(self.days).start, self.window(until).start)
        counted = self._requests(span, until - self.days)
        self._columns = self._known_columns()
        rows = self._rows(span, counted)
        if self._profile is None:
            self.blind = _is_gone(rows, counted)
            if self.blind:
                return
            self._profile = profile.learn(rows)
            self._known = tuple((one.role, one.name) for one in self._columns)
        channels = self._profile.channels()
        found = self._profile.measure(rows, until - self.days, reference=self.days == 0)
        _append(self.table, self._in_their_type(self._profile, found, until), channels)
        if not self.watched:
            self.watched = strength.watch(channels, self.table, self.length)
        self.requests += counted
        self.days = until
        self._learn_delay()
        self._extend_late()
        self._judge()

    def _known_columns(self) -> tuple[raw_rows.FeatureColumn, ...]:
        """Find what the reference had, in the type that it had there, by the tables of now."""
        found = raw_rows.feature_columns(self.facts, self.pair, self.reference.end)
        return tuple(one for one in found if self._profile is None or (one.role, one.name) in self._known)

    def _in_their_type(self, learned: Profile, table: Table, until: int) -> Table:
        """Leave out the days on which a feature was kept in another type."""
        turned = {one.name: one for one in self._columns if one.role == "feature" and (one.since or one.ended)}
        for part in learned.inputs:
            if part.name in turned:
                held = np.array([turned[part.name].holds(self.window(day)) for day in range(self.days, until)])
                for channel in part.channels():
                    one = table[channel.name]
                    values = np.where(held, one.values, np.nan)
                    table[channel.name] = replace(one, values=values, rows=np.where(held, one.rows, 0.0))
        return table

    def _rows(self, span: Window, counted: Sequence[int]) -> Rows:
        keep = min(1.0, MOST_ROWS / max(*counted, 1))
        return self._named(raw_rows.prediction_rows(self.facts, self.pair, span, self._columns, keep), span)

    def _named(self, frame: pl.DataFrame, span: Window) -> Rows:
        ts = pl.col("ts")
        frame = frame.with_columns(
            ((ts - stored(span.start)).dt.total_seconds() // 86_400).cast(pl.Int64).alias("day"),
            (ts.dt.hour() + ts.dt.minute() / 60).alias("hour"),
        )
        here = [one for one in self._columns if one.column in frame.columns]
        return Rows(
            frame,
            {one.name: one.column for one in here if (one.role, one.kind) == ("feature", "numeric")},
            {one.name: one.column for one in here if (one.role, one.kind) == ("feature", "category")},
            {one.name: one.column for one in here if one.role == "segment"},
        )

    def _requests(self, span: Window, days: int) -> list[int]:
        frame = self.facts.read(
            """SELECT date_diff('day', $start_ts::TIMESTAMP, bucket) AS day, sum(requests)::BIGINT AS n
               FROM traffic_hour WHERE service = $service AND model = $model AND dim = ''
                 AND bucket >= $start_ts AND bucket < $end_ts GROUP BY ALL""",
            {
                "service": self.pair[0],
                "model": self.pair[1],
                "start_ts": stored(span.start),
                "end_ts": stored(span.end),
            },
        )
        known = dict(frame.iter_rows())
        return [int(known.get(day, 0)) for day in range(days)]

    def _learn_delay(self) -> None:
        """Find the first day on which nine of ten outcomes of the reference were known, by what was known then."""
        if self.delay is not None or self.days <= self.length:
            return
        span = self.days - self.length
        delays = raw_rows.outcome_delays(self.facts, self.pair, self.reference)
        delay, known = delays["delay"].to_numpy(), delays["known"].to_numpy()
        for days in range(min(span, MOST_DELAY) + 1):
            seen = delay[known <= days]
            if seen.size >= MIN_KNOWN and math.ceil(float(np.quantile(seen, LATE_QUANTILE)) - 1e-6) <= days:
                self.delay = days
                return

    def _extend_late(self) -> None:
        """Measure the days whose outcomes have become known by the end of the last day."""
        if self.delay is None or self._profile is None:
            return
        until = self.days - self.delay
        first = self.late == 0
        if until <= self.late or (first and until < self.length):
            return
        span = Window(self.window(self.late).start, self.window(until).start)
        keep = min(1.0, MOST_ROWS / max(*self.requests[self.late : until], 1))
        segments = [one for one in self._columns if one.role == "segment"]
        frame = raw_rows.outcome_rows(self.facts, self.pair, span, segments, self.delay * DAY, keep)
        rows = self._named(frame, span)
        if first:
            days = rows.frame["day"].to_numpy()
            self._outcomes = profile.learn_outcomes(rows.only(days < self.length), self._profile)
        if self._outcomes is None:
            self.late = until
            return
        _append(self.table, self._outcomes.measure(rows, Days.of(rows, until - self.late)), self._outcomes.channels())
        self.late = until
        if first:
            self.watched_late = strength.watch(list(self._outcomes.channels()), self.table, self.length)

    def _judge(self) -> None:
        """Judge the days that are measured and not judged: each by what was measured up to it."""
        first = self.length + len(self.states)
        if self.days <= first:
            return
        found = strength.log_chances(self.watched, self.table, self.length, first)
        parts = [found] if self.watched else []
        if self.watched_late and self.delay is not None:
            parts.append(self._late_chances(first))
        count = self.days - first
        joined = np.concatenate(parts) if parts else np.zeros((0, count))
        bounds = np.full(count, incident.limit(self.alerts_per_month, len(self.watched)))
        if self.delay is not None and self.watched_late:
            ready = np.arange(first, self.days) >= self.length + self.delay
            bounds[ready] = incident.limit(self.alerts_per_month, len(joined))
        self.log_chances = _beside(self.log_chances, joined)
        self.strengths = _beside(self.strengths, incident.strengths(joined, bounds))
        channels = self.channels
        for place in range(len(self.states), len(self.states) + count):
            calm = not bool((self.strengths[:, place] > 1).any())
            subjects = [] if calm else incident.active(channels, self.strengths, place)
            before = self.states[-1] if self.states else State()
            state, alerts = incident.step(before, self.length + place, subjects, calm=calm)
            if alerts:
                state, alerts = incident.with_others(state, alerts, incident.near(channels, self.strengths, place))
            self.states.append(state)
            self.alerts.append(alerts)

    def _late_chances(self, first: int) -> Floats:
        """Give what outcomes say on each day: of the rows that are ``delay`` days old."""
        delay = self.delay or 0
        begin = max(first - delay, self.length)
        found = strength.log_chances(self.watched_late, self.table, self.length, begin)
        empty = self.days - first - found.shape[1]
        return np.concatenate([np.zeros((found.shape[0], empty)), found], axis=1)

    def _first_changed(self) -> int:
        """Find the first of the last days that has other rows now than when it was measured."""
        start = max(self.settled - RECHECKED, self.length)
        if self.settled <= start:
            return self.settled
        now = self._requests(Window(self.window(start).start, self.window(self.settled).start), self.settled - start)
        changed = (start + place for place, n in enumerate(now) if n != self.requests[start + place])
        return next(changed, self.settled)

    @property
    def _scope(self) -> measured.Scope:
        return measured.Scope(*self.pair, self.reference.end, course_kept.FORM)

    def _save(self) -> None:
        """Keep what was measured since the last time."""
        late = self.late if self._outcomes else 0
        if self._profile is None or self._saved == (self.days, late):
            return
        learned = course_kept.Learned.of(self._profile, self._outcomes, self.delay, self._known, self.table)
        of_outcomes = [channel.name for channel in self._outcomes.channels()] if self._outcomes else []
        others = [name for name in self.table if name not in of_outcomes]
        requests = np.array(self.requests, dtype=np.float64)
        counted = {course_kept.REQUESTS: Measured(np.full(self.days, np.nan), requests)}
        since, late_since = self._saved
        parts = (
            course_kept.rows(counted, list(counted), since, self.days, late=False),
            course_kept.rows(self.table, others, since, self.days, late=False),
            course_kept.rows(self.table, of_outcomes, late_since, late, late=True),
        )
        measured.write(self.facts, self._scope, learned.text(), since, late_since, pl.concat(parts))
        self._saved = self.days, late

    def _restore(self) -> None:
        """Go on where a course of the same reference was kept; one that is not whole is measured anew."""
        found = measured.read(self.facts, self._scope)
        if found is None:
            return
        learned = course_kept.read(found[0])
        table = course_kept.table_of(found[1], learned)
        counted = table.pop(course_kept.REQUESTS, None)
        outcomes = learned.outcomes or learned.errors
        now = [channel.name for channel in learned.profile.channels()]
        then = [channel.name for channel in outcomes.channels()] if outcomes else []
        lengths = [{table[name].values.size if name in table else 0 for name in names} for names in (now, then)]
        if counted is None or lengths[0] != {counted.rows.size} or len(lengths[1]) > 1:
            return
        self._profile, self._outcomes, self.delay = learned.profile, outcomes, learned.delay
        self._known, self.table = learned.columns, table
        self.requests = [int(n) for n in counted.rows.tolist()]
        self.days, self.late = counted.rows.size, max(lengths[1], default=0)
        self.watched = strength.watch(learned.profile.channels(), table, self.length)
        if outcomes and self.late:
            self.watched_late = strength.watch(list(outcomes.channels()), table, self.length)
        self.settled, self._saved = self.days, (self.days, self.late)
        self._judge()

    def _forget(self, until: int) -> None:
        """Go back to the end of day ``until - 1``; the reference stays."""
        if until >= self.days:
            return
        until = max(until, self.length)
        late = min(self.late, max(until - (self.delay or 0), 0))
        late = late if late >= self.length else 0
        of_outcomes = {channel.name for channel in self._outcomes.channels()} if self._outcomes else set[str]()
        if late == 0:
            self.delay, self.watched_late, self._outcomes = None, [], None
        for name, one in list(self.table.items()):
            stop = late if name in of_outcomes else until
            if stop == 0:
                del self.table[name]
                continue
            self.table[name] = replace(one, values=one.values[:stop], rows=one.rows[:stop])
        self.days, self.late = until, late
        self._saved = min(self._saved[0], until), min(self._saved[1], late)
        del self.requests[until:]
        judged = until - self.length
        del self.states[judged:], self.alerts[judged:]
        self.strengths = self.strengths[: len(self.channels), :judged]
        self.log_chances = self.log_chances[: len(self.channels), :judged]


def _is_gone(rows: Rows, counted: Sequence[int]) -> bool:
    """Whether over a tenth of the reference was on days of which no rows are left: retention has let go of them."""
    left = set(rows.frame["day"].unique())
    return sum(n for day, n in enumerate(counted) if day not in left) > GONE * sum(counted)


def _append(table: Table, more: Table, channels: Iterable[Channel]) -> None:
    for name in (channel.name for channel in channels):
        added = more[name]
        before = table.get(name)
        if before is None:
            table[name] = added
        else:
            values = np.concatenate([before.values, added.values])
            table[name] = replace(before, values=values, rows=np.concatenate([before.rows, added.rows]))


def _beside(before: Floats, more: Floats) -> Floats:
    """Put new days after the old ones; channels that are new said nothing before."""
    if before.shape[1] == 0:
        return more
    padded = np.zeros((more.shape[0], before.shape[1]))
    padded[: before.shape[0]] = before
    return np.concatenate([padded, more], axis=1)
