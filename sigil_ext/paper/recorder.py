"""What minutes leave behind, written in the transaction that the caller holds: one minute's, or those of a group.

Everything carries the minute that it belongs to, so that a group leaves the rows that its minutes would have left one by
one. Never decides, never commits. Start at `Recorder.write`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sigil_ext.bridge.paper_host import Ended
from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.journal import Journal, RecordedSession, Request
from sigil_ext.db.minute_store import MinuteStore, Operation
from sigil_ext.db.outbox import Outbox
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.paper.alerts import Alert
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, FeedEvent

KEPT_EVENTS = frozenset({"lost", "back", "late", "revised", "hole_filled", "hole_left", "stale", "fresh", "halted", "clock_skew", "rate_limited"})  # fmt: skip


@dataclass(slots=True)
class MinuteRecord:
    """Everything that one minute has to leave in the database."""

    minute: ClosedMinute
    operations: list[Operation] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    closings: list[tuple[Request, Ended]] = field(default_factory=list)
    done: list[tuple[Request, str]] = field(default_factory=list)
    events: list[FeedEvent] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    worth: tuple[float, float, int] | None = None

    @property
    def end_ms(self) -> int:
        return self.minute.open_ms + MINUTE_MS

    @property
    def urgent(self) -> bool:
        """Return whether somebody waits for it, so that it must not wait for other minutes: an act, an alert, a trip."""
        return bool(self.done or self.alerts) or any(op.kind == "trip" for op in self.operations)


class Recorder:
    """Writes the records of one session's minutes."""

    def __init__(self, database: Database, feed: str, bar_ms: int) -> None:
        """Args: bar_ms: length of the bar on which the session decides."""
        self._database, self._feed, self._bar_ms = database, feed, bar_ms
        self._journal, self._heartbeat, self._outbox = Journal(database), Heartbeat(database), Outbox(database)

    def write(self, session: RecordedSession, store: MinuteStore, records: Sequence[MinuteRecord]) -> None:
        """Write what `records`, minutes in their order, and the operations that wait in `store` have to leave.

        Raises:
            DatabaseUnavailable: the server is lost, or was within one of the minutes.
        """
        if store.lost:
            raise DatabaseUnavailable(f"lost the {self._database.address.place} within a minute")
        store.drain()
        self._write_minutes(session, [r for r in records if r.minute.candles])
        # What a person closes between two minutes changes what the wallet is worth at the end of the last one.
        worth = [(r.end_ms, *r.worth) for r in records if r.worth is not None and (r.minute.candles or r.ended)]
        if worth:
            self._journal.write_equity(worth)
        for record in records:
            self._write_acts(session, record)
            self.write_events(session, record.events)
            for alert in record.alerts:
                self.put(alert)

    def write_events(self, session: RecordedSession, events: Sequence[FeedEvent]) -> None:
        """Write what the feed met, as far as it is kept."""
        kept = [(e.at_ms, e.kind, e.symbol, e.detail) for e in events if e.kind in KEPT_EVENTS]
        if kept:
            self._journal.write_feed_events(session, kept)

    def put(self, alert: Alert) -> None:
        """Put an alert into the outbox."""
        title, body = alert.message.title, alert.message.body
        self._outbox.put(alert.event, at=alert.at, title=title, body=body, reason=alert.reason, key=alert.key)

    def _write_minutes(self, session: RecordedSession, records: Sequence[MinuteRecord]) -> None:
        if not records:
            return
        self._journal.write(session, [r.minute for r in records])
        # Live, the scan job beats; it knows nothing of minutes that are caught up with.
        scanned = any((self._feed == "replay" or r.minute.downtime) and r.end_ms % self._bar_ms == 0 for r in records)
        self._heartbeat.progress(records[-1].minute.open_ms, session_id=session.id, feed=self._feed, scanned=scanned)

    def _write_acts(self, session: RecordedSession, record: MinuteRecord) -> None:
        for request, ended in record.closings:
            # A minute without candles is not recorded; the closing belongs to the last one that was.
            place = record.minute.open_ms if record.minute.candles else self._last_recorded(session)
            self._journal.write_closing(session, place, ended.trade.symbol, request.exit_reason)
        for request, outcome in record.done:
            self._journal.done(request, outcome)

    def _last_recorded(self, session: RecordedSession) -> int:
        last = self._journal.last_minute(session)
        return session.start_ms - MINUTE_MS if last is None else last
