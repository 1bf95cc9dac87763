"""The command line `sigil`: a module a command group, loaded when it is asked for.

Never here: more than parsing and printing. Read `main.py` first.
"""
