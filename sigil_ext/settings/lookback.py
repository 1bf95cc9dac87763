"""How much of the past a run needs before its start. One answer for backtest and paper. Start at `lookback_minutes`."""

from __future__ import annotations

from datetime import timedelta

from sigil_ext.rules.indicators import WINDOW
from sigil_ext.settings.overlays import Variant

DAY_MINUTES = 1440
SLACK_MINUTES = 2 * DAY_MINUTES  # absent minutes: a window of bars then reaches further back than its length


def lookback_minutes(what: object, longest_bar_minutes: int) -> int:
    """Return how many minutes before its start `what` looks back at most: then every figure is that of all of history.

    Indicators and the universe's measures see `WINDOW` bars and a day; `universe.min_age` asks for a symbol's first candle.

    Args:
        what: a Variant, or something foreign, which has no universe.
        longest_bar_minutes: length of the longest bar that it reads.
    """
    age = what.settings.universe.min_age if isinstance(what, Variant) else timedelta(0)
    age_minutes = -int(-age.total_seconds() // 60)
    return max(longest_bar_minutes * WINDOW, age_minutes, DAY_MINUTES) + SLACK_MINUTES
