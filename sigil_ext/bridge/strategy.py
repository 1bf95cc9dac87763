"""The strategy behind every variant: a thin Jesse strategy that asks the session and does what it says.

Importing this module imports Jesse. A variant's class names its overlay and nothing else; see strategies/Baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from jesse.models import ClosedTrade, Order
from jesse.store import store as jesse_store
from jesse.strategies import Strategy
from numpy.typing import NDArray

from sigil_ext.bridge.bars import closed_bars
from sigil_ext.bridge.session import BarSignal, Session
from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.errors import SettingsError
from sigil_ext.rules.types import RefusalReason
from sigil_ext.settings.models import TIMEFRAME_MINUTES, VariantSettings
from sigil_ext.settings.overlays import flatten, load_variant, merge

# Overlay keys that are Jesse hyperparameters too, with the range that Jesse's optimizer searches.
HYPERPARAMETERS: dict[str, tuple[str, type, float, float]] = {
    "hard_stop_multiplier": ("hard_stop.multiplier", float, 0.0, 4.0),
    "trail_activation_atr": ("trail.activation_atr", float, 0.0, 4.0),
    "trail_multiplier": ("trail.multiplier", float, 0.25, 6.0),
    "breakout_lookback": ("entry.breakout_lookback", int, 5, 100),
    "volume_factor": ("entry.volume_factor", float, 0.0, 6.0),
}


class JesseMarket:
    """The market as Jesse's candle store holds it, cut at what is closed now."""

    def __init__(self, exchange: str) -> None:
        self._exchange = exchange
        self._candles = jesse_store.candles
        self._wallet = jesse_store.exchanges.get_exchange(exchange)
        self._first: dict[str, float] = {}

    def minutes(self, symbol: str) -> NDArray[np.float64]:
        """Return every 1m candle seen so far, oldest first."""
        array, index = self._candles.get_storage(self._exchange, symbol, "1m").snapshot()
        minutes: NDArray[np.float64] = array[: index + 1]
        return minutes

    def bars(self, symbol: str, timeframe: str, now_ms: int) -> NDArray[np.float64]:
        """Return the bars of `timeframe` that are closed at `now_ms`, oldest first.

        Closed is a bar once a candle of its last minute or later has been seen; before that, a fill may have stored it
        half made. Read from the store and not through `get_candles`, which appends the bar that is still forming. Where
        Jesse was given no route of that timeframe (its dashboard), the bars are built here from the minutes.
        """
        minutes = self.minutes(symbol)
        if not len(minutes):
            return np.zeros((0, 6))
        end_ms = min(now_ms, int(minutes[-1, 0]) + 60_000)
        stored = self._candles.storage.get(f"{self._exchange}-{symbol}-{timeframe}")
        if stored is None:
            return closed_bars(minutes, TIMEFRAME_MINUTES[timeframe], end_ms)
        array, index = stored.snapshot()
        length = TIMEFRAME_MINUTES[timeframe] * 60_000
        while index >= 0 and array[index, 0] + length > end_ms:
            index -= 1
        bars: NDArray[np.float64] = array[: index + 1]
        return bars

    def first_ms(self, symbol: str) -> float:
        """Return the open time of the first candle ever seen, also when it has been forgotten since; NaN before it."""
        if symbol not in self._first:
            minutes = self.minutes(symbol)
            if not len(minutes):
                return float("nan")
            self._first[symbol] = float(minutes[0, 0])
        return self._first[symbol]

    def free_cash(self) -> float:
        """Return the quote currency that no order has taken yet."""
        return float(self._wallet.wallet_balance)


class VariantStrategy(Strategy):  # type: ignore[misc]
    """Long only, one resting stop, decisions at the close of each signal bar. Not to be routed itself."""

    variant: ClassVar[str]
    settings: ClassVar[VariantSettings | None] = None
    make_session: ClassVar[Callable[[VariantSettings, JesseMarket, list[str]], Session] | None] = None

    session: Session
    _refusal: RefusalReason | None
    _signal: BarSignal

    @property
    def close(self) -> float:
        """Return the last price. Jesse builds the whole bar anew to look at its close, which is the last minute's."""
        return float(jesse_store.candles.get_storage(self.exchange, self.symbol, "1m")[-1][2])

    # --- what Jesse calls ---------------------------------------------------------------------------------------

    def before(self) -> None:
        if self.index == 0:
            self.session = self._shared_session()
        self.session.on_bar(int(self.time))
        # The guard decides before any entry rule is looked at; the rule is asked all the same, to count what it refused.
        self._refusal = self.session.guard(self.symbol)
        self._signal = self.session.signal(self.symbol)
        if self._refusal is not None:
            self.session.guarded(self.symbol, self._signal, self._refusal)

    def should_long(self) -> bool:
        if self._refusal is not None or not self._signal.fired:
            return False
        return self.session.enter(self.symbol, self._signal) is not None

    def go_long(self) -> None:
        self.buy = self.session.holdings[self.symbol].entry.qty, self.price

    def on_open_position(self, order: Order) -> None:
        self.session.filled(self.symbol, int(self.time), order.side, order.qty, order.price)
        self.stop_loss = self.position.qty, self.session.holdings[self.symbol].stop

    def update_position(self) -> None:
        session, holding = self.session, self.session.holdings[self.symbol]
        stop = holding.stop
        reason = session.manage(self.symbol)
        if reason is not None:
            holding.exit_reason = reason
            self.stop_loss = self.position.qty, self.price  # at the close, as a market order
        elif holding.stop > stop:
            self.stop_loss = self.position.qty, holding.stop
        stacks = reason is None and self._signal.fired and self._refusal is None
        if stacks and (qty := session.increase(self.symbol, self._signal)):
            self.buy = qty, self.price

    def on_increased_position(self, order: Order) -> None:
        self.session.filled(self.symbol, int(self.time), order.side, order.qty, order.price)
        stop = self.session.increased(self.symbol, self.position.entry_price, order.qty, order.price)
        self.stop_loss = self.position.qty, stop

    def on_close_position(self, order: Order, closed_trade: ClosedTrade) -> None:
        self.session.filled(self.symbol, int(self.time), order.side, order.qty, order.price)
        self.session.close(self.symbol, int(self.time))

    def before_terminate(self) -> None:
        if self.index:
            self.session.ending = True

    def hyperparameters(self) -> list[dict[str, Any]]:
        values = flatten(self._loaded())
        return [
            {"name": name, "type": kind, "min": kind(low), "max": kind(high), "default": kind(values[path])}
            for name, (path, kind, low, high) in HYPERPARAMETERS.items()
        ]

    # --- own ----------------------------------------------------------------------------------------------------

    def _loaded(self) -> VariantSettings:
        return type(self).settings or load_variant(self.variant).settings

    def _tuned(self) -> VariantSettings:
        """Return the settings with this route's hyperparameters on top."""
        values = flatten(self._loaded())
        changed = {
            path: kind(self.hp[name])
            for name, (path, kind, _, _) in HYPERPARAMETERS.items()
            if name in (self.hp or {}) and kind(self.hp[name]) != kind(values[path])
        }
        if not changed:
            return self._loaded()
        return merge(self.variant, [("overlay", values), ("hyperparameters", changed)]).settings

    def _check_routes(self, settings: VariantSettings) -> None:
        if self.timeframe != settings.signal_timeframe:
            raise SettingsError(
                f"{type(self).__name__} is routed at {self.timeframe}; route it at {settings.signal_timeframe}, "
                "its signal_timeframe"
            )

    def _shared_session(self) -> Session:
        """Return the session that all routes of this variant share; the first route makes it."""
        key = f"sigil:{self.variant}"
        if key not in self.shared_vars:
            settings = self._tuned()
            self._check_routes(settings)
            market = JesseMarket(self.exchange)
            pool = sorted({route.symbol for route in self.routes if route.exchange == self.exchange})
            make = type(self).make_session
            if make is not None:
                self.shared_vars[key] = make(settings, market, pool)
            else:
                self.shared_vars[key] = Session(settings, MemoryStore(self.variant), market, pool)
        session: Session = self.shared_vars[key]
        return session
