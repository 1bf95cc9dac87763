"""Jesse's core driven from outside, a closed minute at a time: what a paper engine needs and Jesse does not ship.

The host sets Jesse up as `jesse.research.backtest` does and then feeds each minute to the very function that Jesse's
timestamp replay feeds (`_apply_timestamp_replay_event`), executes the routes whose bar closed, and fills the market
orders: the same calls in the same order, so that the same candles give the same trades. Jesse's state is process-wide:
one host a process. Start at `Host.minute`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.replay import observed_replay

MINUTE_MS = 60_000
DAY_MS = 86_400_000
KEPT_MINUTES = 1440  # the longest timeframe that is built from minutes is a day
CAPACITY = 4 * KEPT_MINUTES

Row = Sequence[float]


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

        self._timeframes = [
            (name, backtest_mode.TIMEFRAME_TO_ONE_MINUTES[name] * MINUTE_MS)
            for name in jesse_config["app"]["considering_timeframes"]
            if name != "1m"
        ]
        self._candles: dict[str, dict[str, Any]] = {}
        self._count: dict[str, int] = {}
        self._open_bar: dict[
            tuple[str, str], tuple[int, int]
        ] = {}  # (key, timeframe) -> (begin ms, index of its first row)
        pairs = [tuple(pair) for pair in jesse_config["app"]["considering_candles"]]
        self._keys = {symbol: f"{exchange}-{symbol}" for exchange, symbol in pairs}
        for exchange, symbol in pairs:
            key = f"{exchange}-{symbol}"
            self._candles[key] = {"exchange": exchange, "symbol": symbol, "candles": np.zeros((CAPACITY, 6))}
            self._count[key] = 0
        self._pipelines = backtest_mode._prepare_routes(
            hyperparameters=dict(hyperparameters) if hyperparameters is not None else None
        )
        before = {
            key: {**candles, "candles": np.ascontiguousarray((warmup or {}).get(candles["symbol"], np.zeros((0, 6))))}
            for key, candles in self._candles.items()
        }
        backtest_mode._prepare_timestamp_replay_warmup(before, start_ms)
        store.app.starting_time = start_ms
        store.app.time = start_ms
        save_daily_portfolio_balance(is_initial=True)
        self._next_sample_ms = start_ms + DAY_MS + MINUTE_MS
        self.routes = sorted(router.routes, key=lambda r: (r.exchange, r.symbol, r.timeframe, str(r.strategy_name)))
        self._candle_service = candle_service

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
        sources: list[tuple[str, int]] = []
        bars: list[tuple[str, str, int]] = []
        for symbol, row in candles.items():
            key = self._keys[symbol]
            sources.append((key, self._append(key, row)))
            bars += self._closing_bars(key, open_ms, end_ms)
        event = {"time": end_ms, "sources": sorted(sources), "aggregates": sorted(bars)}
        updated, pairs = self._simulator._apply_timestamp_replay_event(
            event, self._candles, self._pipelines, process_orders=True
        )
        for route in self.routes:
            if (route.exchange, route.symbol, route.timeframe) in updated:
                route.strategy._execute()
        for exchange, symbol in sorted(pairs):
            self._orders.update_active_orders(exchange, symbol)
        self._orders.execute_simulated_market_orders()
        if end_ms >= self._next_sample_ms:
            self._sample_balance()
            while self._next_sample_ms <= end_ms:
                self._next_sample_ms += DAY_MS

    def last_price(self, symbol: str) -> float | None:
        """Return the close of the last candle of `symbol`, None before there is one or where it is not followed."""
        rows = self._store.candles.storage.get(f"{self._keys.get(symbol)}-1m")
        return float(rows[-1][2]) if rows is not None and len(rows) else None

    def last_bar(self, symbol: str, timeframe: str, end_ms: int) -> NDArray[np.float64] | None:
        """Return the bar of `symbol` that ends at `end_ms`, None where no minute of it had a candle."""
        rows = self._store.candles.storage.get(f"{self._keys.get(symbol)}-{timeframe}")
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
        outputs: dict[str, Any] = self._simulator._generate_outputs(self._candles)
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
        """Return what the host itself remembers between minutes: of the minutes, those that open bars still need.

        What Jesse's candle arrays hold in reserve is given up, so that a checkpoint holds candles and no zeros.
        """
        for rows in self._store.candles.storage.values():
            array, index = rows.snapshot()
            rows.array = array[: index + 2].copy()
        recent: dict[str, NDArray[np.float64]] = {}
        open_bars: dict[tuple[str, str], tuple[int, int]] = {}
        for key, count in self._count.items():
            mine = {place: bar for place, bar in self._open_bar.items() if place[0] == key}
            first = min([count, *(index for _, index in mine.values())])
            recent[key] = self._candles[key]["candles"][first:count].copy()
            open_bars |= {place: (begin, index - first) for place, (begin, index) in mine.items()}
        return {
            "recent": recent, "open_bars": open_bars, "next_sample_ms": self._next_sample_ms, "pipelines": self._pipelines,
        }  # fmt: skip

    def take_state(self, state: Mapping[str, Any]) -> None:
        """Remember what `own_state` of another host of the same routes gave."""
        for key, rows in state["recent"].items():
            self._candles[key]["candles"][: len(rows)] = rows
            self._count[key] = len(rows)
        self._open_bar = dict(state["open_bars"])
        self._next_sample_ms, self._pipelines = state["next_sample_ms"], state["pipelines"]

    def trim(self, minutes: int, bars: int) -> None:
        """Forget candles beyond the last `minutes` and, of larger timeframes, beyond the last `bars`.

        For strategies that look back no further; done when twice as many have gathered, so it costs nothing a minute.
        """
        for key, rows in self._store.candles.storage.items():
            kept = minutes if key.endswith("-1m") else bars
            if len(rows) >= 2 * kept:
                array, index = rows.snapshot()
                fresh = np.zeros((2 * kept + 1, array.shape[1]))
                fresh[:kept] = array[index + 1 - kept : index + 1]
                rows.array, rows.index = fresh, kept - 1

    def _append(self, key: str, row: Row) -> int:
        """Keep the candle where Jesse's replay looks for it and return its index there."""
        count = self._count[key]
        if count == CAPACITY:
            kept = self._candles[key]["candles"]
            moved = CAPACITY - KEPT_MINUTES
            kept[:KEPT_MINUTES] = kept[moved:]
            for place, (begin, index) in self._open_bar.items():
                if place[0] == key:
                    self._open_bar[place] = (begin, max(0, index - moved))
            count = KEPT_MINUTES
        self._candles[key]["candles"][count] = row
        self._count[key] = count + 1
        return count

    def _closing_bars(self, key: str, open_ms: int, end_ms: int) -> list[tuple[str, str, int]]:
        """Return (key, timeframe, index of the first row) of the larger bars that this candle makes available.

        A bar is available with the first candle of its symbol whose minute ends at the bar's end or later.
        """
        closing: list[tuple[str, str, int]] = []
        index = self._count[key] - 1
        for timeframe, length in self._timeframes:
            begin = open_ms - open_ms % length
            place = (key, timeframe)
            open_bar = self._open_bar.get(place)
            if open_bar is not None and open_bar[0] != begin:
                closing.append((key, timeframe, open_bar[1]))
                open_bar = None
            if open_bar is None:
                open_bar = (begin, index)
            if begin + length == end_ms:
                closing.append((key, timeframe, open_bar[1]))
                self._open_bar.pop(place, None)
            else:
                self._open_bar[place] = open_bar
        return closing
