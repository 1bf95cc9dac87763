"""Jesse strategies for tests, as a user would write them: no Sigil in them. Importing this imports Jesse."""

from __future__ import annotations

import numpy as np
from jesse.strategies import Strategy


class WatchesItsBars(Strategy):
    """Buys every few bars with a close stop, and checks each bar Jesse shows it against the minutes of its own span."""

    def before(self):
        minutes = self.get_candles(self.exchange, self.symbol, "1m")
        for timeframe, length in (("15m", 15), ("1h", 60)):
            begins = minutes[:, 0] - minutes[:, 0] % (length * 60_000)
            shown = self.get_candles(self.exchange, self.symbol, timeframe)
            assert np.array_equal(shown[:, 0], np.unique(begins)), f"{timeframe} bars missing at {minutes[-1, 0]}"
            for bar in shown[-6:-1]:
                span = minutes[begins == bar[0]]
                expected = [span[0, 1], span[-1, 2], span[:, 3].max(), span[:, 4].min()]
                assert np.array_equal(bar[1:5], expected), f"{timeframe} bar at {bar[0]}: {bar[1:5]} not {expected}"

    def should_long(self):
        return self.index % 3 == 0

    def go_long(self):
        self.buy = 10 / self.price, self.price

    def on_open_position(self, order):
        self.stop_loss = self.position.qty, self.price * 0.998

    def update_position(self):
        if self.index % 7 == 0:
            self.liquidate()


class ReadsAsVariantsDo(WatchesItsBars):
    """The same trades, but looks at every symbol's closed bars through what Sigil's variants read."""

    def before(self):
        from sigil_ext.bridge.bars import build_bars
        from sigil_ext.bridge.strategy import JesseMarket

        market = JesseMarket(self.exchange)
        for symbol in {route.symbol for route in self.routes}:
            minutes = market.minutes(symbol)
            for timeframe, length in (("15m", 900_000), ("1h", 3_600_000)):
                expected = build_bars(minutes, length)
                expected = expected[expected[:, 0] + length <= minutes[-1, 0] + 60_000]
                shown = market.bars(symbol, timeframe, int(self.time))
                assert np.array_equal(shown[:, :5], expected[:, :5]), f"{symbol} {timeframe} at {self.time}"
