"""The heartbeat of one variant: when its scanner last began and ended, how far the session is, which process it is.

Every time is the database's clock at the moment of the write, never this machine's, so that the probe compares like with
like. Every write joins the caller's transaction if there is one: a heartbeat then says what was committed with it. Never
judges; `rules.liveness` does. Start at `Heartbeat`.

Whoever scans less often than every 25 minutes is stale to the probe: a scan job that has nothing to do yet beats too.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sigil_ext.db.connection import Database

SessionState = Literal["running", "feed_lost", "stopped", "ended"]


@dataclass(frozen=True, slots=True)
class HeartbeatRow:
    """The row as it stands, and the database's clock when it was read. All times aware, UTC; None: never written."""

    last_scan_start: datetime | None
    last_scan_end: datetime | None
    updated_at: datetime
    last_candle: datetime | None
    """End of the last minute processed, by the market's clock."""
    last_write: datetime | None
    session_id: int | None
    pid: int | None
    host: str | None
    feed: str | None
    state: SessionState | None
    session_began: datetime | None
    """When the recorded session was begun; restarts of it do not count."""
    now: datetime


class Heartbeat:
    """The heartbeat row of the database's variant. Raises DatabaseUnavailable when the server is lost."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def scan_started(self) -> None:
        """Note that a scan begins. Commit it before the work, or a scan that hangs is never seen to have begun."""
        self._write(last_scan_start=_CLOCK)

    def scan_ended(self) -> None:
        """Note that the scan is done."""
        self._write(last_scan_end=_CLOCK)

    def progress(self, open_ms: int, *, session_id: int, feed: str, scanned: bool = False) -> None:
        """Note that the minute that opened at `open_ms` (Unix, ms) is processed.

        The same minute again is no progress and leaves `last_write` as it was.

        Args:
            scanned: a scan began and ended within it, or would have if one had been due.
        """
        scan = (", last_scan_start, last_scan_end", ", clock_timestamp(), clock_timestamp()") if scanned else ("", "")
        kept = ", last_scan_start = EXCLUDED.last_scan_start, last_scan_end = EXCLUDED.last_scan_end" if scanned else ""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO scanner_heartbeat AS h (variant_id, updated_at, last_write, last_candle, session_id, feed"
                f"{scan[0]}) VALUES (%s, clock_timestamp(), clock_timestamp(), to_timestamp(%s / 1000.0), %s, %s{scan[1]})"
                " ON CONFLICT (variant_id) DO UPDATE SET updated_at = EXCLUDED.updated_at, feed = EXCLUDED.feed,"
                " last_candle = EXCLUDED.last_candle, session_id = EXCLUDED.session_id,"
                " last_write = CASE WHEN (h.last_candle, h.session_id)"
                " IS DISTINCT FROM (EXCLUDED.last_candle, EXCLUDED.session_id)"
                f" THEN EXCLUDED.last_write ELSE h.last_write END{kept}",
                (self.database.variant, open_ms + 60_000, session_id, feed),
            )

    def state(self, state: SessionState, *, session_id: int, feed: str) -> None:
        """Note that the session of this process runs, waits for a lost feed, was stopped and may go on, or has ended."""
        self._write(
            state=("%s", state), session_id=("%s", session_id), feed=("%s", feed),
            pid=("%s", os.getpid()), host=("%s", socket.gethostname()),
        )  # fmt: skip

    def read(self) -> HeartbeatRow | None:
        """Return the row with the database's clock, None if nothing was ever written."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT h.last_scan_start, h.last_scan_end, h.updated_at, h.last_candle, h.last_write, h.session_id,"
                " h.pid, h.host, h.feed, h.state, s.started_at, clock_timestamp()"
                " FROM scanner_heartbeat h LEFT JOIN paper_sessions s ON s.id = h.session_id WHERE h.variant_id = %s",
                (self.database.variant,),
            )
            row = cur.fetchone()
        return HeartbeatRow(*row) if row else None

    def _write(self, **columns: tuple[str, Any] | tuple[str]) -> None:
        names = ", ".join(columns)
        values = ", ".join(value[0] for value in columns.values())
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns)
        with self.database.transaction() as cur:
            cur.execute(
                f"INSERT INTO scanner_heartbeat (variant_id, updated_at, {names})"
                f" VALUES (%s, clock_timestamp(), {values})"
                f" ON CONFLICT (variant_id) DO UPDATE SET updated_at = EXCLUDED.updated_at, {updates}",
                (self.database.variant, *(argument for value in columns.values() for argument in value[1:])),
            )


_CLOCK = ("clock_timestamp()",)  # not now(): a scan within one transaction would begin and end at the same instant
