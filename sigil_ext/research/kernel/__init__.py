"""The compiled engine of a grid: a variant over all symbols in time order, many cells at once, the trades of Jesse.

Never here: a rule (rules), a report, a statistic, Jesse. Read `trades.py` for what comes out and `run.py` for how.
"""

from sigil_ext.research.kernel.market import KernelMarket
from sigil_ext.research.kernel.run import run_cells, run_each
from sigil_ext.research.kernel.trades import EXIT_REASONS, TRADE, CellTrades, UnsupportedAxis, from_records

__all__ = [
    "EXIT_REASONS",
    "TRADE",
    "CellTrades",
    "KernelMarket",
    "UnsupportedAxis",
    "from_records",
    "run_cells",
    "run_each",
]
