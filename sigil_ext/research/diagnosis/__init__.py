"""Diagnosis of hard stops: why they fire, what they cost, what another stop would have done to the same entries.

Pure over closed positions and candles, seeded where it draws. Never here: running a backtest, reading a database, printing.
Read `report.py` first: `diagnose` puts the parts together.
"""

from sigil_ext.research.diagnosis.entries import Buy, ExitRule, Position, Run
from sigil_ext.research.diagnosis.report import diagnose

__all__ = ["Buy", "ExitRule", "Position", "Run", "diagnose"]
