"""When the circuit breaker trips by itself. Judged on marked equity, so an open loss counts. Entries only, latching.

`BREAKER_TRIPS` is the index; a limit of 0 never trips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sigil_ext.rules.compiled import compiled


class BreakerLimits(Protocol):
    """The `breaker` section of the settings."""

    @property
    def daily_loss_pct(self) -> float: ...
    @property
    def max_drawdown_pct(self) -> float: ...
    @property
    def consecutive_losses(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BreakerView:
    """Marked equity in USD now, at 00:00 UTC today and at its peak, and closed trades lost in a row."""

    equity: float
    day_start_equity: float
    peak_equity: float
    losses_in_a_row: int


@compiled
def fell(now: float, before: float, limit_pct: float) -> bool:
    """Return whether equity fell from `before` to `now` by `limit_pct` percent or more; a limit of 0 is never reached."""
    fall_pct = (before - now) / before * 100.0 if before > 0.0 else 0.0
    return 0.0 < limit_pct <= fall_pct


@compiled
def lost_in_a_row(losses: int, limit: int) -> bool:
    """Return whether `limit` closed trades or more were lost in a row; a limit of 0 is never reached."""
    return 0 < limit <= losses


BREAKER_TRIPS: dict[str, Callable[[BreakerView, BreakerLimits], bool]] = {
    "daily_loss": lambda v, b: fell(v.equity, v.day_start_equity, b.daily_loss_pct),
    "drawdown": lambda v, b: fell(v.equity, v.peak_equity, b.max_drawdown_pct),
    "consecutive_losses": lambda v, b: lost_in_a_row(v.losses_in_a_row, b.consecutive_losses),
}


def trip_reason(view: BreakerView, limits: BreakerLimits) -> str | None:
    """Return the first limit that is reached, or None."""
    for name, reached in BREAKER_TRIPS.items():
        if reached(view, limits):
            return name
    return None
