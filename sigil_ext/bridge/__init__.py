"""The bridge: the only room that imports Jesse, with everything that touches its private functions.

Never here: what a report looks like, how a command is typed. Jesse is imported inside modules that are imported late,
because the import costs seconds and, in a Jesse project folder, opens the database. Read `strategy.py` first, then
`session.py` (the variant's state during a run) and `simulate.py` (a run in a child process).
"""
