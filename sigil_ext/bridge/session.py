"""A variant's session: the state that all its routes share during one run, and the acts of a strategy on it.

The same session serves a backtest and a paper run; what differs is the store behind it. It never imports Jesse: what it
must know of the market reaches it through `Market`. Start at `Session.on_bar` and `Session.guard`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.holding import Holding, trade_of
from sigil_ext.bridge.records import Fill, RunRecord, Trade
from sigil_ext.bridge.scanning import measures_of
from sigil_ext.rules import exits, indicators, sizing, stops, universe
from sigil_ext.rules.breaker import BreakerView, trip_reason
from sigil_ext.rules.guard import GuardView, first_refusal
from sigil_ext.rules.ports import Store
from sigil_ext.rules.protections import active_bar
from sigil_ext.rules.types import Entry, Exit, ExitReason, RefusalReason, Refused, Signal, UniverseScan
from sigil_ext.settings.models import VariantSettings

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
SYSTEM = "sigil"
RULE = "breakout"


class Market(Protocol):
    """What a session may see of the market at `now_ms`: nothing that is not closed by then."""

    def minutes(self, symbol: str) -> NDArray[np.float64]: ...
    def bars(self, symbol: str, timeframe: str, now_ms: int) -> NDArray[np.float64]: ...
    def free_cash(self) -> float: ...
    def first_ms(self, symbol: str) -> float:
        """Return the open time of the first candle ever seen, NaN before it."""
        ...


@dataclass(frozen=True, slots=True)
class BarSignal:
    """What the entry rule said of one closed bar."""

    fired: bool
    close: float
    highest_high: float
    volume_ratio: float
    rsi: float


class Session:
    """Shared by every route of one variant in one run."""

    def __init__(
        self,
        settings: VariantSettings,
        store: Store,
        market: Market,
        pool: Sequence[str],
        *,
        start_ms: int = 0,
        on_time: Callable[[int], None] | None = None,
    ) -> None:
        """Args: pool: symbols as Jesse writes them. start_ms: nothing is scanned or entered before. on_time: progress."""
        self.settings = settings
        self.store = store
        self.market = market
        self.pool = sorted(pool)
        self.start_ms = start_ms
        self.record = RunRecord()
        self.universe_id: int | None = None
        self.in_universe: frozenset[str] = frozenset()
        self.holdings: dict[str, Holding] = {}
        self.ending = False
        self._on_time = on_time
        self._now_ms = -1
        self._now = datetime.fromtimestamp(0, UTC)
        self._scan_every_ms = int(settings.universe.every.total_seconds() * 1000)
        self._next_scan_ms = 0
        self._max_gap = settings.guard.max_gap.total_seconds() / 60
        self._flat_after = settings.flat.after.total_seconds() / 60
        self._watches_equity = bool(settings.breaker.daily_loss_pct or settings.breaker.max_drawdown_pct)
        self._day = -1
        self._day_start_equity = self._peak_equity = settings.sizing.starting_balance
        self._losses_in_a_row = 0

    # --- time ---------------------------------------------------------------------------------------------------

    def on_bar(self, now_ms: int) -> None:
        """Do what is due once at `now_ms`, whichever route comes first: scan the pool, ask the breaker."""
        if now_ms == self._now_ms:
            return
        self._now_ms = now_ms
        self._now = datetime.fromtimestamp(now_ms / 1000, UTC)
        if self._on_time is not None:
            self._on_time(now_ms)
        if now_ms < self.start_ms:
            return
        if self._watches_equity:
            self._mark_equity()
        if now_ms >= self._next_scan_ms:
            self._scan()
            self._next_scan_ms = (now_ms // self._scan_every_ms + 1) * self._scan_every_ms

    def equity(self) -> float:
        """Return cash plus every open position at its last price, in USD."""
        held = sum(
            (sum(fill.qty for fill in holding.fills) + holding.pending_qty)
            * (1 - self.settings.costs.rate)
            * self._price(symbol)
            for symbol, holding in self.holdings.items()
        )
        return self.market.free_cash() + held

    def _price(self, symbol: str) -> float:
        return float(self.market.minutes(symbol)[-1, indicators.CLOSE])

    def _mark_equity(self) -> None:
        equity = self.equity()
        day = self._now_ms // DAY_MS
        if day != self._day:
            self._day, self._day_start_equity = day, equity
        self._peak_equity = max(self._peak_equity, equity)
        self._ask_breaker(equity)

    def _ask_breaker(self, equity: float) -> None:
        if self.store.breaker().tripped:
            return
        view = BreakerView(equity, self._day_start_equity, self._peak_equity, self._losses_in_a_row)
        if reason := trip_reason(view, self.settings.breaker):
            self.store.trip(at=self._now, actor=SYSTEM, reason=reason)
            self.record.breaker_reason, self.record.breaker_tripped_at_ms = reason, self._now_ms

    # --- universe -----------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        scanned = universe.scan((self._measure(symbol) for symbol in self.pool), self.settings.universe, self._now)
        self.universe_id = self.store.save_scan(scanned)
        self.in_universe = scanned.accepted
        self._note(scanned)

    def _note(self, scanned: UniverseScan) -> None:
        self.record.scans += 1
        self.record.universe_sizes.append(len(scanned.accepted))
        self.record.universe_reasons.update(row.reason for row in scanned.rows)
        self.record.scan_log.append((self._now_ms, tuple((row.symbol, row.reason) for row in scanned.rows)))

    def _measure(self, symbol: str) -> universe.Measures:
        banned = active_bar(self.store.protection(symbol), self._now) == "ban"
        held = symbol in self.holdings
        return measures_of(self.market, self.settings, symbol, self._now_ms, banned=banned, held=held)

    # --- guard and signal ---------------------------------------------------------------------------------------

    def guard(self, symbol: str) -> RefusalReason | None:
        """Return why `symbol` may not be entered at this bar's close, or None."""
        guard = self.settings.guard
        view = GuardView(
            now=self._now,
            breaker=self.store.breaker(),
            in_universe=symbol in self.in_universe,
            position_open=guard.one_position_per_symbol and self.store.open_position(symbol) is not None,
            protection=self.store.protection(symbol),
            open_positions=len(self.store.open_positions()),
            max_open_positions=guard.max_open_positions,
            free_cash=self.market.free_cash(),
            min_notional_usd=self.settings.sizing.min_notional_usd,
            gap_minutes=universe.longest_gap_minutes(self.market.minutes(symbol), self._now_ms, HOUR_MS),
            max_gap_minutes=self._max_gap,
        )
        return first_refusal(view)

    def signal(self, symbol: str) -> BarSignal:
        """Return what the entry rule says of the signal bar that closed now."""
        bars = self.market.bars(symbol, self.settings.signal_timeframe, self._now_ms)
        entry = self.settings.entry
        fired, highest, ratio, rsi = indicators.breakout(
            bars, entry.breakout_lookback, entry.volume_factor, entry.volume_lookback, entry.rsi_min, entry.rsi_max
        )
        return BarSignal(fired, float(bars[-1, indicators.CLOSE]) if len(bars) else float("nan"), highest, ratio, rsi)

    def guarded(self, symbol: str, signal: BarSignal, reason: RefusalReason) -> None:
        """Record a bar at which the guard was shut, and the entry signal that it stopped, if there was one."""
        self.record.bars_refused[reason] += 1
        self.store.count_refusal(symbol, reason, at=self._now, signal=signal.fired)
        if signal.fired:
            self.refuse(symbol, signal, reason)

    def refuse(self, symbol: str, signal: BarSignal, reason: RefusalReason) -> None:
        """Record an entry signal that the guard, the sizing or the store did not let through."""
        self.record.signals_refused[reason] += 1
        self.record.refused_signals.append({"symbol": symbol, "at_ms": self._now_ms, "reason": reason})
        self.store.record_signal(self._stored(symbol, signal), acted=False, reject_reason=reason)

    def _stored(self, symbol: str, signal: BarSignal) -> Signal:
        return Signal(symbol, self._now, RULE, signal.close, signal.highest_high, signal.volume_ratio, signal.rsi)

    # --- positions ----------------------------------------------------------------------------------------------

    def enter(self, symbol: str, signal: BarSignal) -> Holding | None:
        """Size and durably open a position at the signal's close. None, and a recorded refusal, when it may not be."""
        s = self.settings
        atr = indicators.wilder_atr(self.market.bars(symbol, s.atr_timeframe, self._now_ms), indicators.PERIOD)
        stop_pct = stops.hard_stop_pct(
            atr, signal.close, s.hard_stop.multiplier, s.hard_stop.floor_pct, s.hard_stop.cap_pct
        )
        qty, cap_bound, cash_bound = self._size(signal.close, stop_pct)
        notional = qty * signal.close
        if refusal := self._too_small(notional, cash_bound):
            self.refuse(symbol, signal, refusal)
            return None
        stop = stops.stop_price(signal.close, stop_pct)
        entry = Entry(
            symbol=symbol,
            at=self._now,
            price=signal.close,
            qty=qty,
            notional_usd=notional,
            stop_price=stop,
            stop_pct=stop_pct,
            atr_at_entry=atr if atr == atr else None,
            risk_usd=sizing.risk_usd(notional, stop_pct),
            cap_bound=cap_bound,
            universe_id=self.universe_id,
            cooldown_until=self._cooldown("open"),
            max_open_positions=s.guard.max_open_positions,
            signal=self._stored(symbol, signal),
        )
        outcome = self.store.enter(entry, stacking=not s.guard.one_position_per_symbol)
        if isinstance(outcome, Refused):
            self.refuse(symbol, signal, outcome.reason)
            return None
        holding = Holding(
            position_id=outcome.position_id,
            opened_at_ms=self._now_ms,
            entry_price=signal.close,
            atr=atr,
            stop_pct=stop_pct,
            hard_stop=stop,
            stop=stop,
            high_water=signal.close,
            low_water=signal.close,
            entry=entry,
            cash_bound=cash_bound,
            seen_ms=self._now_ms,
            pending_qty=qty,
        )
        self.holdings[symbol] = holding
        self.record.signals_acted += 1
        return holding

    def increase(self, symbol: str, signal: BarSignal) -> float | None:
        """Return the quantity to stack on the open position (the earlier bot's way), None when it may not be."""
        holding = self.holdings[symbol]
        qty, _, cash_bound = self._size(signal.close, holding.stop_pct)
        if refusal := self._too_small(qty * signal.close, cash_bound):
            self.refuse(symbol, signal, refusal)
            return None
        self.store.record_signal(self._stored(symbol, signal), acted=True, reject_reason=None)
        self.record.signals_acted += 1
        holding.pending_qty = qty
        return qty

    def increased(self, symbol: str, average_entry: float, qty: float, price: float) -> float:
        """Note a filled increase and return the new stop: the same distance under the average entry, never lower."""
        holding = self.holdings[symbol]
        holding.entries += 1
        holding.entry_price = average_entry
        holding.hard_stop = max(holding.hard_stop, stops.stop_price(average_entry, holding.stop_pct))
        holding.stop = max(holding.stop, holding.hard_stop)
        self.store.increase(holding.position_id, at=self._now, price=price, qty=qty, stop_price=holding.stop)
        return holding.stop

    def manage(self, symbol: str) -> ExitReason | None:
        """Raise the trail after a closed bar; return the reason to leave at this close, or None."""
        s, holding = self.settings, self.holdings[symbol]
        bars = self.market.bars(symbol, s.signal_timeframe, self._now_ms)
        close = float(bars[-1, indicators.CLOSE])
        raised = False
        # More than one bar where the market paused across a bar's end: the late one counts as well.
        for bar in bars[np.searchsorted(bars[-16:, 0], holding.seen_ms) - min(len(bars), 16) :]:
            raised |= bool(bar[indicators.HIGH] > holding.high_water)
            holding.high_water = max(holding.high_water, float(bar[indicators.HIGH]))
            holding.low_water = min(holding.low_water, float(bar[indicators.LOW]))
        holding.seen_ms = self._now_ms
        stop = stops.trail_stop(
            holding.entry_price,
            holding.stop,
            holding.high_water,
            holding.atr,
            s.trail.activation_atr,
            s.trail.multiplier,
        )
        if stop > holding.stop or raised:
            holding.stop = stop
            self.store.move_stop(holding.position_id, at=self._now, stop_price=stop, high_water=holding.high_water)
        return exits.first_exit(
            exits.ExitView(
                close=close,
                entry=holding.entry_price,
                hard_stop=holding.hard_stop,
                stop=holding.stop,
                high_water=holding.high_water,
                low_water=holding.low_water,
                age_minutes=(self._now_ms - holding.opened_at_ms) / 60_000,
                flat_after_minutes=self._flat_after,
                flat_max_move_pct=s.flat.max_move_pct,
            )
        )

    def filled(self, symbol: str, at_ms: int, side: str, qty: float, price: float) -> None:
        """Note an executed order of an open position."""
        holding = self.holdings[symbol]
        holding.fills.append(Fill(symbol, at_ms, side, abs(qty), price))
        if side == "buy":
            holding.pending_qty = 0.0

    def close(self, symbol: str, at_ms: int) -> Trade:
        """Close the books on a position whose last order filled at `at_ms`."""
        holding = self.holdings.pop(symbol)
        if self.ending:
            reason: ExitReason = "session_end"
        elif holding.exit_reason is not None:
            reason = holding.exit_reason
        else:
            reason = exits.filled_stop(holding.stop, holding.hard_stop)
        trade = trade_of(symbol, holding, at_ms, reason, self.settings.costs.rate)
        self.record.trades.append(trade)
        self._losses_in_a_row = self._losses_in_a_row + 1 if trade.pnl_usd < 0 else 0
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        self.store.close(
            Exit(holding.position_id, symbol, at, trade.exit_price, reason, trade.fee, trade.pnl_usd),
            self.settings.ban,
            self._cooldown("close", at),
        )
        if self.settings.breaker.consecutive_losses:
            self._ask_breaker(self.equity())
        return trade

    def _size(self, price: float, stop_pct: float) -> tuple[float, bool, bool]:
        s = self.settings.sizing
        equity = self.equity() if s.risk_per_trade_usd == 0 else 0.0
        return sizing.position_size(
            price,
            stop_pct,
            equity,
            self.market.free_cash(),
            s.risk_per_trade_usd,
            s.max_position_usd,
            s.position_pct,
        )

    def _too_small(self, notional: float, cash_bound: bool) -> RefusalReason | None:
        if notional > 0 and notional >= self.settings.sizing.min_notional_usd:
            return None
        return "not_enough_cash" if cash_bound else "under_minimum_size"

    def _cooldown(self, moment: str, at: datetime | None = None) -> datetime | None:
        guard = self.settings.guard
        if guard.cooldown_from != moment or not guard.cooldown_hours:
            return None
        return (at or self._now) + timedelta(hours=guard.cooldown_hours)
