"""How one variant does: whether it lives, its wallet, what its trades brought and by which exit, how near its limits it is.

Every function is one question to one database. Start at `summary`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from sigil_ext.db.connection import Database
from sigil_ext.db.panel import rows
from sigil_ext.db.paper_periods import verdicts
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.standing import Standing, market_now, read_standing
from sigil_ext.db.symbols import store_symbol
from sigil_ext.errors import UsageError
from sigil_ext.instants import utc
from sigil_ext.rules.breaker import BREAKER_TRIPS
from sigil_ext.rules.types import Breaker
from sigil_ext.services.board_gate import progress_of
from sigil_ext.services.readings import Window, positions
from sigil_ext.services.readings_account_views import (
    BreakerView,
    DayView,
    EquityCurve,
    EquityPoint,
    GateStepView,
    GateView,
    HeartbeatView,
    LimitView,
    PerformanceView,
    ReasonView,
    RiskView,
    SymbolView,
    VariantView,
    VerdictView,
)
from sigil_ext.services.readings_course import Course, course, course_of
from sigil_ext.services.status import judged
from sigil_ext.settings.models import VariantSettings
from sigil_ext.settings.overlays import load_variant, merge

MOST_POINTS = 2000


def summary(database: Database) -> VariantView:
    """Return the variant at a glance."""
    standing = read_standing(database)
    life, problems = judged(standing)
    closed, stopped, won = rows(database, "shares", variant=database.variant)[0]
    equity, scan = standing.equity, standing.scan
    return VariantView(
        variant=database.variant, life=life, problems=problems, market_now=standing.market_now,
        equity_usd=equity.equity_usd if equity else None, cash_usd=equity.cash_usd if equity else None,
        positions_usd=equity.positions_usd if equity else None, equity_at=equity.at if equity else None,
        pnl_usd=standing.pnl_usd, pnl_today_usd=standing.pnl_today_usd, open_positions=standing.open_positions,
        closed_positions=standing.closed_positions,
        hard_stop_share=stopped / closed if closed else None, win_rate=won / closed if closed else None,
        bans=standing.bans, cooldowns=standing.cooldowns, breaker=_breaker(database.variant, standing.breaker),
        heartbeat=_heartbeat(database.variant, standing, life, problems),
        universe_accepted=scan.accepted if scan else None, universe_pool=scan.pool if scan else None,
        alerts_waiting=standing.alerts_waiting, database_bytes=standing.size_bytes,
    )  # fmt: skip


def breaker(database: Database) -> BreakerView:
    """Return the breaker and the pause."""
    return _breaker(database.variant, PostgresStore(database).breaker())


def heartbeat(database: Database) -> HeartbeatView:
    """Return how the variant lives."""
    standing = read_standing(database)
    return _heartbeat(database.variant, standing, *judged(standing))


def _breaker(variant: str, b: Breaker) -> BreakerView:
    return BreakerView(
        variant, b.tripped or b.paused, b.tripped, b.tripped_at, b.tripped_by, b.reason, b.paused, b.paused_at, b.paused_by,
        b.pause_reason,
    )  # fmt: skip


def _heartbeat(variant: str, s: Standing, life: str, problems: tuple[str, ...]) -> HeartbeatView:
    beat = s.heartbeat

    def age(at: datetime | None) -> float | None:
        return None if at is None else (s.now - at).total_seconds()

    if beat is None:
        nothing = (None,) * 3
        return HeartbeatView(variant, life, *nothing, s.connected, *nothing, None, *nothing, s.probed_at, problems)
    return HeartbeatView(
        variant, life, beat.state, beat.feed, beat.session_id, s.connected, beat.last_scan_start, beat.last_scan_end,
        beat.last_candle, beat.last_write, age(beat.last_scan_end), age(beat.last_candle), age(beat.last_write),
        s.probed_at, problems,
    )  # fmt: skip


def equity(
    database: Database, since: datetime | None = None, until: datetime | None = None, points: int = 500
) -> EquityCurve:
    """Return the recorded wallet in [since, until)."""
    with database.one_transaction(savepoints=False):
        first, last = rows(database, "equity_span", since=since, until=until)[0]
        if first is None:
            return EquityCurve(database.variant, ())
        step = max((last - first).total_seconds() / max(points - 1, 1), 1.0)
        found = rows(database, "equity", first=first, last=last, step=step)
    return EquityCurve(database.variant, tuple(EquityPoint(*row) for row in found))


def performance(database: Database, since: datetime | None = None, until: datetime | None = None) -> PerformanceView:
    """Return what trades closed in [since, until) brought."""
    with database.one_transaction(savepoints=False):
        return _performance(database, since, until)


def _performance(database: Database, since: datetime | None, until: datetime | None) -> PerformanceView:
    closed = rows(database, "closed", variant=database.variant, since=since, until=until)
    won = [float(r[3]) for r in closed if (r[3] or 0) > 0]
    lost = [float(r[3] or 0) for r in closed if (r[3] or 0) <= 0]
    mean_win, mean_loss = (sum(x) / len(x) if x else None for x in (won, lost))
    whole = since is None and until is None
    fall = course(database) if whole else course_of(database, since, until)
    payoff = mean_win / -mean_loss if mean_win is not None and mean_loss else None
    return PerformanceView(
        variant=database.variant, trades=len(closed), wins=len(won),
        win_rate=len(won) / len(closed) if closed else None,
        win_rate_needed=1 / (1 + payoff) if payoff is not None else None,
        pnl_usd=sum(won) + sum(lost), fees_usd=float(sum(r[4] or 0 for r in closed)),
        mean_win_usd=mean_win, mean_loss_usd=mean_loss, payoff_ratio=payoff,
        profit_factor=sum(won) / -sum(lost) if sum(lost) < 0 else None,
        max_drawdown_usd=fall.fall_usd if fall else None, max_drawdown_pct=fall.fall_pct if fall else None,
        by_exit_reason=_by_reason(closed), by_day=_by_day(closed), by_symbol=_by_symbol(closed),
    )  # fmt: skip


def _by_reason(closed: Sequence[Sequence[Any]]) -> tuple[ReasonView, ...]:
    found: dict[str, list[Sequence[Any]]] = {}
    for row in closed:
        found.setdefault(row[1] or "unknown", []).append(row)
    views = [
        ReasonView(
            reason, len(of), len(of) / len(closed), sum((r[3] or 0) > 0 for r in of), sum(float(r[3] or 0) for r in of),
            sum(float(r[4] or 0) for r in of), sum(float(r[3] or 0) for r in of) / len(of),
            sum(float(r[5]) for r in of) / len(of),
        )
        for reason, of in found.items()
    ]  # fmt: skip
    return tuple(sorted(views, key=lambda v: (-v.trades, v.exit_reason)))


def _by_day(closed: Sequence[Sequence[Any]]) -> tuple[DayView, ...]:
    trades: Counter[date] = Counter()
    pnl: dict[date, float] = {}
    for row in closed:
        day = row[2].astimezone(UTC).date()
        trades[day] += 1
        pnl[day] = pnl.get(day, 0.0) + float(row[3] or 0)
    return tuple(DayView(day, trades[day], pnl[day]) for day in sorted(trades))


def _by_symbol(closed: Sequence[Sequence[Any]]) -> tuple[SymbolView, ...]:
    trades: Counter[str] = Counter()
    pnl: dict[str, float] = {}
    for row in closed:
        trades[row[0]] += 1
        pnl[row[0]] = pnl.get(row[0], 0.0) + float(row[3] or 0)
    return tuple(SymbolView(store_symbol(s), trades[s], pnl[s]) for s in sorted(trades, key=lambda s: (pnl[s], s)))


def risk(database: Database) -> RiskView:
    """Return what is at stake now, and how near the breaker's limits are."""
    with database.one_transaction(savepoints=False):
        held = [m.row for m in positions(database, Window(limit=1000), status="open")]
        settings = _settings(database)
        run = course(database)
        limits = _limits(database, run, settings)
    return RiskView(
        variant=database.variant, equity_usd=run.last_usd if run else None, open_positions=len(held),
        max_open_positions=settings.guard.max_open_positions if settings else None,
        exposure_usd=sum(abs(p.qty) * (p.price or p.entry_price) for p in held),
        open_risk_usd=sum(max(0.0, p.entry_price - p.stop_price) * p.qty for p in held if p.stop_price is not None),
        without_stop=sum(p.stop_price is None for p in held), cap_bound=sum(bool(p.cap_bound) for p in held),
        limits=limits,
    )  # fmt: skip


def _limits(database: Database, run: Course | None, settings: VariantSettings | None) -> tuple[LimitView, ...]:
    if settings is None:
        return ()
    began = rows(database, "day_began_with", at=market_now(database))
    streak = 0
    for (pnl,) in rows(database, "last_trades", variant=database.variant, limit=1000):
        if (pnl or 0) >= 0:
            break
        streak += 1
    now, peak = run.last_usd if run else None, run.peak_usd if run else None
    if run is not None and (session := rows(database, "last_session_settings")) and run.first < utc(session[0][1]):
        own = course_of(database, utc(session[0][1]), None)  # the breaker knows its own session's highest alone
        peak = max(session[0][2] or 0.0, own.peak_usd if own else 0.0) or peak
    values = {
        "daily_loss": _fall_pct(now, began[0][0] if began else None),
        "drawdown": _fall_pct(now, peak),
        "consecutive_losses": float(streak),
    }
    limits = {
        "daily_loss": settings.breaker.daily_loss_pct,
        "drawdown": settings.breaker.max_drawdown_pct,
        "consecutive_losses": float(settings.breaker.consecutive_losses),
    }
    return tuple(LimitView(name, values[name], limits[name] or None) for name in BREAKER_TRIPS)


def _fall_pct(now: float | None, before: float | None) -> float | None:
    return (before - now) / before * 100 if now is not None and before else None


def _settings(database: Database) -> VariantSettings | None:
    """Return the settings of the newest session, else of the overlay; None of a strategy of the user's own."""
    recorded = rows(database, "last_session_settings")
    try:
        if recorded and recorded[0][0]:
            return merge(database.variant, [("its session", dict(recorded[0][0]))]).settings
        return load_variant(database.variant).settings
    except UsageError:  # a session of another version of Sigil, or no variant at all
        return None


def progress(database: Database) -> GateView:
    """Return how far the variant is from graduation."""
    found = progress_of(database)
    steps = tuple(GateStepView(s.name, s.met, s.said, s.share) for s in found.steps)
    given = [
        VerdictView(v.id, v.at, v.since, v.until, v.outcome, v.looks, v.asked_by, dict(v.document))
        for v in verdicts(database, 1)
    ]
    return GateView(database.variant, found.outcome == "pass", steps, given[0] if given else None)
