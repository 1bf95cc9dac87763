"""Rules: every decision of Sigil as a pure function, used by backtest, paper and grid alike.

Never here: clocks, databases, files, Jesse. Functions over bare numbers are compiled, so that a kernel can call the same
ones. Read `types.py` first, then `guard.py`, `stops.py`, `protections.py`.
"""
