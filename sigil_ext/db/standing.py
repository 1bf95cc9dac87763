"""One variant at a glance, read in one read-only transaction that nothing may hold up for long. Start at `read_standing`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat, HeartbeatRow
from sigil_ext.db.journal import SESSION_LOCK
from sigil_ext.db.panel import rows
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.queries import load
from sigil_ext.db.resting import resting
from sigil_ext.rules.types import Breaker

STATEMENT_LIMIT_S = 4
_STATUS = load("status")


@dataclass(frozen=True, slots=True)
class Equity:
    """The last snapshot of the wallet, USD."""

    at: datetime
    cash_usd: float
    positions_usd: float
    equity_usd: float


@dataclass(frozen=True, slots=True)
class LastScan:
    """The last scan: how many symbols of how many may be entered."""

    id: int
    at: datetime
    accepted: int
    pool: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What the last audit of paper against backtest found."""

    at: datetime
    since: datetime
    until: datetime
    matched: int
    paper_only: int
    backtest_only: int
    differing: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that is wrong now, and since when."""

    key: str
    opened_at: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one variant stands; None is what was never written.

    `now` is the database's clock. `market_now` is the end of the last candle for a replay, else `now`: locks and today's
    P&L are judged by it. `connected` says that a process holds the session's lock. `rests`: why nothing is expected of it.
    """

    now: datetime
    server_version: int
    size_bytes: int
    market_now: datetime
    heartbeat: HeartbeatRow | None
    connected: bool
    session_open: bool
    scan: LastScan | None
    equity: Equity | None
    open_positions: int
    closed_positions: int
    pnl_usd: float
    pnl_today_usd: float
    bans: int
    cooldowns: int
    breaker: Breaker
    alerts_waiting: int
    alerts_waiting_since: datetime | None
    alerts_given_up: int
    incidents: tuple[Incident, ...]
    audit: Audit | None
    probed_at: datetime | None
    rests: str | None


def market_now(database: Database) -> datetime:
    """Return the time that locks are judged at: the end of the last candle of a replay, else the database's clock."""
    now, last_candle, feed = rows(database, "clock", variant=database.variant)[0]
    at: datetime = last_candle if feed == "replay" and last_candle is not None else now
    return at


def read_standing(database: Database) -> Standing:
    """Return where the variant of `database` stands; its schema has to be the newest.

    Raises:
        DatabaseUnavailable: the server was lost. psycopg2.Error: a statement took too long, or a table is missing.
    """
    with database.one_transaction() as cur:
        cur.execute("SET TRANSACTION READ ONLY")
        cur.execute(f"SET LOCAL statement_timeout = '{STATEMENT_LIMIT_S}s'")
        cur.execute(f"SET LOCAL lock_timeout = '{STATEMENT_LIMIT_S}s'")
        now, version, size, session_open = _row(cur, "server")
        heartbeat = Heartbeat(database).read()
        market_now = (heartbeat.last_candle if heartbeat and heartbeat.feed == "replay" else None) or now
        at = {"at": market_now, "variant": database.variant, "key": SESSION_LOCK}
        (connected,) = _row(cur, "session_lock", at)
        opened, closed, pnl, today = _row(cur, "pnl", at)
        bans, cooldowns = _row(cur, "protections", at)
        waiting, since, given_up = _row(cur, "alerts")
        scan, equity = _maybe(cur, "last_scan"), _maybe(cur, "equity")
        audit, probed = _maybe(cur, "last_audit"), _maybe(cur, "last_probe")
        cur.execute(_STATUS["incidents"])
        incidents = tuple(Incident(*row) for row in cur.fetchall())
        return Standing(
            now=now,
            server_version=version,
            size_bytes=size,
            market_now=market_now,
            heartbeat=heartbeat,
            connected=connected,
            session_open=session_open,
            scan=LastScan(*scan) if scan else None,
            equity=Equity(*equity) if equity else None,
            open_positions=opened,
            closed_positions=closed,
            pnl_usd=float(pnl),
            pnl_today_usd=float(today),
            bans=bans,
            cooldowns=cooldowns,
            breaker=PostgresStore(database).breaker(),
            alerts_waiting=waiting,
            alerts_waiting_since=since,
            alerts_given_up=given_up,
            incidents=incidents,
            audit=Audit(*audit) if audit else None,
            probed_at=probed[0] if probed else None,
            rests=resting(database, heartbeat, connected=connected),
        )


def _row(cur: cursor, name: str, values: dict[str, Any] | None = None) -> tuple[Any, ...]:
    cur.execute(_STATUS[name], values)
    row = cur.fetchone()
    assert row is not None
    return row


def _maybe(cur: cursor, name: str) -> tuple[Any, ...] | None:
    cur.execute(_STATUS[name])
    return cur.fetchone()
