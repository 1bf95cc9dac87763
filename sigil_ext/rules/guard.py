"""The guard: the checks before a signal may become an order, asked before any entry rule is evaluated.

Pure: what is known at a bar's close in, the first reason to refuse out. `GUARD_CHECKS` is the index and the order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sigil_ext.rules.compiled import compiled
from sigil_ext.rules.protections import active_bar
from sigil_ext.rules.types import Breaker, Protection, RefusalReason


@dataclass(frozen=True, slots=True)
class GuardView:
    """What the guard looks at for one symbol at the close of one bar.

    `position_open` is False for a variant that stacks entries. `gap_minutes` is the longest time without a candle within
    the last hour, up to now.
    """

    now: datetime
    breaker: Breaker
    in_universe: bool
    position_open: bool
    protection: Protection | None
    open_positions: int
    max_open_positions: int
    free_cash: float
    min_notional_usd: float
    gap_minutes: float
    max_gap_minutes: float


@compiled
def short_of_cash(free_cash: float, min_notional_usd: float) -> bool:
    """Return whether there is not enough cash for the smallest order."""
    return free_cash <= 0.0 or free_cash < min_notional_usd


GUARD_CHECKS: dict[RefusalReason, Callable[[GuardView], bool]] = {
    "breaker_tripped": lambda v: v.breaker.tripped,
    "paused": lambda v: v.breaker.paused,
    "not_in_universe": lambda v: not v.in_universe,
    "position_open": lambda v: v.position_open,
    "cooldown": lambda v: active_bar(v.protection, v.now) == "cooldown",
    "ban": lambda v: active_bar(v.protection, v.now) == "ban",
    "max_open_positions": lambda v: v.open_positions >= v.max_open_positions,
    "not_enough_cash": lambda v: short_of_cash(v.free_cash, v.min_notional_usd),
    "data_stale": lambda v: v.gap_minutes > v.max_gap_minutes,
}


def first_refusal(view: GuardView) -> RefusalReason | None:
    """Return the first reason not to enter, or None when the guard is open."""
    for reason, refuses in GUARD_CHECKS.items():
        if refuses(view):
            return reason
    return None
