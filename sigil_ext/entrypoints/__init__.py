"""Entrypoints: the command line (and later the panel). They parse, call one service, print.

Never here: decisions, SQL, Jesse. Read `cli/main.py` first.
"""
