"""The record of a paper session: its pool and warm-up, and every minute it processed, candles to the last float.

Written in the transaction of the minute. Never decides anything. Start at `Journal`.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Protocol

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2.extras import execute_values

from sigil_ext.db.connection import Database
from sigil_ext.db.recorded_minutes import CANDLE_BYTES, RecordedMinutes
from sigil_ext.errors import LockHeld
from sigil_ext.rules.types import ExitReason

Row = Sequence[float]
SESSION_LOCK = 0x5349_4749_4C01  # not the key of a variant's entries: those are taken within the session


class Minute(Protocol):
    """What is recorded of a minute: its open time, its candles in Jesse's column order, and whether it was caught up with."""

    @property
    def open_ms(self) -> int: ...
    @property
    def candles(self) -> Mapping[str, Row]: ...
    @property
    def downtime(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """A paper session that has not ended."""

    id: int
    settings: Mapping[str, Any]
    symbols: tuple[str, ...]
    start_ms: int
    warmup: Mapping[str, NDArray[np.float64]]
    feed: str = "replay"
    trades_from_ms: int | None = None
    cash: float | None = None
    adopted: tuple[Mapping[str, Any], ...] = ()
    positions_after: int = 0
    strategy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked a session to do: `close` one symbol (as Jesse writes it) or `flatten`."""

    id: int
    act: str
    symbol: str | None
    exit_reason: ExitReason
    actor: str
    reason: str


class Journal:
    """Sessions and minutes of one variant's database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def lock(self, *, durable: bool = True) -> psycopg2.extensions.connection:
        """Return a connection that holds the variant's session lock until it is closed. A lost one has lost the lock.

        Args:
            durable: False: its commits do not wait for the disk; what a crash of the server takes is the newest of them.
        Raises:
            LockHeld: another session of the variant runs.
        """
        link = self.database.connect()
        with self.database.one_transaction(link) as cur:  # a session's lock outlives the transaction
            if not durable:
                cur.execute("SET synchronous_commit TO OFF")
            cur.execute("SELECT pg_try_advisory_lock(%s)", (SESSION_LOCK,))
            row = cur.fetchone()
        if not row or not row[0]:
            link.close()
            raise LockHeld(f"a paper session of variant '{self.database.variant}' runs already; stop it first")
        return link

    def hold_sessions(self) -> None:
        """Let no session begin or end until the caller's transaction is over; minutes go on."""
        with self.database.transaction() as cur:
            cur.execute("LOCK TABLE paper_sessions IN SHARE MODE")

    def running(self) -> RecordedSession | None:
        """Return the session that has not ended, or None."""
        with self.database.transaction() as cur:
            cur.execute(f"SELECT {_SESSION} FROM paper_sessions WHERE ended_at IS NULL")
            row = cur.fetchone()
        return _read_session(row, self.database) if row else None

    def session(self, number: int) -> RecordedSession | None:
        """Return a session, ended or not, or None."""
        with self.database.transaction() as cur:
            cur.execute(f"SELECT {_SESSION} FROM paper_sessions WHERE id = %s", (number,))
            row = cur.fetchone()
        return _read_session(row, self.database) if row else None

    def last(self) -> int | None:
        """Return the number of the newest session, ended or not; None where there never was one."""
        with self.database.transaction() as cur:
            cur.execute("SELECT max(id) FROM paper_sessions")
            row = cur.fetchone()
        return row[0] if row else None

    def begin(
        self, settings: Mapping[str, Any], symbols: Sequence[str], start_ms: int,
        warmup: Mapping[str, NDArray[np.float64]], *, feed: str = "replay", trades_from_ms: int | None = None,
        cash: float | None = None, adopted: Sequence[Mapping[str, Any]] = (), strategy: Mapping[str, Any] | None = None,
    ) -> RecordedSession:  # fmt: skip
        """Record a new session and return it. `strategy`: what runs where it is not a variant."""
        packed = io.BytesIO()
        np.savez(packed, **{symbol: rows for symbol, rows in warmup.items()})
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO paper_sessions (settings, symbols, start_ms, warmup, feed, trades_from_ms, cash_usd, adopted,"
                " strategy, positions_after) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s,"
                " (SELECT coalesce(max(id), 0) FROM micro_positions)) RETURNING id, positions_after",
                (
                    json.dumps(dict(settings)), list(symbols), start_ms, zlib.compress(packed.getvalue(), 1), feed,
                    trades_from_ms, cash, json.dumps([dict(a) for a in adopted]),
                    None if strategy is None else json.dumps(dict(strategy)),
                ),
            )  # fmt: skip
            number, after = cur.fetchone()  # type: ignore[misc]
        return RecordedSession(
            number,
            settings,
            tuple(symbols),
            start_ms,
            warmup,
            feed,
            trades_from_ms,
            cash,
            tuple(adopted),
            after,
            strategy,
        )

    def end(self, session: RecordedSession) -> None:
        """Close the record: the next start begins a new session."""
        with self.database.transaction() as cur:
            cur.execute("UPDATE paper_sessions SET ended_at = now() WHERE id = %s", (session.id,))

    def write(self, session: RecordedSession, minutes: Sequence[Minute]) -> None:
        """Record processed minutes, in the transaction that the caller holds."""
        packed = _packed_candles(session.symbols, minutes)
        copied = [_COPY_HEADER]
        for minute, candles in zip(minutes, packed, strict=True):
            copied += (_COPY_ROW.pack(4, 8, session.id, 8, minute.open_ms, len(candles)), candles)
            copied.append(_COPY_ROW_END.pack(1, minute.downtime))
        copied.append(_COPY_TRAILER)
        with self.database.transaction() as cur:
            # In binary: as text, the driver and the server take five times as long over the floats.
            cur.copy_expert(
                "COPY paper_minutes (session_id, open_ms, candles, downtime) FROM STDIN (FORMAT binary)",
                io.BytesIO(b"".join(copied)), size=_COPY_PIECE,
            )  # fmt: skip

    def has(self, session: RecordedSession, open_ms: int) -> bool:
        """Return whether the minute was recorded: a commit whose answer was lost may have been one."""
        with self.database.transaction() as cur:
            cur.execute("SELECT 1 FROM paper_minutes WHERE session_id = %s AND open_ms = %s", (session.id, open_ms))
            return cur.fetchone() is not None

    def last_minute(self, session: RecordedSession) -> int | None:
        """Return the open time of the last recorded minute, or None."""
        with self.database.transaction() as cur:
            cur.execute("SELECT max(open_ms) FROM paper_minutes WHERE session_id = %s", (session.id,))
            row = cur.fetchone()
        return row[0] if row else None

    def minutes(self, session: RecordedSession, after_ms: int | None = None) -> Iterator[tuple[int, dict[str, Row]]]:
        """Yield (open time, candles by symbol) of every recorded minute after `after_ms`, oldest first.

        Raises:
            DamagedRecord: a minute is not what was written.
        """
        recorded = RecordedMinutes(self.database.variant, session.id, len(session.symbols))
        link = self.database.connect()
        try:
            with self.database.explained(link), link.cursor(name="minutes") as cur:
                cur.itersize = 5000
                cur.execute(
                    "SELECT open_ms, candles FROM paper_minutes WHERE session_id = %s AND open_ms > %s ORDER BY open_ms",
                    (session.id, -1 if after_ms is None else after_ms),
                )
                for open_ms, packed in cur:
                    rows = recorded.unpack(open_ms, packed)
                    yield open_ms, {session.symbols[int(r[0])]: (float(open_ms), *r[1:]) for r in rows}
        finally:
            link.close()

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def save_checkpoint(self, session: RecordedSession, open_ms: int, state: bytes) -> None:
        """Keep the state after minute `open_ms`; all but the newest two are dropped."""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO paper_checkpoints (session_id, open_ms, state) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (session.id, open_ms, psycopg2.Binary(state)),
            )
            cur.execute(
                "DELETE FROM paper_checkpoints WHERE session_id <> %(id)s OR open_ms NOT IN (SELECT open_ms FROM"
                " paper_checkpoints WHERE session_id = %(id)s ORDER BY open_ms DESC LIMIT 2)",
                {"id": session.id},
            )

    def checkpoint(self, session: RecordedSession) -> tuple[int, bytes] | None:
        """Return (open time of its minute, state) of the newest checkpoint, or None."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT open_ms, state FROM paper_checkpoints WHERE session_id = %s ORDER BY open_ms DESC LIMIT 1",
                (session.id,),
            )
            row = cur.fetchone()
        return (row[0], bytes(row[1])) if row else None

    # --- requests of people ---------------------------------------------------------------------------------------

    def ask(self, act: str, symbol: str | None, exit_reason: ExitReason, *, actor: str, reason: str) -> int:
        """Ask the session to close a symbol or to flatten; return the number of the request."""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO session_requests (actor, act, symbol, exit_reason, reason) VALUES (%s, %s, %s, %s, %s)"
                " RETURNING id",
                (actor, act, symbol, exit_reason, reason),
            )
            return int(cur.fetchone()[0])  # type: ignore[index]

    def requests(self) -> list[Request]:
        """Return what was asked for and not done yet, oldest first."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT id, act, symbol, exit_reason, actor, reason FROM session_requests WHERE done_at IS NULL ORDER BY id"
            )
            return [Request(*row) for row in cur.fetchall()]

    def request(self, number: int) -> Request:
        """Return a request by its number."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT id, act, symbol, exit_reason, actor, reason FROM session_requests WHERE id = %s", (number,)
            )
            return Request(*cur.fetchone())  # type: ignore[misc]

    def outcome(self, number: int) -> str | None:
        """Return what came of a request, None while it waits."""
        with self.database.transaction() as cur:
            cur.execute("SELECT outcome FROM session_requests WHERE id = %s", (number,))
            row = cur.fetchone()
        return row[0] if row else None

    def done(self, request: Request, outcome: str) -> None:
        """Note what came of a request; it is not asked again."""
        with self.database.transaction() as cur:
            cur.execute(
                "UPDATE session_requests SET done_at = clock_timestamp(), outcome = %s WHERE id = %s",
                (outcome, request.id),
            )

    def write_closing(self, session: RecordedSession, open_ms: int, symbol: str, exit_reason: ExitReason) -> None:
        """Record that a position was closed by hand after a minute, so that a rebuild closes it there too."""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO paper_closings (session_id, open_ms, symbol, exit_reason) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (session.id, open_ms, symbol, exit_reason),
            )

    def closings(self, session: RecordedSession) -> dict[int, list[tuple[str, ExitReason]]]:
        """Return open time of a minute -> [(symbol, exit reason)] of what was closed by hand after it."""
        found: dict[int, list[tuple[str, ExitReason]]] = {}
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT open_ms, symbol, exit_reason FROM paper_closings WHERE session_id = %s ORDER BY open_ms, symbol",
                (session.id,),
            )
            for open_ms, symbol, reason in cur.fetchall():
                found.setdefault(open_ms, []).append((symbol, reason))
        return found

    # --- what happened around it ----------------------------------------------------------------------------------

    def write_feed_events(self, session: RecordedSession, events: Sequence[tuple[int, str, str | None, str]]) -> None:
        """Record (ms, kind, symbol, detail) of what the feed met."""
        with self.database.transaction() as cur:
            execute_values(
                cur, "INSERT INTO feed_events (session_id, at, kind, symbol, detail) VALUES %s",
                [(session.id, at, kind, symbol, detail) for at, kind, symbol, detail in events],
                template="(%s, to_timestamp(%s / 1000.0), %s, %s, %s)",
            )  # fmt: skip

    def realized(self, *, after: int = 0) -> float:
        """Return what all closed positions of both tables brought, USD; of the variant's own those numbered after `after`."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT coalesce((SELECT sum(pnl_usd) FROM micro_positions"
                " WHERE variant_id = %s AND id > %s AND status = 'closed'), 0)"
                " + coalesce((SELECT sum(pnl_usd) FROM paper_positions WHERE status = 'closed'), 0)",
                (self.database.variant, after),
            )
            return float(cur.fetchone()[0])  # type: ignore[index]

    def write_equity(self, snapshots: Sequence[tuple[int, float, float, int]]) -> None:
        """Record what the wallet is worth at the end of minutes: (ms, cash in USD, positions in USD, how many)."""
        with self.database.transaction() as cur:
            execute_values(
                cur, "INSERT INTO equity_snapshots (at, cash_usd, positions_usd, equity_usd, open_positions) VALUES %s"
                " ON CONFLICT (at) DO UPDATE SET"
                " cash_usd = EXCLUDED.cash_usd, positions_usd = EXCLUDED.positions_usd,"
                " equity_usd = EXCLUDED.equity_usd, open_positions = EXCLUDED.open_positions",
                [(at_ms, cash, held, cash + held, count) for at_ms, cash, held, count in snapshots],
                template="(to_timestamp(%s / 1000.0), %s, %s, %s, %s)", page_size=1000,
            )  # fmt: skip

    def close_gaps(self) -> None:
        """Number the next scan after the last one there is: minutes that were undone leave holes, and ids would differ."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT setval(pg_get_serial_sequence('universe_scans', 'id'), coalesce(max(id), 0) + 1, false)"
                " FROM universe_scans"
            )

    def entries(self, session: RecordedSession) -> dict[tuple[str, int], int]:
        """Return (symbol as stored, ms of the entry) -> position id of every position since the session began."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT symbol, (extract(epoch FROM opened_at) * 1000)::bigint, id FROM micro_positions"
                " WHERE variant_id = %s AND opened_at >= to_timestamp(%s / 1000.0) AND id > %s AND status <> 'superseded'",
                (self.database.variant, session.start_ms, session.positions_after),
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


# PostgreSQL's binary COPY: fields a row, then the length of each and its bytes, big-endian
# (https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format").
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ROW = struct.Struct(">hiqiqi")
_COPY_ROW_END = struct.Struct(">i?")
_COPY_TRAILER = b"\xff\xff"
_COPY_PIECE = 1 << 20


def _packed_candles(symbols: Sequence[str], minutes: Sequence[Minute]) -> list[bytes]:
    """Return each minute's candles as they are kept: six floats a symbol, by its name, its place in `symbols` for the time."""
    place = {symbol: i for i, symbol in enumerate(symbols)}
    names: list[str] = []
    rows: list[Row] = []
    ends = [0]
    for minute in minutes:
        by_name = sorted(minute.candles)
        names += by_name
        rows += map(minute.candles.__getitem__, by_name)
        ends.append(len(rows) * CANDLE_BYTES)
    # One call for all floats: numpy takes twice as long to make an array of them.
    floats = bytearray(struct.pack(f"{6 * len(rows)}d", *chain.from_iterable(rows)))
    np.frombuffer(floats)[::6] = [place[name] for name in names]
    return [bytes(floats[start:stop]) for start, stop in pairwise(ends)]


_SESSION = "id, settings, symbols, start_ms, feed, trades_from_ms, cash_usd, adopted, positions_after, strategy"


def _read_session(row: Sequence[Any], database: Database) -> RecordedSession:
    number, settings, symbols, start_ms, feed, trades_from_ms, cash, adopted, after, strategy = row
    return RecordedSession(
        number, settings, tuple(symbols), start_ms, _Warmup(database, number), feed, trades_from_ms, cash, tuple(adopted),
        after, strategy,
    )  # fmt: skip


class _Warmup(Mapping[str, NDArray[np.float64]]):
    """The candles before a session, read when they are asked for: a restart from a checkpoint has no use for them."""

    def __init__(self, database: Database, session: int) -> None:
        self._database, self._session = database, session

    @cached_property
    def _candles(self) -> dict[str, NDArray[np.float64]]:
        with self._database.transaction() as cur:
            cur.execute("SELECT warmup FROM paper_sessions WHERE id = %s", (self._session,))
            packed = cur.fetchone()
        assert packed is not None
        with np.load(io.BytesIO(zlib.decompress(bytes(packed[0]))), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def __getitem__(self, symbol: str) -> NDArray[np.float64]:
        return self._candles[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._candles)

    def __len__(self) -> int:
        return len(self._candles)
