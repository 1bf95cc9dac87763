"""What another stop, or another trail, would have done to the same entries: each rung walks all of them again.

Sizes stay as they were, so a wider stop risks more dollars; `mean_r` is the result by unit of risk, which is what counts where
the size follows the stop. Start at `climb`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.diagnosis.candles import Candles
from sigil_ext.research.diagnosis.entries import Buy, ExitRule, Position
from sigil_ext.research.diagnosis.noise import Noise
from sigil_ext.research.diagnosis.walk import Walked, walk
from sigil_ext.research.statistics import careful_total, win_rate_needed

Floats = NDArray[np.float64]

DAY_MS = 86_400_000
FIXED = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)
CLAMPED = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
FREE = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0)
TRAILS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """One rule and what it made of each position: USD net, USD risked, how it ended."""

    label: str
    kind: str
    value: float | None
    rule: ExitRule
    walked: tuple[Walked, ...]
    net_usd: Floats
    risk_usd: Floats
    notional_usd: Floats


def net_usd(buys: Sequence[Buy], exit_price: float, cost_rate: float) -> float:
    """Return what the wallet gains: the fee of a buy is taken from the coins, that of the sale from the money."""
    return sum(b.qty * ((1 - cost_rate) ** 2 * exit_price - b.price) for b in buys)


def rung(
    label: str,
    kind: str,
    value: float | None,
    rule: ExitRule,
    positions: Sequence[Position],
    candles: Candles,
    *,
    without_atr: ExitRule | None = None,
) -> Rung:
    """Return `positions` (all of which have candles) under `rule`; those that have no ATR under `without_atr`, if given."""
    walked, net, risk, size = [], [], [], []
    for p in positions:
        found = candles.of(p.symbol)
        assert found is not None
        atr = p.atr if p.atr == p.atr else found.atr_at(p.opened_at_ms)
        w = walk(found, p.buys, atr, rule if without_atr is None or atr == atr else without_atr)
        taken = p.buys[: w.buys]
        paid = sum(b.qty * b.price for b in taken)
        walked.append(w)
        net.append(net_usd(taken, w.exit_price, rule.cost_rate))
        risk.append(paid * w.stop_pct / 100)
        size.append(paid)
    return Rung(label, kind, value, rule, tuple(walked), np.array(net), np.array(risk), np.array(size))


def climb(rule: ExitRule, positions: Sequence[Position], candles: Candles) -> tuple[list[Rung], list[Rung]]:
    """Return the rungs over the stop (trail as set) and over the trail (stop as set); the first of each is `rule` itself."""
    clamp = f"{rule.floor_pct:g} to {rule.cap_pct:g} %"
    wanted = [
        ("as set", "set", None, rule),
        *((f"fixed {p:g} %", "fixed", p, rule.fixed(p)) for p in FIXED),
        *((f"{m:g} ATR, {clamp}", "clamped", m, rule.atrs(m)) for m in CLAMPED),
        *((f"{m:g} ATR", "free", m, rule.atrs(m, free=True)) for m in FREE),
    ]
    stops = [rung(label, kind, value, r, positions, candles, without_atr=rule) for label, kind, value, r in wanted]
    trails = [
        stops[0],
        *(rung(f"trail {m:g} ATR", "trail", m, rule.trailing(m), positions, candles) for m in TRAILS),
        rung("no trail", "trail", None, rule.trailing(1.0, activation=1e9), positions, candles),
    ]
    return stops, trails


def line(found: Rung, first: Rung, positions: Sequence[Position], noise: Noise | None, *, seed: int) -> dict[str, Any]:
    """Return the figures of a rung, against `first`, the rule as set; NaN and None where no position could be walked.

    Args:
        noise: of these very positions, None not to say.
    """
    n = len(positions)

    def counted(reason: str) -> int | None:
        return reasons.count(reason) if n else None

    reasons = [w.reason for w in found.walked]
    wins, losses = found.net_usd[found.net_usd > 0], found.net_usd[found.net_usd < 0]
    mean_win = float(wins.mean()) if len(wins) else math.nan
    mean_loss = -float(losses.mean()) if len(losses) else math.nan
    widths = np.array([w.stop_pct for w in found.walked])
    shares = noise.touched(widths) if noise is not None else (math.nan,) * 4
    stopped = np.array([r == "hard_stop" for r in reasons], dtype=bool)
    return {
        "label": found.label,
        "kind": found.kind,
        "value": found.value,
        "positions": n,
        "stop_pct": float(np.median(widths)) if n else math.nan,
        "hard_stops": counted("hard_stop"),
        "hard_stop_share": float(stopped.mean()) if n else math.nan,
        "hard_stop_usd": float(found.net_usd[stopped].sum()) if n else math.nan,
        "noise_share": shares[0],
        "trails": counted("atr_trail"),
        "flat": counted("flat_no_move"),
        "open_at_end": counted("session_end"),
        "win_rate": len(wins) / n if n else math.nan,
        "win_rate_needed": win_rate_needed(mean_win, mean_loss),
        "mean_win_usd": mean_win,
        "mean_loss_usd": -mean_loss,
        "net_usd": float(found.net_usd.sum()) if n else math.nan,
        "mean_net_pct": float((found.net_usd / found.notional_usd).mean() * 100) if n else math.nan,
        "mean_r": float((found.net_usd / found.risk_usd).mean()) if n else math.nan,
        "against_as_set": careful_total(
            by_day(positions, found.net_usd - first.net_usd), seed=seed
        ).document(),
    }  # fmt: skip


def by_day(positions: Sequence[Position], values: Floats) -> Floats:
    """Return the sums of `values` by UTC day of opening, every day from the first to the last."""
    if not len(positions):
        return np.empty(0)
    days = np.array([p.opened_at_ms // DAY_MS for p in positions])
    return np.bincount(days - days.min(), weights=values).astype(np.float64)
