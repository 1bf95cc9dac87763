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

Floats = NDArray[np.float64]
Limits = tuple[float, float, float, float, float, float, float, float, float]


@compiled
def refused_by(
    number: int,
    candles: int,
    age_hours: float,
    banned: bool,
    quote_volume_usd: float,
    atr_pct: float,
    price: float,
    tick_pct: float,
    zero_volume_pct: float,
    limits: Limits,
) -> bool:
    """Return whether filter `number` of `UNIVERSE_FILTERS` refuses a symbol of these figures; `limits_of` gives the limits.

    NaN never passes the lower limits of volume and ATR: `not (x >= limit)`.
    """
    min_age_hours, min_volume, max_volume, min_atr, max_atr, min_price, max_price, max_tick, max_empty = limits
    if number == 0:
        return candles == 0
    if number == 1:
        return age_hours < min_age_hours
    if number == 2:
        return banned
    if number == 3:
        return not quote_volume_usd >= min_volume
    if number == 4:
        return 0.0 < max_volume < quote_volume_usd
    if number == 5:
        return not atr_pct >= min_atr
    if number == 6:
        return atr_pct > max_atr
    if number == 7:
        return price < min_price
    if number == 8:
        return 0.0 < max_price < price
    if number == 9:
        return tick_pct > max_tick
    return zero_volume_pct > max_empty


def limits_of(limits: UniverseLimits) -> Limits:
    """Return the limits as `refused_by` takes them: bare numbers, the age in hours."""
    return (
        limits.min_age.total_seconds() / 3600, limits.min_quote_volume_usd, limits.max_quote_volume_usd,
        limits.min_atr_pct, limits.max_atr_pct, limits.min_price, limits.max_price, limits.max_tick_pct,
        limits.max_zero_volume_pct,
    )  # fmt: skip


def _filter(number: int) -> Callable[[Measures, UniverseLimits], bool]:
    def refuses(m: Measures, limits: UniverseLimits) -> bool:
        return bool(
            refused_by(
                number, m.candles, m.age_hours, m.banned, m.quote_volume_usd, m.atr_pct, m.price, m.tick_pct,
                m.zero_volume_pct, limits_of(limits),
            )
        )  # fmt: skip

    return refuses


# Names in the order in which they are asked, which is that of the numbers of `refused_by`.
UNIVERSE_FILTERS: dict[str, Callable[[Measures, UniverseLimits], bool]] = {
    "no_candles": _filter(0),
    "too_young": _filter(1),
    "banned": _filter(2),
    "volume_too_low": _filter(3),
    "volume_too_high": _filter(4),
    "atr_too_low": _filter(5),
    "atr_too_high": _filter(6),
    "price_too_low": _filter(7),
    "price_too_high": _filter(8),
    "tick_too_coarse": _filter(9),
    "too_many_empty_candles": _filter(10),
}
FILTERS = len(UNIVERSE_FILTERS)
_FILTER_NAMES = tuple(UNIVERSE_FILTERS)


def scan(pool: Iterable[Measures], limits: UniverseLimits, now: datetime) -> UniverseScan:
    """Return the universe at `now`: filters, then the weighted score, then the best `limits.size`; held symbols stay.

    The score of a symbol is the weighted mean of its ranks (0 worst, 1 best) by ATR, volume and change among those that
    passed; ties go by name, so the result does not depend on the order of `pool`.
    """
    measured = sorted(pool, key=lambda m: m.symbol)
    bare = limits_of(limits)
    refused = {m.symbol: _refusal(m, bare) for m in measured}
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


def _refusal(m: Measures, limits: Limits) -> str | None:
    number = first_filter(
        m.candles, m.age_hours, m.banned, m.quote_volume_usd, m.atr_pct, m.price, m.tick_pct, m.zero_volume_pct, limits
    )
    return _FILTER_NAMES[number] if number >= 0 else None


@compiled
def first_filter(
    candles: int,
    age_hours: float,
    banned: bool,
    quote_volume_usd: float,
    atr_pct: float,
    price: float,
    tick_pct: float,
    zero_volume_pct: float,
    limits: Limits,
) -> int:
    """Return the number of the first filter that refuses a symbol of these figures, -1 where it passes."""
    for number in range(FILTERS):
        if refused_by(
            number, candles, age_hours, banned, quote_volume_usd, atr_pct, price, tick_pct, zero_volume_pct, limits
        ):
            return number
    return -1


def _scores(passed: list[Measures], weights: ScoreWeights) -> dict[str, float]:
    scored = weighted_ranks(
        np.array([m.atr_pct for m in passed], dtype=np.float64),
        np.array([m.quote_volume_usd for m in passed], dtype=np.float64),
        np.array([m.change_pct for m in passed], dtype=np.float64),
        (weights.atr, weights.volume, weights.change),
    )
    return {m.symbol: float(score) for m, score in zip(passed, scored, strict=True)}


@compiled
def weighted_ranks(
    atr_pct: Floats, quote_volume_usd: Floats, change_pct: Floats, weights: tuple[float, float, float]
) -> Floats:
    """Return the score of each symbol that passed the filters: the weighted mean of its ranks among them.

    A rank lies between 0 and 1, equal values share the lower one, NaN is lowest. A symbol that passed alone scores 0.

    Args:
        weights: of ATR, volume and change, each >= 0.
    """
    n = atr_pct.shape[0]
    scored = np.zeros(n)
    total = weights[0] + weights[1] + weights[2]
    if not (total > 0.0 and n > 1):
        return scored
    for part in range(3):
        if weights[part] > 0.0:
            values = (atr_pct, quote_volume_usd, change_pct)[part]
            known = np.where(np.isnan(values), -math.inf, values)
            below = np.searchsorted(np.sort(known), known)
            scored += weights[part] * (below / (n - 1)) / total
    return scored


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
