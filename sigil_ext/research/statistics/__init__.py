"""How sure a figure is: pure functions over numpy arrays of daily P&L, each with its source and with a seed where it draws.

Never here: files, candles, simulations, printing. What cannot be known is NaN with a reason, never a warning and never a
number that only looks like one. Read `evidence.py` first: it puts the parts together for a grid.
"""

from sigil_ext.research.statistics.bootstrap import (
    block_length,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_sharpe,
    bootstrap_total,
    bootstrap_win_rate,
)
from sigil_ext.research.statistics.careful import (
    careful_mean,
    careful_ratio,
    careful_sharpe,
    careful_total,
    careful_win_rate,
    day_spread,
)
from sigil_ext.research.statistics.differences import mean_difference, paired_difference, paired_difference_by_day
from sigil_ext.research.statistics.estimate import Estimate
from sigil_ext.research.statistics.evidence import GridEvidence, assess_grid
from sigil_ext.research.statistics.overfitting import Overfitting, backtest_overfitting
from sigil_ext.research.statistics.power import days_until_verdict, long_run_sd, minimum_detectable_effect
from sigil_ext.research.statistics.proportions import proportion, win_rate_needed
from sigil_ext.research.statistics.sharpe import (
    annualised,
    deflated_sharpe,
    effective_trials,
    expected_maximum_sharpe,
    probabilistic_sharpe,
    sharpe_ratio,
    sharpe_ratios,
)
from sigil_ext.research.statistics.superiority import Superiority, superior_to_nothing

__all__ = [
    "Estimate",
    "GridEvidence",
    "Overfitting",
    "Superiority",
    "annualised",
    "assess_grid",
    "backtest_overfitting",
    "block_length",
    "bootstrap_mean",
    "bootstrap_ratio",
    "bootstrap_sharpe",
    "bootstrap_total",
    "bootstrap_win_rate",
    "careful_mean",
    "careful_ratio",
    "careful_sharpe",
    "careful_total",
    "careful_win_rate",
    "day_spread",
    "days_until_verdict",
    "deflated_sharpe",
    "effective_trials",
    "expected_maximum_sharpe",
    "long_run_sd",
    "mean_difference",
    "minimum_detectable_effect",
    "paired_difference",
    "paired_difference_by_day",
    "probabilistic_sharpe",
    "proportion",
    "sharpe_ratio",
    "sharpe_ratios",
    "superior_to_nothing",
    "win_rate_needed",
]
