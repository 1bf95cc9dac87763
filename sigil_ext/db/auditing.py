"""What an audit reads of a session, and where it leaves what it found. Start at `AuditRecords`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.db.common import SYSTEM
from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.scripted_store import Script
from sigil_ext.db.symbols import store_symbol
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.rules.types import Breaker, OperatorAct, Protection, ProtectionEvent

MINUTE_MS = 60_000
_NEVER = 1 << 62


class AuditRecords:
    """The record of one session as an audit needs it."""

    def __init__(self, database: Database, session: RecordedSession) -> None:
        self.database = database
        self.session = session

    def candles(self) -> tuple[dict[str, NDArray[np.float64]], int | None]:
        """Return every candle of the session by symbol, warm-up included, and the open time of its last minute."""
        rows: dict[str, list[Sequence[float]]] = {s: [] for s in self.session.symbols}
        last = None
        for open_ms, candles in Journal(self.database).minutes(self.session):
            last = open_ms
            for symbol, row in candles.items():
                rows[symbol].append(row)
        empty = np.zeros((0, 6))
        joined = {
            s: np.concatenate([self.session.warmup.get(s, empty), np.array(rows[s], dtype=np.float64).reshape(-1, 6)])
            for s in rows
        }
        return {s: c for s, c in joined.items() if len(c)}, last

    def positions(self) -> list[dict[str, Any]]:
        """Return the positions that the session entered, as rows of plain values; times in ms."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT id, symbol, (extract(epoch FROM opened_at) * 1000)::bigint, entry_price, qty, status,"
                " (extract(epoch FROM closed_at) * 1000)::bigint, exit_price, exit_reason, pnl_usd, downtime"
                " FROM micro_positions WHERE variant_id = %s AND status <> 'superseded'"
                " AND opened_at >= to_timestamp(%s / 1000.0) AND id > %s ORDER BY opened_at, id",
                (self.database.variant, self.session.start_ms, self.session.positions_after),
            )
            names = ("id", "symbol", "opened_ms", "entry_price", "qty", "status", "closed_ms", "exit_price", "exit_reason", "pnl_usd", "downtime")  # fmt: skip
            found = [dict(zip(names, row, strict=True)) for row in cur.fetchall()]
        return [{**row, "symbol": to_jesse(row["symbol"])} for row in found]

    def found(self) -> list[dict[str, Any]]:
        """Return the positions of both books that were open when the session began, as rows like those of `positions`."""
        adopted = [(a["table"], a["id"]) for a in self.session.adopted]
        found = []
        with self.database.transaction() as cur:
            for table, downtime in (("micro_positions", "downtime"), ("paper_positions", "false")):
                own = "id <= %(after)s AND variant_id = %(variant)s AND" if table == "micro_positions" else ""
                cur.execute(
                    "SELECT symbol, (extract(epoch FROM opened_at) * 1000)::bigint, entry_price, qty, exit_price, exit_reason,"
                    f" (extract(epoch FROM closed_at) * 1000)::bigint, pnl_usd, {downtime}, id FROM {table}"
                    f" WHERE {own} status <> 'superseded' AND (id = ANY(%(adopted)s) OR status = 'open'"
                    " OR closed_at >= to_timestamp(%(start)s / 1000.0)) ORDER BY id",
                    {
                        "after": self.session.positions_after, "variant": self.database.variant,
                        "adopted": [number for name, number in adopted if name == table], "start": self.session.start_ms,
                    },
                )  # fmt: skip
                names = ("symbol", "opened_ms", "entry_price", "qty", "exit_price", "exit_reason", "closed_ms", "pnl_usd", "downtime", "id")  # fmt: skip
                found += [{**dict(zip(names, row, strict=True)), "table": table} for row in cur.fetchall()]
        return [{**row, "symbol": store_symbol(row["symbol"])} for row in found]

    def refused(self) -> dict[tuple[str, int], str]:
        """Return (symbol, ms) -> reason of the entry signals that were refused since the session's start."""
        with self.database.transaction() as cur:
            cur.execute(
                "SELECT symbol, (extract(epoch FROM created_at) * 1000)::bigint, reject_reason FROM signals"
                " WHERE NOT acted AND created_at >= to_timestamp(%s / 1000.0)",
                (self.session.start_ms,),
            )
            return {(store_symbol(symbol), at): reason for symbol, at, reason in cur.fetchall()}

    def script(self) -> Script:
        """Return breaker and protections as the session found them, and what people did since, minute by minute."""
        with self.database.transaction() as cur:
            cur.execute("SELECT started_at FROM paper_sessions WHERE id = %s", (self.session.id,))
            began: datetime = cur.fetchone()[0]  # type: ignore[index]
            cur.execute(
                "SELECT open_ms, written_at FROM paper_minutes WHERE session_id = %s ORDER BY open_ms",
                (self.session.id,),
            )
            minutes = cur.fetchall()
            cur.execute("SELECT at, actor, act, reason, written_at FROM operator_acts WHERE symbol IS NULL ORDER BY id")
            acts = cur.fetchall()
            cur.execute(
                "SELECT symbol, at, kind, actor, reason, expires_at, ban_until, violation_count, written_at"
                " FROM protection_events ORDER BY id"
            )
            events = [(ProtectionEvent(store_symbol(row[0]), *row[1:8]), row[8]) for row in cur.fetchall()]
            cur.execute(
                "SELECT symbol, expires_at, ban_until, violation_count, created_at, last_violation_at FROM symbol_protections"
            )
            rows = {store_symbol(row[0]): row[1:] for row in cur.fetchall()}
        written = np.array([at.timestamp() for _, at in minutes])
        ends = [open_ms + MINUTE_MS for open_ms, _ in minutes]

        def minute_after(at: datetime) -> int:
            place = int(np.searchsorted(written, at.timestamp(), side="right"))
            return ends[place] if place < len(ends) else _NEVER

        before = [OperatorAct(at, who, act, None, why) for at, who, act, why, on in acts if on < began]
        since = [
            (minute_after(on), OperatorAct(at, who, act, None, why))
            for at, who, act, why, on in acts
            if on >= began and who != SYSTEM
        ]
        by_hand = [
            (minute_after(on), e)
            for e, on in events
            if on >= began and e.kind in ("lift", "manual_ban", "manual_cooldown")
        ]
        return Script(_breaker_after(before), _protections_before(rows, events, began), [*since, *by_hand])

    def store(self, since_ms: int, until_ms: int, counts: Mapping[str, int], report: Mapping[str, Any]) -> int:
        """Store what an audit found and return its number."""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO audits (session_id, since, until, matched, paper_only, backtest_only, differing, unexplained,"
                " report) VALUES (%s, to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s, %s)"
                " RETURNING id",
                (
                    self.session.id, since_ms, until_ms, counts["matched"], counts["paper_only"], counts["backtest_only"],
                    counts["differing"], counts["unexplained"], json.dumps(report),
                ),
            )  # fmt: skip
            return int(cur.fetchone()[0])  # type: ignore[index]


def _breaker_after(acts: Sequence[OperatorAct]) -> Breaker:
    """Return the breaker as a list of acts leaves it."""
    tripped: OperatorAct | None = None
    paused: OperatorAct | None = None
    for act in acts:
        if act.act == "trip":
            tripped = tripped or act
        elif act.act == "reset":
            tripped = None
        elif act.act == "pause":
            paused = paused or act
        elif act.act == "resume":
            paused = None
    return Breaker(
        tripped=tripped is not None, reason=tripped.reason if tripped else None,
        tripped_at=tripped.at if tripped else None, tripped_by=tripped.actor if tripped else None,
        paused=paused is not None, pause_reason=paused.reason if paused else None,
        paused_at=paused.at if paused else None, paused_by=paused.actor if paused else None,
    )  # fmt: skip


def _protections_before(
    rows: Mapping[str, Sequence[Any]], events: Sequence[tuple[ProtectionEvent, datetime]], began: datetime
) -> tuple[Protection, ...]:
    """Return protections as they stood when the session began: the last event before, or a row that never had one."""
    found = {s: Protection(s, r[0], r[1], r[2], r[3], r[4]) for s, r in rows.items()}
    touched = {event.symbol for event, _ in events}
    standing = {s: p for s, p in found.items() if s not in touched}
    violated: dict[str, datetime] = {}
    for event, written_at in events:
        if written_at >= began:
            continue
        if event.kind in ("violation", "ban"):
            violated[event.symbol] = event.at
        standing[event.symbol] = Protection(
            event.symbol,
            event.expires_at,
            event.ban_until,
            event.violation_count,
            None,
            violated.get(event.symbol),
            event.reason,
        )
    return tuple(standing[s] for s in sorted(standing))
