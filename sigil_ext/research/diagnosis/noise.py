"""The noise band: how often a stop of some width is touched by nothing but chance.

For each position, entries are drawn at random among the bar closes of the same symbol in the same hour of the day, and each
draw is given the holding time of a position that was not stopped (a stopped one was cut short by its stop). What is kept is
the deepest fall within that time; a stop nearer than that would have been touched. The position's own entry is looked at
through the same holding times. Start at `measure_noise`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.diagnosis.candles import MINUTE_MS, Candles
from sigil_ext.research.diagnosis.entries import Position
from sigil_ext.rules.compiled import compiled
from sigil_ext.rules.indicators import CLOSE, LOW

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 200
QUIET = 0.10  # a stop that fewer random entries touch counts as outside the noise
QUIET_STEPS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
BAND_PCT = tuple(x / 4 for x in range(2, 61))  # 0.5 to 15 %
BAND_ATR = tuple(x / 4 for x in range(1, 33))  # 0.25 to 8 ATRs


@compiled
def _deepest_falls(
    lows: Floats, ends: NDArray[np.int64], indices: NDArray[np.int64], prices: Floats, spans: NDArray[np.int64]
) -> Floats:
    found = np.empty(indices.shape[0])
    for k in range(indices.shape[0]):
        low, until = prices[k], ends[indices[k]] + spans[k]
        i = indices[k] + 1
        while i < ends.shape[0] and ends[i] <= until:
            low = min(low, lows[i])
            i += 1
        found[k] = (prices[k] - low) / prices[k] * 100.0
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Deepest falls in percent, shape (draws, positions): of random entries, and of the positions' own entries.

    `*_atr` is the ATR at each of them in percent of its price. Positions without candles are left out; `places` says which
    of the run's positions the columns are.
    """

    places: Ints
    random: Floats
    own: Floats
    random_atr: Floats
    own_atr: Floats
    holding_minutes: Floats

    def touched(self, widths_pct: Floats) -> tuple[float, float, float, float]:
        """Return (share of random entries touched, low, high, share of own entries touched).

        Args:
            widths_pct: stop of each column's position, percent. low and high: what 95 of 100 draws of as many random
            entries as there are positions lie within.
        """
        if not self.random.size:
            return (float("nan"),) * 4
        by_draw = (self.random >= widths_pct).mean(axis=1)
        low, high = np.quantile(by_draw, [0.025, 0.975])
        return float(by_draw.mean()), float(low), float(high), float((self.own >= widths_pct).mean())

    def touched_more(self, widths_pct: Floats) -> Floats:
        """Return for each column by how much its own entry is touched more often than random ones, as shares."""
        found: Floats = (self.own >= widths_pct).mean(axis=0) - (self.random >= widths_pct).mean(axis=0)
        return found

    def quiet_stop(self) -> tuple[float, float]:
        """Return (ATRs, share of random entries touched) of the nearest step that under a tenth of random entries touch.

        The widest step where none is; NaN without candles.
        """
        if not self.random.size:
            return float("nan"), float("nan")
        for atrs in QUIET_STEPS:
            share = _share(self.random, atrs * self.own_atr)
            if share < QUIET:
                break
        return atrs, share

    def touched_atrs(self, atrs: float) -> tuple[float, float]:
        """Return the shares of random and of own entries that fell `atrs` ATRs, each measured in its own ATR."""
        return _share(self.random, atrs * self.random_atr), _share(self.own, atrs * self.own_atr)

    def curve(self) -> dict[str, Any]:
        """Return the shares touched over the width of the stop, in percent and in ATRs."""
        by_pct = [self.touched(np.full(len(self.places), w)) for w in BAND_PCT] if len(self.places) else []
        by_atr = [self.touched_atrs(a) for a in BAND_ATR] if len(self.places) else []
        return {
            "pct": [
                {"width": w, "random": t[0], "low": t[1], "high": t[2], "own": t[3]}
                for w, t in zip(BAND_PCT, by_pct, strict=False)
            ],
            "atr": [{"width": a, "random": t[0], "own": t[1]} for a, t in zip(BAND_ATR, by_atr, strict=False)],
        }


def measure_noise(positions: Sequence[Position], candles: Candles, *, seed: int, draws: int = DRAWS) -> Noise:
    """Return the falls behind the noise band of `positions`."""
    rng = np.random.default_rng(seed)
    lived = [p.minutes for p in positions if not p.hard_stopped] or [p.minutes for p in positions]
    pool = np.maximum(1.0, np.array(lived or [1.0]))
    places = [i for i, p in enumerate(positions) if _can_be_drawn(p, candles)]
    n = len(places)
    spans = (rng.choice(pool, (draws, n)) * MINUTE_MS).astype(np.int64)
    random, own, random_atr, own_atr = (np.empty((draws, n)) for _ in range(4))
    for column, place in enumerate(places):
        position = positions[place]
        found = candles.of(position.symbol)
        assert found is not None
        lows = np.ascontiguousarray(found.minutes[:, LOW])
        drawn = rng.choice(drawable(position, candles), draws)
        prices = found.minutes[drawn, CLOSE]
        random[:, column] = _deepest_falls(lows, found.ends_ms, drawn, prices, spans[:, column])
        random_atr[:, column] = [found.atr_at(int(t)) for t in found.ends_ms[drawn]] / prices * 100
        entry = int(np.searchsorted(found.ends_ms, position.opened_at_ms, side="right")) - 1
        own[:, column] = _deepest_falls(
            lows, found.ends_ms, np.full(draws, entry), np.full(draws, position.entry_price), spans[:, column]
        )
        own_atr[:, column] = found.atr_at(position.opened_at_ms) / position.entry_price * 100
    return Noise(np.array(places, dtype=np.int64), random, own, random_atr, own_atr, pool)


def drawable(position: Position, candles: Candles) -> Ints:
    """Return the bar closes that a random entry for `position` is drawn from: same symbol, same hour of the day.

    All hours where that hour never closed a bar; empty without candles.
    """
    found = candles.of(position.symbol)
    if found is None:
        return np.empty(0, dtype=np.int64)
    same_hour = found.closes_in_hour(position.opened_at_ms)
    return same_hour if len(same_hour) else found.closes


def _can_be_drawn(position: Position, candles: Candles) -> bool:
    found = candles.of(position.symbol)
    return found is not None and found.covers(position.opened_at_ms) and len(found.closes) > 0


def _share(falls: Floats, widths: Floats) -> float:
    known = np.isfinite(widths)
    return float((falls[known] >= widths[known]).mean()) if known.any() else float("nan")
