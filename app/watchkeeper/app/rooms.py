"""Opens the stores and starts the rooms in order; stops them in the reverse order."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from watchkeeper.alerts.alertmanager.inlet import AlertInlet
from watchkeeper.alerts.api.respond import Responding
from watchkeeper.alerts.delivery.heartbeats import Heartbeats
from watchkeeper.alerts.delivery.repeating import Repeater
from watchkeeper.alerts.delivery.sender import Sender
from watchkeeper.alerts.delivery.sender_loop import SenderLoop
from watchkeeper.alerts.incidents.intake import record
from watchkeeper.alerts.incidents.rounds import Rounds, RoundsLoop
from watchkeeper.alerts.messages.links import Links
from watchkeeper.analyzers.clockwork import Clockwork
from watchkeeper.analyzers.data import silence
from watchkeeper.analyzers.evaluation import Evaluation, Reading, settings_for
from watchkeeper.analyzers.registry import discover
from watchkeeper.analyzers.schedule import Schedule
from watchkeeper.analyzers.slo_own import OWN
from watchkeeper.app import heap
from watchkeeper.app.declaring import apply_to, make_data_folder
from watchkeeper.app.leading import Leader
from watchkeeper.app.metrics import AlertCounts
from watchkeeper.app.telemetry import booked, snapshot
from watchkeeper.app.upkeep import Upkeep
from watchkeeper.collector.inbox import Inbox
from watchkeeper.collector.loader import InboxLoader
from watchkeeper.collector.pollers.gpu import GpuPoller
from watchkeeper.schemas.declared import Declarations
from watchkeeper.schemas.errors import Unavailable
from watchkeeper.schemas.findings import Finding, Window
from watchkeeper.schemas.settings import Settings
from watchkeeper.store.clock import Clock, EventClock, stored, wall
from watchkeeper.store.control import (
    alert_journal,
    declared,
    groups,
    incidents,
    outbox,
    received,
    silences,
    watermarks,
)
from watchkeeper.store.control import findings as stored_findings
from watchkeeper.store.control.connection import Control, open_control
from watchkeeper.store.control.leases import LeaseLost
from watchkeeper.store.control.records import Phase
from watchkeeper.store.facts import readings, references, telemetry
from watchkeeper.store.facts.connection import FactStore
from watchkeeper.store.facts.load import Loader
from watchkeeper.store.facts.reader import FactReader

log = logging.getLogger("watchkeeper.server")
OPEN = (Phase.PENDING, Phase.FIRING)
DRAIN_SECONDS = 120.0
UPKEEP_EVERY = timedelta(hours=1)
CHANGE_LOOKBACK = timedelta(days=14)
TELEMETRY_EVERY = timedelta(minutes=1)


URGENT = ("slo.burn_rate",)
"""Who looks at every tick: a page must not wait for the end of its minute."""

BEGUN = "begun"
"""The watermark that says when evaluation began here; what is older was caught up, and is not late."""


class _Ending(Exception):
    """The server stops: leave the catch-up where it is, its watermarks say where to go on."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The three stores of one data directory."""

    inbox: Inbox
    facts: FactStore
    control: Control


def open_stores(settings: Settings) -> Stores:
    """Open (or make) the stores; another server on the same folder is refused by the facts' lock."""
    make_data_folder(settings)
    limits = settings.ingest
    facts = FactStore(settings.data_dir / "facts.duckdb")
    control = open_control(settings.control_url)
    inbox = Inbox(
        settings.data_dir / "inbox.db",
        queue_bytes=limits.queue_bytes,
        queue_requests=limits.queue_requests,
        backlog_bytes=limits.backlog_bytes,
    )
    return Stores(inbox, facts, control)


class Rooms:
    """Everything that runs in the server's process besides HTTP."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self.settings = settings
        self.stores = stores
        self.reader = FactReader(stores.facts)
        self._event_clock = EventClock() if settings.server.clock == "events" else None
        self.clock: Clock = self._event_clock or wall
        self.links = Links(settings.server.dashboard_url)
        self.responding = Responding(stores.control, settings.public_url)
        self.upkeep = Upkeep(
            settings, stores.facts, stores.control, self.clock, self.declarations, stores.inbox.copy, self.drain
        )
        self.loader = InboxLoader(
            stores.inbox,
            Loader(stores.facts, self.clock, lambda: self.upkeep.policy),
            max_rows=settings.loader.max_rows,
            max_age=settings.loader.max_age_seconds,
            ingest=settings.ingest,
            loaded=self._loaded,
        )
        self.poller = GpuPoller(stores.inbox, settings.gpu.targets, settings.gpu.interval_seconds)
        beats = Heartbeats(stores.control, self.stuck)
        sender = Sender(stores.control, _holder(settings), responding=self.responding)
        self._sender = SenderLoop(sender, wall, beside=[Repeater(stores.control).run_once, beats.run_once])
        live = self._event_clock is None
        self._rounds = RoundsLoop(
            Rounds(stores.control, self.declarations, self.links, self._last_change, live),
            self.clock,
            self._sender.wake,
            busy=lambda: self.alert_inlet.busy,
        )
        self.alert_inlet = AlertInlet(stores.control, self._rounds.wake)
        stores.inbox.number_after(self.loader.touched)
        self._schedule: Schedule | None = None
        self._leader = Leader(stores.control, _holder(settings), wall)
        self._term: int = 0
        self._begun: datetime | None = None
        self._telemetry_at = datetime.fromtimestamp(0, UTC)
        self._evaluated_at = time.monotonic()
        self._ending = threading.Event()
        self._daily = Clockwork("upkeep", self.upkeep.daily, UPKEEP_EVERY)
        tick = timedelta(seconds=settings.schedule.tick_seconds)
        self._clockwork = Clockwork("evaluation", self._tick, tick)
        # Beside the analyzers: a long round of theirs must not look as if nobody had been there to hear.
        self._looks = Clockwork("looks", self._note_telemetry, tick)

    def start(self) -> None:
        """Apply the declared folder, load what an earlier run left, then start every thread."""
        if self.settings.control.declared_dir:
            apply_to(self.stores.control, Path(self.settings.control.declared_dir))
        self.upkeep.renew()
        self.loader.load_pending()
        self._remember_time()
        self.loader.start()
        self.poller.start()
        self._sender.start()
        self._rounds.start()
        self._looks.start()
        self._clockwork.start()
        self._daily.start()

    def stop(self) -> None:
        """Take nothing new, finish what is at hand, close the stores."""
        self._ending.set()
        self._daily.stop()
        self._clockwork.stop()
        self._looks.stop()
        self.poller.stop()
        self.alert_inlet.close()
        self._rounds.stop()
        self._sender.stop()
        self.stores.inbox.close()
        self.loader.stop()
        with contextlib.suppress(Unavailable):
            self._leader.release()
        self.stores.control.close()
        self.stores.facts.close()

    def drain(self) -> None:
        """Wait until everything that was answered by now is loaded, and leave no trace of it in the inbox."""
        if not self.loader.alive:
            self.loader.load_pending()
        until, deadline = self.stores.inbox.newest(), time.monotonic() + DRAIN_SECONDS
        while self.stores.inbox.waits(until):
            if time.monotonic() > deadline:
                raise Unavailable("the loader is behind: what waits in the inbox must be loaded first. Try again later")
            time.sleep(0.02)
        self.stores.inbox.scrub()

    def declarations(self) -> Declarations:
        """Give what is in force."""
        with self.stores.control.snapshot() as tx:
            return declared.current(tx)

    def not_ready(self) -> str | None:
        """Say why events are not taken, or None."""
        return None if self.loader.alive else "the loader has stopped: see the log, then restart the server"

    def parameters(self, analyzer: str) -> Mapping[str, object]:
        """Give the parameters of an analyzer that are in force where no monitor of one service sets others."""
        known = discover().get(analyzer)
        return {} if known is None else settings_for(known, self.declarations(), "", "").params

    def stuck(self, longest: timedelta) -> str | None:
        """Say what of the chain from event to message has not moved for so long, or None."""
        oldest = self.stores.inbox.status().oldest_us
        if not self.loader.alive:
            return "the loader has stopped"
        waits = timedelta(0) if oldest is None else timedelta(seconds=time.time(), microseconds=-oldest)
        if waits > longest:
            return f"the loader is behind: events wait for {waits.total_seconds():.0f} s"
        quiet = timedelta(seconds=time.monotonic() - self._evaluated_at)
        if quiet > longest:
            return f"the analyzers have not come to an end for {quiet.total_seconds():.0f} s"
        with self.stores.control.snapshot() as tx:
            overdue = groups.due(tx, self.clock() - longest, 1)
        return "the rounds are behind: groups wait to be told" if overdue else None

    def alert_counts(self) -> AlertCounts:
        """Count incidents and messages for the metrics."""
        with self.stores.control.snapshot() as tx:
            listed = incidents.listed(tx, states=OPEN, limit=None)
            backlog, attempts = outbox.backlog(tx), outbox.attempts(tx)
            silenced = len(silences.active(tx, self.clock()))
            posted, untaken = alert_journal.backlog(tx), received.count_waiting(tx)
        states = Counter((i.state.value, i.told_severity.value if i.told_severity else "") for i in listed)
        oldest = max(0.0, (wall() - backlog.oldest).total_seconds()) if backlog.oldest else 0.0
        waiting = {"waiting": backlog.waiting, "dead": backlog.dead}
        came_in = {"journal": posted.alerts, "applied": untaken}
        return AlertCounts(dict(states), waiting, attempts, oldest, silenced, came_in)

    def evaluated_to(self) -> datetime | None:
        """Give the time up to which every analyzer has looked; None before the first round."""
        return self._schedule.evaluated_to if self._schedule else None

    def _loaded(self, newest: datetime) -> None:
        if self._event_clock is not None:
            self._event_clock.advance(newest)

    def _remember_time(self) -> None:
        """Let an event clock go on where the stored events end."""
        rows = self.stores.facts.read("SELECT max(ts) AS newest FROM predictions")
        newest = rows["newest"].item()
        if self._event_clock is not None and isinstance(newest, datetime):
            self._event_clock.advance(newest.replace(tzinfo=wall().tzinfo))

    def _tick(self) -> None:
        term = self._leader.leads()
        if term is None:
            self._evaluated_at = time.monotonic()  # another server does it
            return
        if self._schedule is None or term != self._term:  # another server evaluated: what is remembered is old
            self._schedule, self._term = self._make_schedule(), term
        try:
            with contextlib.suppress(_Ending):
                if self._schedule.run_due():
                    heap.give_back()
                self._evaluated_at = time.monotonic()
        except LeaseLost as lost:
            log.warning("%s", lost)
            self._schedule = None

    def _note_telemetry(self) -> None:
        """Copy the ledger of telemetry to the facts, where the analyzers see it; a replay has no ledger of its time."""
        now = self.clock()
        if self._event_clock is not None or timedelta(0) <= now - self._telemetry_at < TELEMETRY_EVERY:
            return
        oldest = self.stores.inbox.status().oldest_us
        loaded_to = now if oldest is None else min(now, datetime.fromtimestamp(oldest / 1e6, UTC))
        books = snapshot(self.stores.inbox.clients())
        others = telemetry.arrivals(self.stores.facts, booked(books, now), now)
        telemetry.write(self.stores.facts, pl.concat([books, others], how="diagonal_relaxed"), now, loaded_to)
        self._telemetry_at = now

    def _make_schedule(self) -> Schedule:
        with self.stores.control.transaction() as tx:
            self._begun = watermarks.get(tx, "schedule", BEGUN)
            if self._begun is None:
                self._begun = wall()
                watermarks.put(tx, "schedule", self._begun, BEGUN)
        with self.stores.control.snapshot() as tx:
            marks = {analyzer: at for (analyzer, subject), at in watermarks.every(tx).items() if not subject}
            members = [m for incident in incidents.listed(tx, states=OPEN, limit=None) for m in incident.members]
            known = stored_findings.get(tx, [member.last_key for member in members if member.active])
        return Schedule(
            discover(),
            self.reader,
            self.declarations,
            self.clock,
            self._sink,
            marks,
            maintain=self._maintain,
            min_every=timedelta(seconds=self.settings.schedule.min_every_seconds),
            open_findings=known.values(),
            urgent=URGENT if self._event_clock is None else (),
            without_events={silence.ANALYZER.name} if self._event_clock is None else (),
        )

    def _maintain(self, as_of: datetime) -> None:
        """Make the references that are due; called before each time, so here a catch-up of weeks can be left."""
        if self._ending.is_set():
            raise _Ending
        reference = self.settings.reference
        for service, model in references.make_due(self.stores.facts, as_of, reference.days, reference.min_rows):
            log.info("kept the first %d days of %s / %s as its reference", reference.days, service, model)

    def _sink(self, evaluations: Sequence[Evaluation], marks: Mapping[str, datetime]) -> None:
        """Store one time's evaluations: readings among the facts, then all that is decided in one transaction."""
        computed = [reading for evaluation in evaluations for reading in evaluation.readings]
        readings.write(self.stores.facts, reading_frame([*computed, *self._lag(max(marks.values()))]))
        found: list[Finding] = [finding for evaluation in evaluations for finding in evaluation.findings]
        changes = record(
            self.stores.control,
            found,
            self.declarations(),
            max(marks.values()),
            self.links,
            watermarks=marks,
            last_change=self._last_change,
            now=wall(),
            waits=self._event_clock is None,
            also=self._leader.guard,
        )
        self._evaluated_at = time.monotonic()
        if any(change.receivers for change in changes):
            self._sender.wake()

    def _lag(self, at: datetime) -> list[Reading]:
        """Say how late this look is, for the objective on our own evaluation; history that is caught up is not late."""
        if self._event_clock is not None or self._begun is None or at < self._begun:
            return []
        late = (wall() - at).total_seconds()
        window = Window(at - timedelta(minutes=1), at)
        return [Reading("schedule", "evaluation_lag", OWN.service, "schedule", "evaluation", window, at, late)]

    def _last_change(self, service: str, model: str, before: datetime) -> str | None:
        rows = self.reader.changes(service, Window(before - CHANGE_LOOKBACK, before))
        rows = rows.filter(pl.col("model").is_null() | (pl.col("model") == model))
        if rows.height == 0:
            return None
        last = rows.row(-1, named=True)
        return f"{last['kind']} “{last['title']}” on {last['ts']:%d %b %H:%M} UTC (a candidate, not a proof)"


def _holder(settings: Settings) -> str:
    """Name this server among those that share the control data: the same after a restart, and no other has it."""
    return f"{socket.gethostname()}:{settings.data_dir.resolve()}"


def reading_frame(rows: Sequence[Reading]) -> pl.DataFrame:
    """Give readings as the columns that the store keeps."""
    names = (
        "analyzer",
        "metric",
        "service",
        "model",
        "subject",
        "value",
        "lower",
        "upper",
        "n",
        "maturity",
        "reference",
        "against",
    )
    columns: dict[str, list[object]] = {name: [getattr(row, name) for row in rows] for name in names}
    columns["window_start"] = [stored(row.window.start) for row in rows]
    columns["window_end"] = [stored(row.window.end) for row in rows]
    columns["as_of"] = [stored(row.as_of) for row in rows]
    return pl.DataFrame(columns, schema_overrides={n: t for n, t in readings.READING_COLUMNS.items() if n in columns})
