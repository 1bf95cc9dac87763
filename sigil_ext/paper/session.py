"""A paper session: closed minutes in, one transaction a minute, recovery from what was recorded.

The minute's candles, every fill, stop, refusal, scan and protection, the heartbeat and the alerts are committed together or
not at all: a process that is killed at any instant has either processed a minute or not begun it. Minutes of a recording at
full speed may share a transaction (`minute_group.py`), which ends at the latest with one that somebody waits for. Start at
`PaperSession.process`; `loop.py` feeds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from psycopg2.extensions import connection

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat, SessionState
from sigil_ext.db.journal import Journal, RecordedSession, Request
from sigil_ext.db.outbox import Outbox
from sigil_ext.errors import DatabaseUnavailable, LockHeld, UsageError
from sigil_ext.instants import utc
from sigil_ext.paper.alerts import Alert, EmptyScans, alerts_of, feed_alerts, protection_alerts
from sigil_ext.paper.checkpoints import Checkpoints
from sigil_ext.paper.conduct import Beginning, Conduct
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, FeedEvent
from sigil_ext.paper.feed_outage import FeedOutage
from sigil_ext.paper.hosts import SessionHost, Subject, bar_minutes, begin, go_live, new_host, same_subject
from sigil_ext.paper.minute_group import MinuteGroup
from sigil_ext.paper.recorder import MinuteRecord, Recorder
from sigil_ext.paper.requests import Requests
from sigil_ext.rules import messages
from sigil_ext.rules.types import Protection

SAY_EVERY_S = 60.0
LOCK_PATIENCE = timedelta(seconds=60)

log = structlog.get_logger("sigil.paper")


class PaperSession:
    """One variant's session in this process, or that of a strategy of the user's own, which `hosts.py` tells apart.

    Holds the variant's lock from `open` to `close`. One thread at a time.
    """

    def __init__(
        self,
        variant: Subject,
        database: Database,
        conduct: Conduct,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Args: now: the feed's clock."""
        self.variant = variant
        self.database = database
        self.conduct = conduct
        self.journal = Journal(database)
        self.heartbeat = Heartbeat(database)
        self._bar_ms = bar_minutes(variant) * MINUTE_MS
        self._recorder = Recorder(database, conduct.feed, self._bar_ms)
        self._group = MinuteGroup(database, conduct.group)
        self._outage = FeedOutage(variant.name, conduct.feed, now)
        self._empty_scans = EmptyScans()
        self._requests = Requests(self.journal, variant.name, conduct.feed)
        self._checkpoints = Checkpoints(self.journal, variant.name)
        self.processed = self.rebuilt = 0
        self.last_ms: int | None = None
        self.lost_since: datetime | None = None
        self._now = now
        self._kept: list[tuple[ClosedMinute, list[FeedEvent]]] = []
        self._whole = False
        self._decided_ms = 0
        self._link: connection | None = None
        self.host: SessionHost
        self._hosted = False
        self._said = time.monotonic()
        self._untold: list[FeedEvent] = []

    @property
    def ahead(self) -> bool:
        """Whether minutes were processed that were not committed and never will be; `reopen` goes back to them."""
        return self._group.ahead

    # --- begin and end --------------------------------------------------------------------------------------------

    def open(self, beginning: Beginning | None) -> None:
        """Take the variant's lock and come to the state after the last recorded minute, or begin anew.

        Raises:
            LockHeld: a session of the variant runs already. UsageError: the recorded session had other settings or
            another feed, or there is none and no `beginning`.
        """
        self._link = self._lock()
        try:
            recorded = self.journal.running()
            if recorded is None:
                if beginning is None:
                    raise UsageError(f"variant '{self.variant.name}' has no paper session to go on with")
                recorded = begin(
                    self.variant, self.journal, beginning.symbols, beginning.start_ms, beginning.warmup,
                    feed=self.conduct.feed, trades_from_ms=beginning.trades_from_ms,
                )  # fmt: skip
            same_subject(self.variant, recorded)
            self.recorded: RecordedSession = recorded
            self._recover()
            with self.database.one_transaction(self._link):
                self.heartbeat.state("running", session_id=recorded.id, feed=self.conduct.feed)
                if self.conduct.alerts:
                    cash, held, count = self.host.worth()
                    self._recorder.put(Alert("start", self._now(), messages.start(
                        feed=self.conduct.feed, symbols=len(recorded.symbols), equity_usd=cash + held,
                        open_positions=count, resumed=self.last_ms is not None,
                    )))  # fmt: skip
        except BaseException:
            self.close()
            raise

    def reopen(self) -> None:
        """Begin again from the record, after the database was lost and time stood still."""
        self.close()
        self._kept, self.lost_since = [], None
        self.open(None)

    def stopped(self, why: str) -> None:
        """Note that the session stops and may go on later."""
        with self.database.one_transaction(self._link):
            self.heartbeat.state("stopped", session_id=self.recorded.id, feed=self.conduct.feed)
            if self.conduct.alerts:
                cash, held, count = self.host.worth()
                message = messages.stop(why=why, minutes=self.processed, equity_usd=cash + held, open_positions=count)
                self._recorder.put(Alert("stop", self._now(), message))

    def finish(self) -> None:
        """Close what is open at the last price, as a backtest does at its end, and end the record."""
        self.settle()
        self.store.begin()
        with self.database.one_transaction(self._link):
            for position, trade in self.host.finish():
                if trade.mae_r is not None:
                    self.store.note_excursions(position, trade.mae_r, trade.mfe_r or 0.0)
            self.store.drain()
            if self.store.lost:
                raise DatabaseUnavailable("the database was lost while the session ended; start it again to end it")
            if self.last_ms is not None:
                self.journal.write_equity([(self.last_ms + MINUTE_MS, *self.host.worth())])
            self.journal.end(self.recorded)
            self.heartbeat.state("ended", session_id=self.recorded.id, feed=self.conduct.feed)

    def close(self) -> None:
        """Give the lock back, when a checkpoint that is being written is there."""
        self._checkpoints.wait()
        if self._link is not None:
            self._link.close()
            self._link = None

    # --- a minute -------------------------------------------------------------------------------------------------

    def process(self, minute: ClosedMinute, events: Sequence[FeedEvent] = ()) -> None:
        """Process one closed minute and commit it, or leave that to `settle` where minutes share a transaction.

        Raises:
            DatabaseUnavailable: a patient session lost its database; call `reopen` when it is back.
            LockHeld: another session took over while the database was away.
        """
        events = [*self._untold, *events]
        self._untold = []
        waited_for_feed = self._outage.told
        if self.lost_since is not None:
            self.try_return()
        if self.lost_since is None:
            try:
                if self._group.most > 1:
                    self._gather(minute, events)
                else:
                    self._write(minute, events)
            except DatabaseUnavailable as error:
                if self.conduct.patient:
                    raise
                self._lose(error)
        if self.lost_since is not None:
            self._track(minute, events)
        self.last_ms = minute.open_ms
        if self._group.most == 1:
            self.processed += 1
        try:
            if waited_for_feed and not self._outage.told and self.lost_since is None:
                self._say("running")
            self._save_checkpoint(minute.open_ms)
        except DatabaseUnavailable as error:
            if self.conduct.patient:
                raise
            self._lose(error)

    def _write(self, minute: ClosedMinute, events: Sequence[FeedEvent]) -> None:
        record = MinuteRecord(minute, events=list(events))
        with self.database.one_transaction(self._link, savepoints=False):
            self._decide(record)
            self._recorder.write(self.recorded, self.store, [record])

    # --- minutes that share a transaction -------------------------------------------------------------------------

    def _gather(self, minute: ClosedMinute, events: Sequence[FeedEvent]) -> None:
        """Decide a minute in the transaction of those before it, and commit them all when it is time."""
        assert self._link is not None
        record = MinuteRecord(minute, events=list(events))
        with self._group.part(self._link):
            self._decide(record)
            if self.store.lost:
                raise DatabaseUnavailable(f"lost the {self.database.address.place} within a minute")
        if self._group.add(record):
            self.settle()

    def settle(self) -> None:
        """Commit the minutes that were processed and not committed yet, in one transaction.

        Raises:
            DatabaseUnavailable: none of them is known to be committed; call `reopen` when the server is back.
        """
        if self._group:
            assert self._link is not None
            self.processed += self._group.commit(
                self._link, lambda records: self._recorder.write(self.recorded, self.store, records)
            )

    def reopen_ungrouped(self) -> None:
        """As `reopen`, and from then on each minute in its own transaction: one of a group could not be processed."""
        self._group.most = 1
        self.reopen()

    def _track(self, minute: ClosedMinute, events: Sequence[FeedEvent]) -> None:
        """Follow a minute in memory while the database is lost, and keep it: it is processed again when it is back."""
        if not self._kept or self._kept[-1][0].open_ms < minute.open_ms:
            self._kept.append((minute, list(events)))
        if self._whole and self._decided_ms < minute.open_ms:
            self._decide(MinuteRecord(minute))

    def try_return(self) -> bool:
        """Take a lost database up again if it is back; return whether it is.

        The session is rebuilt from its record, so that what was not committed never was. Then the minutes since are
        processed and written, their exits too; entries are refused in them, since nobody wrote them when it was time.

        Raises:
            LockHeld: another session of the variant took over meanwhile.
        """
        if self.lost_since is None:
            return True
        try:
            self.close()
            self._link = self._lock()
            self._recover()
            self.store.refuse_entries = True
            while self._kept:
                minute, events = self._kept[0]
                if self.last_ms is None or minute.open_ms > self.last_ms:
                    self._write(minute, events)
                    self.last_ms = minute.open_ms
                self._kept.pop(0)
            self.store.refuse_entries = False
        except LockHeld:
            # The server may not know yet that the old connection is dead, and keep its lock for a while.
            if self._now() - self.lost_since > LOCK_PATIENCE:
                raise
            return False
        except DatabaseUnavailable:
            self.store.lost = True
            return False
        since, self.lost_since = self.lost_since, None
        log.warning("database back", variant=self.variant.name, lost_since=since.isoformat())
        return True

    def _decide(self, record: MinuteRecord) -> None:
        """Let the market happen, and do what people asked for. A database that is lost meanwhile is noted, not raised."""
        minute = record.minute
        self.store.begin(goes_on=bool(self._group))
        touched = {s: self.store.protection(s) for s in self._held()} if self.conduct.alerts else {}
        entered = set(self._held()) if minute.downtime else set()
        record.operations = self.store.operations
        if minute.candles:
            record.ended = self.host.minute(minute.open_ms, minute.candles)
        self._decided_ms = minute.open_ms
        for request in self._asked_for():
            self._requests.obey(request, self.host, self._held(), record)
        for position, trade in record.ended:
            if trade.mae_r is not None:
                self.store.note_excursions(position, trade.mae_r, trade.mfe_r or 0.0)
        if minute.downtime:
            self._mark_downtime(record, entered)
        if record.ended or (minute.open_ms + MINUTE_MS) % self._bar_ms == 0:
            record.worth = self.host.worth()
        if self.conduct.alerts:
            at = utc(minute.open_ms + MINUTE_MS)
            after: dict[str, Protection | None] = {s: self.store.protection(s) for s in touched}
            ident = self.recorded.id
            record.alerts += alerts_of(record.operations, record.ended, at, downtime=minute.downtime, session=ident)
            record.alerts += self._empty_scans.alerts(record.operations, ident)
            record.alerts += protection_alerts(record.ended, touched, after, at)
            record.alerts += feed_alerts(record.events)
            record.alerts += self._outage.end(record.events, ident)
        self._outage.follow(record.events)

    def _asked_for(self) -> list[Request]:
        if self.store.lost:
            return []
        try:
            return self._requests.waiting()
        except DatabaseUnavailable:
            self.store.lost = True
            return []

    def wait(self, events: Sequence[FeedEvent]) -> None:
        """Between two minutes: tell what the feed met, do what people asked for, say that the session lives."""
        self._untold += events
        if self.lost_since is not None and not self.try_return():
            return
        try:
            if self._untold:
                self._tell(self._untold)
                self._untold = []
            self._feed_is_lost()
            self.obey_now()
        except DatabaseUnavailable as error:
            if self.conduct.patient:
                raise
            self._lose(error)

    def _tell(self, events: Sequence[FeedEvent]) -> None:
        told = self._outage.told
        with self.database.one_transaction(self._link):
            self._recorder.write_events(self.recorded, events)
            if self.conduct.alerts:
                for alert in (*feed_alerts(events), *self._outage.end(events, self.recorded.id)):
                    self._recorder.put(alert)
        self._outage.follow(events)
        if told and not self._outage.told:
            self._say("running")

    def _feed_is_lost(self) -> None:
        """Tell people once that the feed has been lost for a while, and say every minute that the session lives."""
        since = self._outage.lasting()
        if since is None:
            return
        if not self._outage.told:
            if self.conduct.alerts:
                with self.database.one_transaction(self._link):
                    self._recorder.put(self._outage.alert(since, self.recorded.id))
            self._outage.told = True
            self._say("feed_lost")
        elif time.monotonic() - self._said > SAY_EVERY_S:
            self._say("feed_lost")

    def _say(self, state: SessionState) -> None:
        with self.database.one_transaction(self._link):
            self.heartbeat.state(state, session_id=self.recorded.id, feed=self.conduct.feed)
        self._said = time.monotonic()

    def obey_now(self) -> None:
        """Do what people asked for since the last minute, at the last price; a live session asks between minutes."""
        if self.lost_since is not None:
            return
        last = self.recorded.start_ms - MINUTE_MS if self.last_ms is None else self.last_ms
        record = MinuteRecord(ClosedMinute(last, {}))
        try:
            if not self.journal.requests():
                return
            with self.database.one_transaction(self._link, savepoints=False):
                self._decide(record)
                self._recorder.write(self.recorded, self.store, [record])
        except DatabaseUnavailable as error:
            if self.conduct.patient:
                raise
            self._lose(error)

    def _mark_downtime(self, record: MinuteRecord, held_before: set[str]) -> None:
        for position, _ in record.ended:
            self.store.note_downtime(position)
        for symbol, position in self.host.held().items():
            if symbol not in held_before:
                self.store.note_downtime(position)

    # --- recovery -------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        recorded = self.recorded
        self.journal.close_gaps()
        self._empty_scans.recall(Outbox(self.database), recorded.id)
        closings = self.journal.closings(recorded)
        found = self.journal.checkpoint(recorded)
        self._whole = False
        if self._hosted:
            self.host.host.close()  # Jesse's state is process-wide: the old host ends where the new one begins
        self.host = new_host(self.variant, self.journal, recorded, found[1] if found else None)
        self._hosted = True
        if found and self.host.refused:
            log.warning("checkpoint not used", variant=self.variant.name, why=self.host.refused)
            found = None
        self.last_ms = found[0] if found else None
        self._checkpoints.go_on_from(self.last_ms)
        self.rebuilt = 0
        for open_ms, candles in self.journal.minutes(recorded, self.last_ms):
            self.host.minute(open_ms, candles)
            for symbol, reason in closings.get(open_ms, ()):
                self.host.close(symbol, reason)
            self.last_ms, self.rebuilt = open_ms, self.rebuilt + 1
        self.store = go_live(self.host, self.journal)
        self._whole, self._decided_ms = True, self.last_ms or 0
        self._group.forget()

    def _save_checkpoint(self, open_ms: int) -> None:
        """Save the state now and then, after the minute's commit: a restart without it would only take longer."""
        if self.lost_since is None and self._checkpoints.is_due(self.recorded, open_ms, grouped=self._group.most > 1):
            self.settle()  # a checkpoint must not know of minutes that the record does not
            self._checkpoints.save(self.recorded, open_ms, self.host.save)

    # --- own ------------------------------------------------------------------------------------------------------

    def _lock(self) -> connection:
        # Nothing is lost where a commit does not wait for the disk: a minute that did not reach it is fed again.
        return self.journal.lock(durable=self.conduct.durable)

    def _lose(self, error: DatabaseUnavailable) -> None:
        if self.lost_since is None:
            self.lost_since = self._now()
            log.error("database lost", variant=self.variant.name, detail=str(error))
        self.store.lost = True

    def _held(self) -> list[str]:
        return [*self.host.held(), *self.host.found()]
