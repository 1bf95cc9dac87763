"""What the probe asks of a variant's database and leaves there: a row for each run. Incidents are kept by incidents.py.

Start at `ProbeLog`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from psycopg2.extensions import cursor

from sigil_ext.db.connection import Database
from sigil_ext.db.journal import SESSION_LOCK

STATEMENT_LIMIT_S = 10
LOCK_LIMIT_S = 5
KEPT_DAYS = 90


class ProbeLog:
    """The probe's rows in one variant's database. Every method raises DatabaseUnavailable when the server is lost."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @contextlib.contextmanager
    def bounded(self) -> Iterator[cursor]:
        """One transaction in which no statement may take long: whoever looks at what hangs must not hang with it."""
        with self.database.one_transaction() as cur:
            cur.execute(f"SET LOCAL statement_timeout = '{STATEMENT_LIMIT_S}s'")
            cur.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT_S}s'")
            yield cur

    def clock(self) -> datetime:
        """Return the database's clock."""
        with self.database.transaction() as cur:
            cur.execute("SELECT clock_timestamp()")
            row = cur.fetchone()
        assert row is not None
        now: datetime = row[0]
        return now

    def last_run(self) -> datetime | None:
        """Return when the probe last ran, by the database's clock, from whatever machine; None if it never did."""
        with self.database.transaction() as cur:
            cur.execute("SELECT at FROM probe_runs ORDER BY id DESC LIMIT 1")
            row = cur.fetchone()
        return row[0] if row else None

    def session_connected(self) -> bool:
        """Return whether a process holds the variant's session lock now: dead and hung are told apart by it."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND classid::bigint = %s AND objid::bigint = %s)",
                (SESSION_LOCK >> 32, SESSION_LOCK & 0xFFFF_FFFF),
            )
            row = cur.fetchone()
        return bool(row and row[0])

    def note_run(self, *, host: str, findings: Sequence[Mapping[str, str]], took_ms: int) -> None:
        """Leave the trace of a run; traces older than 90 days go."""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO probe_runs (at, host, findings, took_ms) VALUES (clock_timestamp(), %s, %s, %s)",
                (host, json.dumps(list(findings)), took_ms),
            )
            cur.execute("DELETE FROM probe_runs WHERE at < now() - make_interval(days => %s)", (KEPT_DAYS,))
