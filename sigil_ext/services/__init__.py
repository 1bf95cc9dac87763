"""Services: use cases that join rooms, one a module. Entrypoints call them.

Never here: parsing of commands, printing. Read `backtest.py` first.
"""
