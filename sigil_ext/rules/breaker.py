"""When the circuit breaker trips by itself. Judged on marked equity, so an open loss counts. Entries only, latching.

`BREAKER_TRIPS` is the index; a limit of 0 never trips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


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


def _fall_pct(now: float, before: float) -> float:
    return (before - now) / before * 100.0 if before > 0 else 0.0


BREAKER_TRIPS: dict[str, Callable[[BreakerView, BreakerLimits], bool]] = {
    "daily_loss": lambda v, b: 0 < b.daily_loss_pct <= _fall_pct(v.equity, v.day_start_equity),
    "drawdown": lambda v, b: 0 < b.max_drawdown_pct <= _fall_pct(v.equity, v.peak_equity),
    "consecutive_losses": lambda v, b: 0 < b.consecutive_losses <= v.losses_in_a_row,
}


def trip_reason(view: BreakerView, limits: BreakerLimits) -> str | None:
    """Return the first limit that is reached, or None."""
    for name, reached in BREAKER_TRIPS.items():
        if reached(view, limits):
            return name
    return None
