"""`sigil status`: all variants side by side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.entrypoints.cli.streams import shown

if TYPE_CHECKING:
    from sigil_ext.db.standing import Standing
    from sigil_ext.services.status import VariantStatus

NOTHING = "-"


@click.command()
@variant_option(multiple=True)
@json_option()
@click.pass_context
def status(ctx: click.Context, variants: tuple[str, ...], as_json: bool) -> None:
    """Show every variant: alive, equity, P&L, positions, what bars it, alerts, audit. Exit status 1 if one has a problem.

    Starts no server and makes no database; a database that does not answer has its row and holds up no other.
    """
    from sigil_ext.services.status import statuses

    found = statuses(variants)
    if as_json:
        print_json({"variants": [_document(row) for row in found], "problems": sum(len(row.problems) for row in found)})
    else:
        _print(found)
    if any(row.problems for row in found):
        ctx.exit(1)


def _print(found: list[VariantStatus]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for row in found:
        table.add_column(row.variant, justify="right", style="bold" if row.problems else "")
    table.add_row("life", *(row.life for row in found))
    for name, figure in FIGURES.items():
        table.add_row(name, *(figure(row.standing) if row.standing else NOTHING for row in found))
    console = wide_console()
    console.print(table)
    for row in found:
        for problem in row.problems:
            console.print(Text(shown(f"{row.variant}: {problem}")), soft_wrap=True)
    if not any(row.problems for row in found):
        click.echo("no problem found; times are UTC, ages by the database's clock")


def _scanned(s: Standing) -> str:
    return age(s.now, s.heartbeat.last_scan_end if s.heartbeat else None)


def _universe(s: Standing) -> str:
    return f"{s.scan.accepted} of {s.scan.pool}" if s.scan else NOTHING


def _entries(s: Standing) -> str:
    return "tripped" if s.breaker.tripped else "paused" if s.breaker.paused else "open"


def _candle(s: Standing) -> str:
    beat = s.heartbeat
    if beat is None or beat.last_candle is None:
        return NOTHING
    return f"{beat.last_candle:%Y-%m-%d %H:%M}" if beat.feed == "replay" else age(s.now, beat.last_candle)


def _audit(s: Standing) -> str:
    if s.audit is None:
        return NOTHING
    differences = s.audit.paper_only + s.audit.backtest_only + s.audit.differing
    return f"{differences} differences, {age(s.now, s.audit.at)}"


FIGURES: dict[str, Callable[[Standing], str]] = {
    "last scan ended": _scanned,
    "last candle": _candle,
    "universe": _universe,
    "equity, USD": lambda s: f"{s.equity.equity_usd:.2f}" if s.equity else NOTHING,
    "P&L of the day": lambda s: f"{s.pnl_today_usd:+.2f}",
    "P&L in all": lambda s: f"{s.pnl_usd:+.2f}",
    "open positions": lambda s: str(s.open_positions),
    "closed positions": lambda s: str(s.closed_positions),
    "cooldowns, bans": lambda s: f"{s.cooldowns}, {s.bans}",
    "entries": _entries,
    "alerts waiting": lambda s: str(s.alerts_waiting),
    "last audit": _audit,
    "last probe": lambda s: age(s.now, s.probed_at),
}


def age(now: datetime, then: datetime | None) -> str:
    """Return how long ago `then` was, in its largest unit: 12 s, 3 min, 5 h, 2 d."""
    if then is None:
        return NOTHING
    seconds = int((now - then).total_seconds())
    if seconds < 0:
        return "in future"
    for unit, length in (("d", 172_800), ("h", 7200), ("min", 120)):
        if seconds >= length:
            return f"{seconds // {'d': 86_400, 'h': 3600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"


def _document(row: VariantStatus) -> dict[str, Any]:
    head: dict[str, Any] = {
        "variant": row.variant,
        "database": row.place,
        "reached": row.standing is not None,
        "life": row.life,
        "alive": row.life == "alive",
        "problems": list(row.problems),
    }
    return head | (_standing(row.standing) if row.standing else {})


def _standing(s: Standing) -> dict[str, Any]:
    beat, b = s.heartbeat, s.breaker
    return {
        "database_clock": _iso(s.now),
        "server_version": s.server_version,
        "size_bytes": s.size_bytes,
        "market_now": _iso(s.market_now),
        "session": {"open": s.session_open, "connected": s.connected},
        "heartbeat": None
        if beat is None
        else {
            "state": beat.state,
            "feed": beat.feed,
            "pid": beat.pid,
            "host": beat.host,
            "last_scan_start": _iso(beat.last_scan_start),
            "last_scan_end": _iso(beat.last_scan_end),
            "last_scan_age_s": _seconds(s.now - beat.last_scan_end) if beat.last_scan_end else None,
            "last_candle": _iso(beat.last_candle),
            "last_candle_age_s": _seconds(s.now - beat.last_candle) if beat.last_candle else None,
            "last_write": _iso(beat.last_write),
        },
        "scan": None
        if s.scan is None
        else {"id": s.scan.id, "at": _iso(s.scan.at), "accepted": s.scan.accepted, "pool": s.scan.pool},
        "equity": None
        if s.equity is None
        else {
            "at": _iso(s.equity.at),
            "cash_usd": s.equity.cash_usd,
            "positions_usd": s.equity.positions_usd,
            "equity_usd": s.equity.equity_usd,
        },
        "open_positions": s.open_positions,
        "closed_positions": s.closed_positions,
        "pnl_usd": s.pnl_usd,
        "pnl_today_usd": s.pnl_today_usd,
        "protections": {"bans": s.bans, "cooldowns": s.cooldowns},
        "breaker": {
            "tripped": b.tripped,
            "tripped_at": _iso(b.tripped_at),
            "tripped_by": b.tripped_by,
            "reason": b.reason,
            "paused": b.paused,
            "paused_at": _iso(b.paused_at),
            "pause_reason": b.pause_reason,
        },
        "alerts": {
            "waiting": s.alerts_waiting,
            "waiting_since": _iso(s.alerts_waiting_since),
            "given_up_last_day": s.alerts_given_up,
        },
        "incidents": [{"key": i.key, "opened_at": _iso(i.opened_at), "detail": i.detail} for i in s.incidents],
        "audit": None
        if s.audit is None
        else {
            "at": _iso(s.audit.at),
            "since": _iso(s.audit.since),
            "until": _iso(s.audit.until),
            "matched": s.audit.matched,
            "paper_only": s.audit.paper_only,
            "backtest_only": s.audit.backtest_only,
            "differing": s.audit.differing,
            "unexplained": s.audit.unexplained,
        },
        "probed_at": _iso(s.probed_at),
    }


def _seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 3)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
