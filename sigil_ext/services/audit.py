"""Audit: replay what a paper session recorded as a backtest, from the state at its start, and compare trade by trade.

Start at `audit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from sigil_ext.bridge.paper_strategy import from_document, reachable
from sigil_ext.bridge.records import Trade
from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult, StrategyRun
from sigil_ext.bridge.worker import run_all
from sigil_ext.db.auditing import AuditRecords
from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.outbox import Outbox
from sigil_ext.db.strategy_store import refused_of
from sigil_ext.errors import UsageError
from sigil_ext.instants import clock, utc
from sigil_ext.research.audit import AuditTrade, Comparison, Reach, compare
from sigil_ext.rules import messages
from sigil_ext.services.database import open_database
from sigil_ext.settings.overlays import Variant, merge
from sigil_ext.settings.project import Project
from sigil_ext.settings.temporary import temporary_folder

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found. Times are ends of minutes, UTC."""

    variant: str
    number: int
    session: int
    since: datetime
    until: datetime
    minutes: int
    comparison: Comparison

    def document(self) -> dict[str, Any]:
        """Return the report as plain values."""
        c = self.comparison
        return {
            "variant": self.variant, "audit": self.number, "session": self.session, "since": self.since.isoformat(),
            "until": self.until.isoformat(), **_counts(c), "differences": c.document(),
        }  # fmt: skip


def audit(
    variant: str,
    *,
    since_ms: int | None = None,
    session: int | None = None,
    project: Project | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> AuditReport:
    """Audit the newest session of `variant`, or number `session`; store and, where something differs, alert.

    Of a recording only where the session itself wrote alerts (`run paper --alerts`).

    The whole session is replayed, since a state has no other beginning; trades opened before `since_ms` are left out of the
    comparison. Audited is up to the last minute recorded when the audit begins; the session may go on meanwhile.

    Raises:
        UsageError: there is no such session, it recorded nothing yet, or nothing since `since_ms`; or the code of its
            strategy has changed.
    """
    database = open_database(variant, project)
    recorded = _session(database, session)
    records = AuditRecords(database, recorded)
    with database.one_transaction() as cur:  # one look at a record that may grow
        cur.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        script, rows, refused, found = records.script(), records.positions(), records.refused(), records.found()
        barred = refused_of(database, recorded) if recorded.strategy else None
        closings = Journal(database).closings(recorded)
        last = Journal(database).last_minute(recorded)
    if last is None:
        raise UsageError(f"session {recorded.id} of variant '{variant}' recorded no minute yet: nothing to audit")
    since = recorded.start_ms if since_ms is None else max(since_ms, recorded.start_ms)
    until = last + MINUTE_MS
    if since >= until:
        raise UsageError(
            f"session {recorded.id} of variant '{variant}' recorded nothing since {clock(since)} UTC, its last "
            f"minute ended {clock(until)}: nothing to audit; give an earlier --since"
        )
    candles, _ = records.candles()
    candles = {s: c[c[:, 0] <= last] for s, c in candles.items()}
    with temporary_folder("audit") as folder:
        files = {}
        for symbol, series in candles.items():
            files[symbol] = folder / f"{symbol}.npy"
            np.save(files[symbol], series)
        request = SimulationRequest(
            _what(variant, recorded), files, recorded.start_ms, until,
            trades_from_ms=recorded.trades_from_ms, cash=recorded.cash, script=script, refused=barred,
            code=(recorded.strategy or {}).get("code"),
        )  # fmt: skip
        result = run_all([request], 1, lambda index, share: progress(share))[0]
    ended = any(row["exit_reason"] == "session_end" for row in rows)
    ours = [t for t in (_paper(row) for row in rows) if t.opened_at_ms <= until]
    theirs = [_backtest(t, ended) for t in result.record.trades]
    if recorded.strategy:
        theirs = [_signed(t, result) for t in theirs]
        ours, theirs = _open_ones_bare(ours), _open_ones_bare(theirs)
    by_hand = _by_hand(rows, closings)
    adopted = {(a["table"], a["id"]) for a in recorded.adopted}
    comparison = compare(
        ours, theirs,
        closed_by_hand=by_hand,
        paper_refused=refused,
        backtest_refused=_refused(result),
        found=[_paper(row) for row in found if (row["table"], row["id"]) not in adopted],
        adopted=[_paper(row) for row in found if (row["table"], row["id"]) in adopted],
        reach=_reach(variant, recorded),
        since_ms=since,
    )  # fmt: skip
    if recorded.strategy:
        comparison = _after_a_person(comparison, by_hand, closings)
    number = _store(database, records, recorded, since, until, comparison)
    return AuditReport(variant, number, recorded.id, utc(since), utc(until), (until - since) // MINUTE_MS, comparison)


def _what(variant: str, recorded: RecordedSession) -> Variant | StrategyRun:
    if not recorded.strategy:
        return merge(variant, [("session", dict(recorded.settings))])
    strategy = from_document(variant, recorded.strategy)
    reachable(strategy.folder)
    return strategy.run


def _reach(variant: str, recorded: RecordedSession) -> Reach:
    """Return how far a difference reaches under the settings of the session; a strategy has none of these."""
    if recorded.strategy:
        return Reach()
    settings = merge(variant, [("session", dict(recorded.settings))]).settings
    guard, ban, sizing = settings.guard, settings.ban, settings.sizing
    return Reach(
        cooldown_ms=int(guard.cooldown_hours * HOUR_MS), cooldown_from=guard.cooldown_from,
        ban_ms=int(ban.window.total_seconds() * 1000 + ban.max_hours * HOUR_MS) if ban.after else 0,
        scan_ms=int(settings.universe.every.total_seconds() * 1000), min_notional_usd=sizing.min_notional_usd,
        by_equity=sizing.risk_per_trade_usd == 0,
    )  # fmt: skip


def _signed(trade: AuditTrade, result: SimulationResult) -> AuditTrade:
    """Return a trade of the backtest with the sign that rows have: a short quantity is negative."""
    short = {(t.symbol, t.opened_at_ms) for t in result.record.trades if t.fills and t.fills[0].side == "sell"}
    return replace(trade, qty=-trade.qty) if (trade.symbol, trade.opened_at_ms) in short else trade


def _open_ones_bare(trades: list[AuditTrade]) -> list[AuditTrade]:
    """Return the trades, open ones without size and price: a row shows what is left of them, a backtest the whole."""
    return [t if t.closed_at_ms is not None else replace(t, qty=0.0, entry_price=0.0) for t in trades]


def _after_a_person(
    found: Comparison, by_hand: Mapping[tuple[str, int], str], closings: Mapping[int, list[tuple[str, Any]]]
) -> Comparison:
    """Give a cause to what a strategy did otherwise after a person had closed its first position: it may remember that."""
    if not by_hand:
        return found
    first = min(closings)
    who = ", ".join(sorted(symbol for symbol, _ in closings[first]))
    cause = f"comes after a person closed {who}"
    return Comparison(
        found.matched,
        tuple(replace(d, cause=cause) if d.cause is None and d.opened_at_ms > first else d for d in found.differences),
    )


def _session(database: Database, number: int | None) -> RecordedSession:
    journal = Journal(database)
    wanted = journal.last() if number is None else number
    recorded = journal.session(wanted) if wanted is not None else None
    if recorded is None:
        what = "no paper session" if number is None else f"no paper session {number}"
        raise UsageError(f"variant '{database.variant}' has {what} to audit; begin one with: sigil run paper")
    return recorded


def _paper(row: dict[str, Any]) -> AuditTrade:
    return AuditTrade(
        row["symbol"], row["opened_ms"], row["entry_price"], row["qty"], row["closed_ms"], row["exit_price"],
        row["exit_reason"], row["pnl_usd"], row["downtime"],
    )  # fmt: skip


def _backtest(trade: Trade, ended: bool) -> AuditTrade:
    """Return a trade of the backtest; where the session still runs, what is closed only by the end is open."""
    if trade.exit_reason == "session_end" and not ended:
        return AuditTrade(trade.symbol, trade.opened_at_ms, trade.entry_price, trade.qty, None, None, None, None)
    return AuditTrade(
        trade.symbol, trade.opened_at_ms, trade.entry_price, trade.qty, trade.closed_at_ms, trade.exit_price,
        trade.exit_reason, trade.pnl_usd,
    )  # fmt: skip


def _by_hand(rows: list[dict[str, Any]], closings: dict[int, list[tuple[str, Any]]]) -> dict[tuple[str, int], str]:
    closed = {symbol for entries in closings.values() for symbol, _ in entries}
    return {
        (row["symbol"], row["opened_ms"]): row["exit_reason"]
        for row in rows
        if row["symbol"] in closed and row["exit_reason"] in ("manual", "kill_switch", "adopted_close")
    }


def _refused(result: SimulationResult) -> dict[tuple[str, int], str]:
    return {(r["symbol"], r["at_ms"]): r["reason"] for r in result.record.refused_signals}


def _counts(c: Comparison) -> dict[str, int]:
    return {
        "matched": c.matched, "paper_only": c.count("paper_only"), "backtest_only": c.count("backtest_only"),
        "differing": c.count("differs"), "unexplained": c.unexplained,
    }  # fmt: skip


def _store(
    database: Database, records: AuditRecords, recorded: RecordedSession, since: int, until: int, found: Comparison
) -> int:
    counts = _counts(found)
    with database.one_transaction():
        number = records.store(since, until, counts, {"differences": found.document()})
        if found.differences and (recorded.feed != "replay" or Outbox(database).told_start(recorded.id)):
            title, body = messages.audit(since=utc(since), until=utc(until), **counts)
            Outbox(database).put("audit", at=utc(until), title=title, body=body, key=f"audit:{recorded.id}:{number}")
    return number
