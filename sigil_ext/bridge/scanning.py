"""What a scan measures of one symbol, and a market of candles that are simply there. Imports no Jesse.

The session scans through `measures_of`, and so does a scan by hand: one implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.bars import MINUTE_MS, build_bars
from sigil_ext.rules import indicators, universe
from sigil_ext.rules.types import UniverseScan
from sigil_ext.settings.models import TIMEFRAME_MINUTES, VariantSettings

HOUR_MS = 3_600_000


class Bars(Protocol):
    """The candles of a market that are closed by an instant."""

    def minutes(self, symbol: str) -> NDArray[np.float64]: ...
    def bars(self, symbol: str, timeframe: str, now_ms: int) -> NDArray[np.float64]: ...


def measures_of(
    market: Bars, settings: VariantSettings, symbol: str, now_ms: int, *, banned: bool, held: bool
) -> universe.Measures:
    """Return what a scan at `now_ms` knows of `symbol`."""
    minutes = market.minutes(symbol)
    count, price, volume, tick_pct, empty_pct, change_pct = universe.measure(minutes, now_ms)
    atr = indicators.wilder_atr(market.bars(symbol, settings.atr_timeframe, now_ms), indicators.PERIOD)
    return universe.Measures(
        symbol=symbol,
        candles=count,
        age_hours=(now_ms - minutes[0, 0]) / HOUR_MS if len(minutes) else 0.0,
        price=price,
        quote_volume_usd=volume,
        atr_pct=atr / price * 100,
        tick_pct=tick_pct,
        zero_volume_pct=empty_pct,
        change_pct=change_pct,
        banned=banned,
        held=held,
    )


class CandleMarket:
    """Candles by symbol, cut at `now_ms`: shape (n, 6), Jesse's column order, oldest first."""

    def __init__(self, candles: Mapping[str, NDArray[np.float64]], now_ms: int) -> None:
        last = now_ms - MINUTE_MS
        self._candles = {s: rows[: np.searchsorted(rows[:, 0], last, "right")] for s, rows in candles.items()}

    def minutes(self, symbol: str) -> NDArray[np.float64]:
        """Return the minutes closed by then."""
        return self._candles[symbol]

    def bars(self, symbol: str, timeframe: str, now_ms: int) -> NDArray[np.float64]:
        """Return every bar closed at `now_ms`, made of those minutes."""
        length = TIMEFRAME_MINUTES[timeframe] * MINUTE_MS
        rows = self._candles[symbol]
        return build_bars(rows[: np.searchsorted(rows[:, 0], now_ms - now_ms % length)], length)


def scan_candles(
    candles: Mapping[str, NDArray[np.float64]],
    settings: VariantSettings,
    now_ms: int,
    *,
    banned: Collection[str] = (),
    held: Collection[str] = (),
) -> UniverseScan:
    """Return the universe at `now_ms` of the pool that `candles` holds; candles that close later are not looked at."""
    market = CandleMarket(candles, now_ms)
    pool = (
        measures_of(market, settings, symbol, now_ms, banned=symbol in banned, held=symbol in held)
        for symbol in sorted(candles)
    )
    return universe.scan(pool, settings.universe, datetime.fromtimestamp(now_ms / 1000, UTC))
