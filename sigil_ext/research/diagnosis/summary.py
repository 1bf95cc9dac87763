"""The figures that stand side by side for all runs, on the page and in a terminal. Start at `SUMMARY`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Place = Literal["page", "terminal"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A row: its heading, how it is written (see `backtest_format.shown`), where it lies in a run.

    `short` is the heading in a terminal where the long one is too wide; `only` the one place that shows it, None: both.
    """

    heading: str
    kind: str
    path: tuple[str, ...]
    short: str = ""
    only: Place | None = None

    def of(self, run: Mapping[str, Any]) -> Any:
        """Return the figure of a run of the document."""
        value: Any = run
        for key in self.path:
            value = value[key]
        return value


SUMMARY: tuple[Figure, ...] = (
    Figure("positions", "count", ("positions",)),
    Figure("net P&L", "signed_usd", ("net_usd",)),
    Figure("hard stops", "count", ("hard_stops", "count")),
    Figure("hard stops, share", "share", ("hard_stops", "share")),
    Figure("hard stops, P&L", "signed_usd", ("hard_stops", "net_usd")),
    Figure("stop, median", "pct", ("distance", "stop_pct", "median")),
    Figure("ATR at entry, median", "pct", ("distance", "atr_pct", "median")),
    Figure("stop in ATRs, median", "ratio", ("distance", "stop_atr", "median")),
    Figure("random entries that touch it", "share", ("noise", "random")),
    Figure("own entries that touch it", "share", ("noise", "own")),
    Figure(
        "nearest stop outside the noise, ATRs", "ratio", ("noise", "quiet_stop_atr"), short="stop outside the noise, ATRs"
    ),
    Figure(
        "price back at entry within 24 h", "share", ("excursions", "back_at_entry_in_24h", "value"),
        short="back at entry in 24 h",
    ),
    Figure("win rate had", "share", ("payoff", "win_rate", "value")),
    Figure("win rate needed", "share", ("payoff", "win_rate_needed")),
    Figure("payoff ratio", "ratio", ("payoff", "payoff_ratio"), only="terminal"),
    Figure("won before costs", "share", ("payoff", "win_rate_before_costs"), only="page"),
    Figure("needed before costs", "share", ("payoff", "win_rate_needed_before_costs"), only="page"),
    Figure("average win", "signed_usd", ("payoff", "mean_win_usd"), only="page"),
    Figure("average loss", "signed_usd", ("payoff", "mean_loss_usd"), only="page"),
    Figure("stacked entries", "count", ("offenders", "stacked")),
    Figure("worst five symbols, share of loss", "share", ("offenders", "share_of_worst_five")),
    Figure("walked again as it was", "count", ("walk", "same"), only="page"),
)  # fmt: skip


def figures_for(place: Place) -> Sequence[Figure]:
    """Return the rows that `place` shows, in order."""
    return [figure for figure in SUMMARY if figure.only in (None, place)]
