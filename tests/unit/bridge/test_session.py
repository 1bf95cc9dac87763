from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from sigil_ext.bridge.session import BarSignal, Session
from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.settings.overlays import load_variant
from tests.fakes import RecordedMarket

HOUR = 3_600_000
DAY = 24 * HOUR
SYMBOL = "TST-USDT"
WIDE = [
    "universe.min_quote_volume_usd=0",
    "universe.max_quote_volume_usd=0",
    "universe.min_atr_pct=0",
    "universe.min_age=1m",
    "universe.max_tick_pct=100",
]


def quiet_market(days: int = 3, price: float = 1.0) -> np.ndarray:
    """Minutes that wobble by half a percent around `price`, with volume."""
    n = days * 1440
    wobble = price * 0.005 * np.sin(np.arange(n))
    opened = price + np.r_[0.0, wobble[:-1]]
    close = price + wobble
    return np.column_stack(
        [np.arange(n) * 60_000.0, opened, close, np.maximum(opened, close), np.minimum(opened, close), np.full(n, 1e5)]
    )


def session_at(now_ms: int, *overrides: str, candles: np.ndarray | None = None, cash: float = 1000.0) -> Session:
    market = RecordedMarket({SYMBOL: quiet_market() if candles is None else candles}, cash)
    session = Session(load_variant("baseline", [*WIDE, *overrides]).settings, MemoryStore("baseline"), market, [SYMBOL])
    step(session, now_ms)
    return session


def step(session: Session, now_ms: int) -> None:
    session.market.now_ms = now_ms
    session.on_bar(now_ms)


def fired(session: Session) -> BarSignal:
    return BarSignal(True, float(session.market.minutes(SYMBOL)[-1, 2]), 1.0, 3.0, 60.0)


def opened(session: Session):
    holding = session.enter(SYMBOL, fired(session))
    session.filled(SYMBOL, holding.opened_at_ms, "buy", holding.entry.qty, holding.entry_price)
    return holding


def closed(session: Session, at_ms: int, price: float):
    holding = session.holdings[SYMBOL]
    session.filled(SYMBOL, at_ms, "sell", -holding.entry.qty * (1 - 0.0015), price)
    return session.close(SYMBOL, at_ms)


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_the_cooldown_is_written_with_the_position():
    session = session_at(2 * DAY)
    opened(session)
    assert session.store.open_position(SYMBOL) is not None
    assert session.store.protection(SYMBOL).expires_at == at(2 * DAY) + timedelta(hours=6)


def test_a_cooldown_from_the_close_begins_at_the_close():
    session = session_at(2 * DAY, "guard.cooldown_from=close")
    opened(session)
    assert session.store.protection(SYMBOL) is None
    closed(session, 2 * DAY + HOUR, 1.1)
    assert session.store.protection(SYMBOL).expires_at == at(2 * DAY + HOUR) + timedelta(hours=6)


def test_a_guarded_bar_is_counted_and_its_signal_recorded_with_the_reason():
    session = session_at(2 * DAY)
    session.store.trip(at=at(2 * DAY), actor="me", reason="looks bad")
    assert session.guard(SYMBOL) == "breaker_tripped"
    session.guarded(SYMBOL, fired(session), "breaker_tripped")
    session.guarded(SYMBOL, BarSignal(False, 1.0, 1.0, 1.0, 1.0), "breaker_tripped")
    assert session.record.bars_refused == {"breaker_tripped": 2}
    assert session.record.signals_refused == {"breaker_tripped": 1}
    ((_, acted, reason),) = session.store.signals()
    assert (acted, reason) == (False, "breaker_tripped")
    (count,) = session.store.refusals()
    assert (count.bars, count.signals) == (2, 1)


def test_breaker_and_pause_block_entries_and_never_exits():
    session = session_at(2 * DAY)
    holding = opened(session)
    session.store.trip(at=at(2 * DAY), actor="me", reason="looks bad")
    session.store.pause(at=at(2 * DAY), actor="me", reason="holiday")
    holding.stop = 2.0
    step(session, 2 * DAY + 15 * 60_000)
    assert session.manage(SYMBOL) == "atr_trail"
    assert closed(session, 2 * DAY + 15 * 60_000, 1.0).symbol == SYMBOL
    assert session.store.open_positions() == []


def test_nothing_is_scanned_or_entered_before_the_start():
    market = RecordedMarket({SYMBOL: quiet_market()})
    session = Session(
        load_variant("baseline", WIDE).settings, MemoryStore("baseline"), market, [SYMBOL], start_ms=2 * DAY
    )
    step(session, 2 * DAY - HOUR)
    assert session.record.scans == 0
    assert session.guard(SYMBOL) == "not_in_universe"
    step(session, 2 * DAY)
    assert session.record.scans == 1
    assert session.guard(SYMBOL) is None


def test_scans_follow_the_clock_and_not_the_number_of_bars():
    session = session_at(2 * DAY + 30 * 60_000)
    for minutes in (30, 45, 60, 60, 75, 105, 180):
        step(session, 2 * DAY + minutes * 60_000)
    assert [ms for ms, _ in session.record.scan_log] == [2 * DAY + m * 60_000 for m in (30, 60, 180)]


def test_a_bar_that_was_missed_still_raises_the_trail():
    candles = quiet_market()
    spike = int(2 * DAY / 60_000) + 5
    candles[spike, 3] = 1.5
    session = session_at(2 * DAY, candles=candles)
    holding = opened(session)
    step(session, 2 * DAY + 45 * 60_000)
    session.manage(SYMBOL)
    assert holding.high_water == 1.5
    assert holding.stop == pytest.approx(1.5 - 1.5 * holding.atr)


def test_the_size_is_a_share_of_marked_equity_where_the_risk_is_zero():
    session = session_at(2 * DAY, "sizing.risk_per_trade_usd=0", "sizing.max_position_usd=0", cash=800.0)
    assert opened(session).entry.notional_usd == pytest.approx(80.0)


def test_cash_that_is_too_little_refuses_and_is_named():
    session = session_at(2 * DAY, cash=4.0)
    assert session.guard(SYMBOL) == "not_enough_cash"
    assert session.enter(SYMBOL, fired(session)) is None
    assert session.record.signals_refused == {"not_enough_cash": 1}


def test_a_size_under_the_exchanges_minimum_is_refused_and_never_raised():
    session = session_at(2 * DAY, "sizing.risk_per_trade_usd=0.1")
    assert session.enter(SYMBOL, fired(session)) is None
    assert session.record.signals_refused == {"under_minimum_size": 1}
    assert session.store.open_positions() == []


def test_losses_in_a_row_trip_the_breaker():
    session = session_at(2 * DAY, "breaker.consecutive_losses=2", "guard.cooldown_hours=0", "ban.after=0")
    for hour in (1, 2):
        opened(session)
        closed(session, 2 * DAY + hour * HOUR, 0.9)
        step(session, 2 * DAY + hour * HOUR)
    assert session.store.breaker().tripped
    assert session.record.breaker_reason == "consecutive_losses"


def test_an_open_loss_counts_for_the_daily_loss():
    candles = quiet_market()
    candles[candles[:, 0] >= 2 * DAY + HOUR, 1:5] *= 0.5
    session = session_at(2 * DAY, "sizing.max_position_usd=500", "sizing.risk_per_trade_usd=500", candles=candles)
    session.market.cash -= opened(session).entry.notional_usd
    step(session, 2 * DAY + HOUR)
    assert not session.store.breaker().tripped
    step(session, 2 * DAY + 2 * HOUR)
    assert session.record.breaker_reason == "daily_loss"


def test_a_second_hard_stop_within_the_window_bans_and_the_next_scan_knows():
    session = session_at(2 * DAY, "guard.cooldown_hours=0")
    for hour in (1, 2):
        opened(session)
        assert closed(session, 2 * DAY + hour * HOUR, 0.95).exit_reason == "hard_stop"
        step(session, 2 * DAY + hour * HOUR)
    assert session.store.protection(SYMBOL).ban_until == at(2 * DAY + 2 * HOUR) + timedelta(hours=24)
    assert session.guard(SYMBOL) == "not_in_universe"
    assert dict(session.record.scan_log[-1][1])[SYMBOL] == "banned"
