"""The universe: which symbols of the pool may be entered now, from their candles up to now and nothing later.

Pure: candles in, `Measures` out (`measure`), then filters, score and rank (`scan`). `UNIVERSE_FILTERS` is the index;
every symbol of the pool gets a row with its reason. Start at `scan`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sigil_ext.rules.compiled import compiled
from sigil_ext.rules.types import UniverseRow, UniverseScan

DAY_MS = 86_400_000
ACCEPTED, HELD, RANKED_OUT = "accepted", "held", "ranked_out"


@dataclass(frozen=True, slots=True)
class Measures:
    """What a scan knows of one symbol. Percentages as percent, volume in quote currency, NaN where unknown."""

    symbol: str
    candles: int
    age_hours: float
    price: float
    quote_volume_usd: float
    atr_pct: float
    tick_pct: float
    zero_volume_pct: float
    change_pct: float
    banned: bool = False
    held: bool = False


class ScoreWeights(Protocol):
    """The `universe.score` section of the settings."""

    @property
    def atr(self) -> float: ...
    @property
    def volume(self) -> float: ...
    @property
    def change(self) -> float: ...


class UniverseLimits(Protocol):
    """The `universe` section of the settings."""

    @property
    def size(self) -> int: ...
    @property
    def min_quote_volume_usd(self) -> float: ...
    @property
    def max_quote_volume_usd(self) -> float: ...
    @property
    def min_atr_pct(self) -> float: ...
    @property
    def max_atr_pct(self) -> float: ...
    @property
    def min_age(self) -> timedelta: ...
    @property
    def min_price(self) -> float: ...
    @property
    def max_price(self) -> float: ...
    @property
    def max_tick_pct(self) -> float: ...
    @property
    def max_zero_volume_pct(self) -> float: ...
    @property
    def score(self) -> ScoreWeights: ...


_FIGURES = tuple(f.name for f in fields(Measures) if f.name not in ("symbol", "banned", "held"))

# A filter says whether a symbol is refused. NaN never passes: `not (x >= limit)`.
UNIVERSE_FILTERS: dict[str, Callable[[Measures, UniverseLimits], bool]] = {
    "no_candles": lambda m, u: m.candles == 0,
    "too_young": lambda m, u: m.age_hours < u.min_age.total_seconds() / 3600,
    "banned": lambda m, u: m.banned,
    "volume_too_low": lambda m, u: not m.quote_volume_usd >= u.min_quote_volume_usd,
    "volume_too_high": lambda m, u: 0 < u.max_quote_volume_usd < m.quote_volume_usd,
    "atr_too_low": lambda m, u: not m.atr_pct >= u.min_atr_pct,
    "atr_too_high": lambda m, u: m.atr_pct > u.max_atr_pct,
    "price_too_low": lambda m, u: m.price < u.min_price,
    "price_too_high": lambda m, u: 0 < u.max_price < m.price,
    "tick_too_coarse": lambda m, u: m.tick_pct > u.max_tick_pct,
    "too_many_empty_candles": lambda m, u: m.zero_volume_pct > u.max_zero_volume_pct,
}


def scan(pool: Iterable[Measures], limits: UniverseLimits, now: datetime) -> UniverseScan:
    """Return the universe at `now`: filters, then the weighted score, then the best `limits.size`; held symbols stay.

    The score of a symbol is the weighted mean of its ranks (0 worst, 1 best) by ATR, volume and change among those that
    passed; ties go by name, so the result does not depend on the order of `pool`.
    """
    measured = sorted(pool, key=lambda m: m.symbol)
    refused = {m.symbol: _refusal(m, limits) for m in measured}
    passed = [m for m in measured if refused[m.symbol] is None]
    scores = _scores(passed, limits.score)
    ranks = {m.symbol: place for place, m in enumerate(sorted(passed, key=lambda m: (-scores[m.symbol], m.symbol)), 1)}

    rows = []
    for m in measured:
        rank = ranks.get(m.symbol)
        reason = refused[m.symbol] or (ACCEPTED if rank is not None and rank <= limits.size else RANKED_OUT)
        if m.held and reason != ACCEPTED:
            reason = HELD
        measures = {key: float(getattr(m, key)) for key in _FIGURES}
        rows.append(UniverseRow(m.symbol, reason in (ACCEPTED, HELD), reason, scores.get(m.symbol), rank, measures))
    rows.sort(key=lambda row: (not row.accepted, row.rank or math.inf, row.symbol))
    return UniverseScan(now, tuple(rows))


def _refusal(measures: Measures, limits: UniverseLimits) -> str | None:
    for reason, refuses in UNIVERSE_FILTERS.items():
        if refuses(measures, limits):
            return reason
    return None


def _scores(passed: list[Measures], weights: ScoreWeights) -> dict[str, float]:
    parts = (
        (weights.atr, [m.atr_pct for m in passed]),
        (weights.volume, [m.quote_volume_usd for m in passed]),
        (weights.change, [m.change_pct for m in passed]),
    )
    total = sum(weight for weight, _ in parts)
    scores = np.zeros(len(passed))
    if total > 0 and len(passed) > 1:
        for weight, values in parts:
            if weight > 0:
                scores += weight * _ranks(values) / total
    return {m.symbol: float(score) for m, score in zip(passed, scores, strict=True)}


def _ranks(values: list[float]) -> NDArray[np.float64]:
    """Return ranks scaled to 0..1, equal values sharing the lower one, NaN lowest."""
    array = np.nan_to_num(np.array(values, dtype=np.float64), nan=-np.inf)
    below = np.searchsorted(np.sort(array), array, side="left")
    ranks: NDArray[np.float64] = below / (len(values) - 1)
    return ranks


@compiled
def measure(minutes: NDArray[np.float64], now_ms: int) -> tuple[int, float, float, float, float, float]:
    """Return (candles, price, quote volume, tick %, zero-volume %, change %) of the 24 hours up to `now_ms`.

    The tick is the smallest price step seen between neighbouring prices of those candles. Prices and shares are NaN where
    no candle lies within the 24 hours.

    Args:
        minutes: candles in Jesse's column order, shape (n, 6), oldest first, none opening at or after `now_ms`.
    """
    n = minutes.shape[0]
    since = now_ms - DAY_MS
    count, empty = 0, 0
    volume, tick = 0.0, math.inf
    first_open = math.nan
    i = n - 1
    while i >= 0 and minutes[i, 0] >= since:
        opened, close, high, low = minutes[i, 1], minutes[i, 2], minutes[i, 3], minutes[i, 4]
        count += 1
        volume += minutes[i, 5] * (high + low + close) / 3.0
        if minutes[i, 5] <= 0.0:
            empty += 1
        for step in (high - low, abs(close - opened), high - close, high - opened):
            if step > 0.0 and step < tick:
                tick = step
        first_open = opened
        i -= 1
    if count == 0:
        return 0, math.nan, math.nan, math.nan, math.nan, math.nan
    price = minutes[n - 1, 2]
    tick_pct = tick / price * 100.0 if tick < math.inf else math.nan
    return count, price, volume, tick_pct, empty / count * 100.0, (price / first_open - 1.0) * 100.0


@compiled
def longest_gap_minutes(minutes: NDArray[np.float64], now_ms: int, span_ms: int) -> float:
    """Return the longest time in minutes without a candle within the last `span_ms`, up to `now_ms`.

    A candle of one minute that follows the one before directly leaves no gap. inf where no candle is that young.

    Args:
        minutes: candles in Jesse's column order, shape (n, 6), oldest first, none opening at or after `now_ms`.
    """
    n = minutes.shape[0]
    longest: float = 0.0
    later = float(now_ms)
    since = now_ms - span_ms
    i = n - 1
    while i >= 0:
        ended = minutes[i, 0] + 60_000.0
        longest = max(longest, later - max(ended, since))
        if ended <= since:
            return longest / 60_000.0
        later = minutes[i, 0]
        i -= 1
    if n == 0:
        return math.inf
    return longest / 60_000.0
