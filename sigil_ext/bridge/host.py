"""Jesse's core driven from outside, a closed minute at a time: what a paper engine needs and Jesse does not ship.

The host sets Jesse up as `jesse.research.backtest` does and then does with each minute what Jesse's timestamp replay does
(`_apply_timestamp_replay_event`, with the mends of `replay.py`): it shows the candles, lets Jesse fill the orders that they
touch, stores the bars that closed, executes the routes of these, and fills the market orders, in the same order, so that
the same candles give the same trades. Jesse's state is process-wide: one host a process. Start at `Host.minute`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.candle_book import CandleBook, Pair, Row, pair_of
from sigil_ext.bridge.replay import observed_replay

MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Host:
    """One session of Jesse's core: strategies, broker, sandbox exchange, positions, candles."""

    def __init__(
        self,
        config: Mapping[str, Any],
        routes: Sequence[Mapping[str, Any]],
        data_routes: Sequence[Mapping[str, Any]],
        *,
        start_ms: int,
        warmup: Mapping[str, NDArray[np.float64]] | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Set Jesse up.

        Args:
            config: as for `jesse.research.backtest`. routes, data_routes: likewise; strategies as classes.
            start_ms: open time of the first minute that will be fed, on a bar's boundary of every timeframe.
            warmup: per symbol (TST-USDT) the candles before `start_ms`, shape (n, 6), Jesse's column order.
        """
        from jesse.config import config as jesse_config
        from jesse.config import set_config
        from jesse.modes import backtest_mode
        from jesse.modes.utils import save_daily_portfolio_balance

        research = importlib.import_module("jesse.research.backtest")
        from jesse.routes import router
        from jesse.services import candle_service, exchange_service, order_service, position_service
        from jesse.services.validators import validate_routes
        from jesse.store import store

        self._simulator = backtest_mode
        self._orders = order_service
        self._store = store
        self._sample_balance = save_daily_portfolio_balance
        self._exchange = str(routes[0]["exchange"])

        self._closed = False
        self._mend = observed_replay(start_ms)
        self._mend.__enter__()
        research._reset_research_runtime_state()
        jesse_config["app"]["trading_mode"] = "backtest"
        set_config(research._format_config(dict(config)))
        router.initiate([dict(r) for r in routes], [dict(r) for r in data_routes])
        store.reset()
        validate_routes(router)
        store.candles.init_storage(5000)
        store.candles.enforce_warmup = False
        store.candles.uses_timestamp_buckets = True
        exchange_service.initialize_exchanges_state()
        order_service.initialize_orders_state()
        position_service.initialize_positions_state()

        timeframes = [
            (name, backtest_mode.TIMEFRAME_TO_ONE_MINUTES[name] * MINUTE_MS)
            for name in jesse_config["app"]["considering_timeframes"]
            if name != "1m"
        ]
        pairs = [tuple(pair) for pair in jesse_config["app"]["considering_candles"]]
        self._pairs = {symbol: pair_of(exchange, symbol) for exchange, symbol in pairs}
        self._seen: tuple[tuple[str, ...], list[Pair]] = (), []
        self._book = CandleBook(store, candle_service, timeframes)
        self._book.pipelines = backtest_mode._prepare_routes(
            hyperparameters=dict(hyperparameters) if hyperparameters is not None else None
        )
        self._isolated = {
            pair.symbol
            for pair in self._pairs.values()
            if (held := store.positions.get_position(pair.exchange, pair.symbol)) and held.mode == "isolated"
        }
        nothing = np.zeros((0, 6))
        before = {
            pair.key: {
                "exchange": pair.exchange, "symbol": pair.symbol,
                "candles": np.ascontiguousarray((warmup or {}).get(pair.symbol, nothing)),
            }
            for pair in self._pairs.values()
        }  # fmt: skip
        backtest_mode._prepare_timestamp_replay_warmup(before, start_ms)
        store.app.starting_time = start_ms
        store.app.time = start_ms
        save_daily_portfolio_balance(is_initial=True)
        self._next_sample_ms = start_ms + DAY_MS + MINUTE_MS
        self.routes = sorted(router.routes, key=lambda r: (r.exchange, r.symbol, r.timeframe, str(r.strategy_name)))
        self._by_minute = any(route.timeframe == "1m" for route in self.routes)

    @property
    def now_ms(self) -> int:
        """Return the simulated time: the end of the last minute fed."""
        return int(self._store.app.time)

    @property
    def trades(self) -> list[Any]:
        """Return Jesse's closed trades, oldest first."""
        trades: list[Any] = self._store.closed_trades.trades
        return trades

    def balance(self) -> float:
        """Return the wallet's balance in quote currency."""
        return float(self._store.exchanges.get_exchange(self._exchange).wallet_balance)

    def minute(self, open_ms: int, candles: Mapping[str, Row]) -> None:
        """Process one closed minute: fills, bars, decisions, market orders. Absent symbols had no candle.

        Args:
            open_ms: its open time, later than that of every minute before.
            candles: per symbol (TST-USDT) the candle in Jesse's column order.
        """
        if not candles:
            return
        end_ms = open_ms + MINUTE_MS
        self._store.app.time = float(end_ms)
        pairs = self._pairs_of(tuple(candles))
        shown = self._book.show(pairs, open_ms, candles)
        closing = self._book.closing(end_ms)
        orders, positions = self._store.orders.active_storage, self._store.positions.storage
        for pair, row, before in shown:
            key, _, symbol, _ = pair
            if symbol in self._isolated or ((resting := orders.get(key)) and _touched(resting, row, before)):
                self._trade(pair, row, before)
            elif (position := positions.get(key)) is not None:
                position.current_price = np.float64(row[2])  # the price has moved, and that is all
            for timeframe, length in closing:
                self._book.store_bar(pair, timeframe, end_ms - length, length)
        if closing or self._by_minute:
            decided = {"1m", *(name for name, _ in closing)}
            for route in self.routes:
                if route.timeframe in decided and route.symbol in candles:
                    route.strategy._execute()
        for key, exchange, symbol, _ in pairs:
            if orders.get(key):
                self._orders.update_active_orders(exchange, symbol)
        self._orders.execute_simulated_market_orders()
        if end_ms >= self._next_sample_ms:
            self._sample_balance()
            while self._next_sample_ms <= end_ms:
                self._next_sample_ms += DAY_MS

    def last_price(self, symbol: str) -> float | None:
        """Return the close of the last candle of `symbol`, None before there is one or where it is not followed."""
        rows = self._rows(symbol, "1m")
        return float(rows[-1][2]) if rows is not None and len(rows) else None

    def last_bar(self, symbol: str, timeframe: str, end_ms: int) -> NDArray[np.float64] | None:
        """Return the bar of `symbol` that ends at `end_ms`, None where no minute of it had a candle."""
        rows = self._rows(symbol, timeframe)
        begin = end_ms - self._simulator.TIMEFRAME_TO_ONE_MINUTES[timeframe] * MINUTE_MS
        for row in reversed(rows[-2:]) if rows is not None and len(rows) else ():
            if row[0] == begin:
                bar: NDArray[np.float64] = row
                return bar
        return None

    def finish(self) -> dict[str, Any]:
        """End the session as Jesse ends a backtest, open positions closed at the last price; return its results."""
        for route in self.routes:
            route.strategy._terminate()
            self._orders.execute_simulated_market_orders()
        self._sample_balance()
        self._store.app.ending_time = self._store.app.time + MINUTE_MS
        outputs: dict[str, Any] = self._simulator._generate_outputs({})
        return outputs

    def close(self) -> None:
        """Give Jesse's process-wide state back."""
        research = importlib.import_module("jesse.research.backtest")

        if self._closed:
            return
        self._closed = True
        research._reset_research_runtime_state()
        self._mend.__exit__(None, None, None)

    def add_cash(self, usd: float) -> None:
        """Put quote currency into the wallet: the proceeds of what was not bought here."""
        wallet = self._store.exchanges.get_exchange(self._exchange)
        wallet.assets[wallet.settlement_currency] += usd

    def close_position(self, symbol: str) -> bool:
        """Sell an open position at the last price, now, as a person asked; False if there is none.

        Its own resting orders are cancelled by Jesse when the position is closed.
        """
        for route in self.routes:
            if route.symbol == symbol and route.strategy.position is not None and route.strategy.position.is_open:
                position = route.strategy.position
                price = position.current_price
                route.strategy.broker.reduce_position_at(position.qty, price, price)
                self._orders.execute_simulated_market_orders()
                return True
        return False

    # --- checkpoints ----------------------------------------------------------------------------------------------

    @property
    def jesse_store(self) -> Any:
        """Return Jesse's process-wide store."""
        return self._store

    def own_state(self) -> dict[str, Any]:
        """Return what the host itself remembers between minutes."""
        self._book.give_up_reserve()
        return {"book": self._book.own_state(), "next_sample_ms": self._next_sample_ms}

    def take_state(self, state: Mapping[str, Any]) -> None:
        """Remember what `own_state` of another host of the same routes gave."""
        self._book.take_state(state["book"])
        self._next_sample_ms = state["next_sample_ms"]

    def trim(self, minutes: int, bars: int) -> None:
        """Forget candles beyond the last `minutes` and, of larger timeframes, beyond the last `bars`, now and then.

        For strategies that look back no further.
        """
        self._book.trim(minutes, bars)

    # --- own ------------------------------------------------------------------------------------------------------

    def _pairs_of(self, symbols: tuple[str, ...]) -> list[Pair]:
        """Return the pairs in Jesse's order; mostly the same symbols have candles as the minute before."""
        if symbols != self._seen[0]:
            self._seen = symbols, sorted([self._pairs[symbol] for symbol in symbols])
        return self._seen[1]

    def _rows(self, symbol: str, timeframe: str) -> Any:
        pair = self._pairs.get(symbol)
        return None if pair is None else self._store.candles.storage.get(f"{pair.key}-{timeframe}")

    def _trade(self, pair: Pair, row: Row, before: float | None) -> None:
        """Let Jesse fill the orders that the candle touches, and liquidate."""
        candle = np.array(row, dtype=np.float64)  # its own: the stored one changes when a part of it fills an order
        self._simulator._simulate_price_change_effect(candle, pair.exchange, pair.symbol, previous_close=before)


def _touched(orders: Sequence[Any], row: Row, before: float | None) -> bool:
    """Return whether an order's price lies within what the price went through since the last close."""
    low, high = row[4], row[3]
    if before is not None:
        low, high = min(low, before, row[1]), max(high, before, row[1])
    for order in orders:
        price = order.price
        if price is not None and low <= price <= high:
            return True
    return False
