"""Grids: axes crossed with variants into cells, what each cell came to, and how sure one may be of the best.

Pure: nothing here runs a simulation, opens a file or reads a clock. Never here: the engines (services, kernel) and the
formulas of the statistics. Read `axes.py` and `cells.py` for what is asked, `report.py` for what is answered.
"""
