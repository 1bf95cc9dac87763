"""Named fakes: real classes that keep a contract in memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.bars import closed_bars
from sigil_ext.settings.models import TIMEFRAME_MINUTES


class RecordedMarket:
    """A market of recorded candles for a session: shows what is closed at `now_ms`, keeps a wallet that tests set."""

    def __init__(self, candles: Mapping[str, NDArray[np.float64]], cash: float = 1000.0) -> None:
        self.candles = dict(candles)
        self.cash = cash
        self.now_ms = 0

    def minutes(self, symbol: str) -> NDArray[np.float64]:
        rows = self.candles[symbol]
        return rows[rows[:, 0] + 60_000 <= self.now_ms]

    def bars(self, symbol: str, timeframe: str, now_ms: int) -> NDArray[np.float64]:
        return closed_bars(self.minutes(symbol), TIMEFRAME_MINUTES[timeframe], now_ms)

    def free_cash(self) -> float:
        return self.cash

    def first_ms(self, symbol: str) -> float:
        rows = self.minutes(symbol)
        return float(rows[0, 0]) if len(rows) else float("nan")
