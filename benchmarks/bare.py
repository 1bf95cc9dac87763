"""The variants' entry and exits as a Jesse user would write them by hand: no session, no guard, no universe, no record."""

from __future__ import annotations

import jesse.indicators as ta
from jesse.strategies import Strategy

LOOKBACK, VOLUME_LOOKBACK, VOLUME_FACTOR, RSI = 10, 10, 1.2, (40.0, 90.0)
MULTIPLIER, FLOOR, CAP = 2.5, 3.0, 6.0
ACTIVATION, TRAIL = 1.0, 1.5
FLAT_MINUTES, FLAT_PCT = 480, 1.5


class BareBreakout(Strategy):
    """The unhinged variant without what Sigil adds."""

    def should_long(self):
        bars = self.candles
        if self.vars.get("left") == self.time:  # not at the very close that was sold
            return False
        if len(bars) < 15 or bars[-1, 2] <= bars[-LOOKBACK - 1 : -1, 3].max():
            return False
        mean = bars[-VOLUME_LOOKBACK - 1 : -1, 5].mean()
        if bars[-1, 5] <= 0 or bars[-1, 5] < VOLUME_FACTOR * mean:
            return False
        return len(self.closed_hours()) >= 14 and RSI[0] <= ta.rsi(bars[-240:], 14) <= RSI[1]

    def closed_hours(self):
        hours = self.get_candles(self.exchange, self.symbol, "1h")
        return hours if hours[-1, 0] + 3_600_000 <= self.time else hours[:-1]

    def go_long(self):
        self.vars["atr"] = ta.atr(self.closed_hours()[-240:], 14)
        self.buy = 50 / self.price, self.price

    def on_open_position(self, order):
        entry, atr = order.price, self.vars["atr"]
        distance = min(max(MULTIPLIER * atr / entry * 100, FLOOR), CAP) if atr > 0 else FLOOR
        self.vars.update(entry=entry, high=entry, low=entry, opened=self.time, stop=entry * (1 - distance / 100))
        self.stop_loss = self.position.qty, self.vars["stop"]

    def update_position(self):
        v = self.vars
        v["high"], v["low"] = max(v["high"], self.high), min(v["low"], self.low)
        stop = v["stop"]
        if v["atr"] > 0 and v["high"] >= v["entry"] + ACTIVATION * v["atr"]:
            stop = max(stop, v["high"] - TRAIL * v["atr"])
        old = self.time - v["opened"] >= FLAT_MINUTES * 60_000
        flat = old and max(v["high"] - v["entry"], v["entry"] - v["low"]) / v["entry"] * 100 < FLAT_PCT
        if stop >= self.price or abs(1 - stop / self.price) <= 0.00015 or flat:
            v["left"] = self.time
            self.stop_loss = self.position.qty, self.price
        elif stop > v["stop"]:
            v["stop"] = stop
            self.stop_loss = self.position.qty, stop
