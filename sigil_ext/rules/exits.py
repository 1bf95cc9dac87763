"""Exits at the close of a bar: given an open position and a closed bar, decide whether to leave at that close.

Pure. A resting stop fills between closes without asking anyone; `filled_stop` names that exit. `EXIT_RULES` is the index
and the precedence: hard stop, trail, flat. Start at `first_exit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sigil_ext.rules.stops import is_flat, is_trail, leaves_at_close
from sigil_ext.rules.types import ExitReason


@dataclass(frozen=True, slots=True)
class ExitView:
    """An open position at the close of a bar. Prices in quote currency; the stop is raised already."""

    close: float
    entry: float
    hard_stop: float
    stop: float
    high_water: float
    low_water: float
    age_minutes: float
    flat_after_minutes: float
    flat_max_move_pct: float


def _stop_is_reached(v: ExitView) -> bool:
    return leaves_at_close(v.stop, v.close)


EXIT_RULES: dict[ExitReason, Callable[[ExitView], bool]] = {
    "hard_stop": lambda v: _stop_is_reached(v) and not is_trail(v.stop, v.hard_stop),
    "atr_trail": lambda v: _stop_is_reached(v) and is_trail(v.stop, v.hard_stop),
    "flat_no_move": lambda v: is_flat(
        v.age_minutes, v.flat_after_minutes, v.entry, v.high_water, v.low_water, v.flat_max_move_pct
    ),
}


def first_exit(view: ExitView) -> ExitReason | None:
    """Return the first reason to leave at this close, or None."""
    for reason, leaves in EXIT_RULES.items():
        if leaves(view):
            return reason
    return None


def filled_stop(stop: float, hard_stop: float) -> ExitReason:
    """Return what a resting stop that filled was: the trail where it stood above the hard stop."""
    return "atr_trail" if is_trail(stop, hard_stop) else "hard_stop"
