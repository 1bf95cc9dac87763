"""Paper: the session loop around the bridge's host, and what it recovers after a crash.

Never here: rules, commands, Jesse itself. Read `session.py` first. Live feeds are not built yet; a session replays.
"""
