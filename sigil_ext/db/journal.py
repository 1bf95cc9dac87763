"""The record of a paper session: its pool and warm-up, and every minute it processed, candles to the last float.

Written in the transaction of the minute. Never decides anything. Start at `Journal`.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg2
from numpy.typing import NDArray

from sigil_ext.db.connection import Database
from sigil_ext.errors import LockHeld

Row = Sequence[float]
SESSION_LOCK = 0x5349_4749_4C01  # not the key of a variant's entries: those are taken within the session


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A paper session that has not ended."""

    id: int
    settings: Mapping[str, Any]
    symbols: tuple[str, ...]
    start_ms: int
    warmup: Mapping[str, NDArray[np.float64]]


class Journal:
    """Sessions and minutes of one variant's database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def lock(self) -> psycopg2.extensions.connection:
        """Return a connection that holds the variant's session lock until it is closed.

        Raises:
            LockHeld: another session of the variant runs.
        """
        link = self.database.connect()
        link.autocommit = True
        with link.cursor() as cur:
            cur.execute("SELECT pg_try_advisory_lock(%s)", (SESSION_LOCK,))
            row = cur.fetchone()
        if not row or not row[0]:
            link.close()
            raise LockHeld(f"a paper session of variant '{self.database.variant}' runs already; stop it first")
        return link

    def running(self) -> RecordedSession | None:
        """Return the session that has not ended, or None."""
        with self.database.transaction() as cur:
            cur.execute("SELECT id, settings, symbols, start_ms, warmup FROM paper_sessions WHERE ended_at IS NULL")
            row = cur.fetchone()
        if row is None:
            return None
        with np.load(io.BytesIO(zlib.decompress(bytes(row[4]))), allow_pickle=False) as packed:
            warmup = {name: packed[name] for name in packed.files}
        return RecordedSession(row[0], row[1], tuple(row[2]), row[3], warmup)

    def begin(
        self, settings: Mapping[str, Any], symbols: Sequence[str], start_ms: int,
        warmup: Mapping[str, NDArray[np.float64]],
    ) -> RecordedSession:  # fmt: skip
        """Record a new session and return it."""
        packed = io.BytesIO()
        np.savez(packed, **{symbol: rows for symbol, rows in warmup.items()})
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO paper_sessions (settings, symbols, start_ms, warmup) VALUES (%s, %s, %s, %s) RETURNING id",
                (json.dumps(dict(settings)), list(symbols), start_ms, zlib.compress(packed.getvalue(), 1)),
            )
            number = int(cur.fetchone()[0])  # type: ignore[index]
        return RecordedSession(number, settings, tuple(symbols), start_ms, warmup)

    def end(self, session: RecordedSession) -> None:
        """Close the record: the next start begins a new session."""
        with self.database.transaction() as cur:
            cur.execute("UPDATE paper_sessions SET ended_at = now() WHERE id = %s", (session.id,))

    def write(self, session: RecordedSession, open_ms: int, candles: Mapping[str, Row]) -> None:
        """Record a processed minute, in the transaction that the caller holds."""
        number = {symbol: i for i, symbol in enumerate(session.symbols)}
        rows = np.array([[number[s], *row[1:]] for s, row in sorted(candles.items())], dtype=np.float64)
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO paper_minutes (session_id, open_ms, candles) VALUES (%s, %s, %s)",
                (session.id, open_ms, psycopg2.Binary(rows.tobytes())),
            )

    def minutes(self, session: RecordedSession) -> Iterator[tuple[int, dict[str, Row]]]:
        """Yield (open time, candles by symbol) of every recorded minute, oldest first."""
        link = self.database.connect()
        try:
            with link.cursor(name="minutes") as cur:
                cur.itersize = 5000
                cur.execute(
                    "SELECT open_ms, candles FROM paper_minutes WHERE session_id = %s ORDER BY open_ms", (session.id,)
                )
                for open_ms, packed in cur:
                    rows = np.frombuffer(bytes(packed), dtype=np.float64).reshape(-1, 6)
                    yield open_ms, {session.symbols[int(r[0])]: (float(open_ms), *r[1:]) for r in rows}
        finally:
            link.close()

    def entries(self, session: RecordedSession) -> dict[tuple[str, int], int]:
        """Return (symbol as stored, ms of the entry) -> position id of every position since the session began."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT symbol, (extract(epoch FROM opened_at) * 1000)::bigint, id FROM micro_positions"
                " WHERE variant_id = %s AND opened_at >= to_timestamp(%s / 1000.0) AND status <> 'superseded'",
                (self.database.variant, session.start_ms),
            )
            return {(row[0], row[1]): row[2] for row in cur.fetchall()}

    def scans(self, session: RecordedSession) -> dict[int, int]:
        """Return ms -> id of every scan since the session began."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT (extract(epoch FROM at) * 1000)::bigint, max(id) FROM universe_scans"
                " WHERE at >= to_timestamp(%s / 1000.0) GROUP BY 1",
                (session.start_ms,),
            )
            return dict(cur.fetchall())
