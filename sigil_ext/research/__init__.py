"""Research: what a run means. Reports, comparisons and the pages that show them, from the records of finished runs.

Never here: running a simulation (bridge), deciding about trades (rules), parsing of commands. Read `backtest_report.py`
first, then `backtest_stats.py`.
"""
