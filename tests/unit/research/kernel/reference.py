"""A variant led minute by minute in plain Python: the session that strategies use, a broker of thirty lines, no shortcut.

Slow and obvious, so that the kernel can be held against it on any candles: nothing is skipped, nothing remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from sigil_ext.bridge.session import Session
from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.research.kernel import CellTrades, from_records
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN, VOLUME
from sigil_ext.settings.models import TIMEFRAME_MINUTES, VariantSettings

MINUTE = 60_000


def added(a: float, b: float) -> float:
    """Return a + b as Jesse adds money: as decimals."""
    return float(Decimal(str(float(a))) + Decimal(str(float(b))))


class Seen:
    """The candles that are visible now, and the wallet."""

    def __init__(self, candles: Mapping[str, np.ndarray], cash: float) -> None:
        self.candles = candles
        self.count = dict.fromkeys(candles, 0)
        self.cash = cash

    def minutes(self, symbol: str) -> np.ndarray:
        return self.candles[symbol][: self.count[symbol]]

    def bars(self, symbol: str, timeframe: str, now_ms: int) -> np.ndarray:
        rows, length = self.minutes(symbol), TIMEFRAME_MINUTES[timeframe] * MINUTE
        made = []
        for begin in np.unique(rows[:, 0] // length * length):
            part = rows[(rows[:, 0] >= begin) & (rows[:, 0] < begin + length)]
            if begin + length <= min(now_ms, rows[-1, 0] + MINUTE):
                made.append(
                    [
                        begin,
                        part[0, OPEN],
                        part[-1, CLOSE],
                        part[:, HIGH].max(),
                        part[:, LOW].min(),
                        part[:, VOLUME].sum(),
                    ]
                )
        return np.array(made) if made else np.zeros((0, 6))

    def free_cash(self) -> float:
        return self.cash

    def first_ms(self, symbol: str) -> float:
        return float(self.candles[symbol][0, 0])


class Run:
    """One variant on a few candles."""

    def __init__(self, settings: VariantSettings, candles: Mapping[str, np.ndarray], start_ms: int, one_clock: bool):
        self.seen = Seen(candles, settings.sizing.starting_balance)
        self.session = Session(settings, MemoryStore("plain"), self.seen, list(candles), start_ms=start_ms)
        self.rate = settings.costs.rate
        self.held: dict[str, float] = {}
        self.bought: dict[str, tuple[float, float]] = {}  # the last order to buy
        self.average: dict[str, float] = {}
        self.start_ms, self.one_clock = start_ms, one_clock
        self.length = TIMEFRAME_MINUTES[settings.signal_timeframe] * MINUTE
        self.stacks = not settings.guard.one_position_per_symbol

    def result(self) -> CellTrades:
        candles = self.seen.candles
        times = sorted({int(t) + MINUTE for rows in candles.values() for t in rows[:, 0]})
        for now in times:
            self.minute(now)
        self.session.ending = True
        for symbol in sorted(self.held):
            self.sell(symbol, float(candles[symbol][-1, CLOSE]), times[-1])
        record = self.session.record
        return from_records(record.trades, list(candles), self.seen.cash, record.signals_refused)

    def minute(self, now: int) -> None:
        fresh = [s for s in sorted(self.seen.candles) if self.next_opens(s) == now - MINUTE]
        if not self.one_clock:
            for symbol in fresh:
                self.seen.count[symbol] += 1
        for symbol in fresh:
            if self.one_clock:
                self.seen.count[symbol] += 1
            candle = self.seen.minutes(symbol)[-1]
            if symbol in self.held:
                stop = self.session.holdings[symbol].stop
                if candle[OPEN] <= stop:
                    self.sell(symbol, float(candle[OPEN]), now)
                elif candle[LOW] <= stop:
                    self.sell(symbol, stop, now)
        if now % self.length == 0 and now > self.start_ms:
            for symbol in fresh:
                self.decide(symbol, float(self.seen.minutes(symbol)[-1, CLOSE]), now)

    def next_opens(self, symbol: str) -> int:
        rows, n = self.seen.candles[symbol], self.seen.count[symbol]
        return int(rows[n, 0]) if n < len(rows) else -1

    def decide(self, symbol: str, price: float, now: int) -> None:
        session = self.session
        session.on_bar(now)
        refusal = session.guard(symbol)
        signal = session.signal(symbol)
        if refusal is not None:
            session.guarded(symbol, signal, refusal)
        wanted = refusal is None and signal.fired
        if symbol in self.held:
            reason = session.manage(symbol)
            if reason is not None:
                session.holdings[symbol].exit_reason = reason
                self.sell(symbol, price, now)
            elif wanted and self.stacks:
                qty = session.increase(symbol, signal)
                if qty is not None and self.bought[symbol] != (qty, price):
                    self.buy(symbol, qty, price, now)
                return
        if symbol not in self.held and wanted:
            holding = session.enter(symbol, signal)
            if holding is not None:
                self.buy(symbol, holding.entry.qty, price, now)

    def buy(self, symbol: str, qty: float, price: float, now: int) -> None:
        self.seen.cash = added(self.seen.cash, -(qty * price))
        self.session.filled(symbol, now, "buy", qty, price)
        self.bought[symbol] = (qty, price)
        if symbol not in self.held:
            self.held[symbol], self.average[symbol] = qty * (1 - self.rate), price
            return
        held = self.held[symbol]
        self.average[symbol] = (qty * price + held * self.average[symbol]) / (qty + held)
        self.held[symbol] = added(held, qty * (1 - self.rate))
        self.session.increased(symbol, self.average[symbol], qty, price)

    def sell(self, symbol: str, price: float, now: int) -> None:
        qty = self.held.pop(symbol)
        self.seen.cash = added(self.seen.cash, (qty * price) * (1 - self.rate))
        self.session.filled(symbol, now, "sell", qty, price)
        self.session.close(symbol, now)
