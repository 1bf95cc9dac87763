"""Settings: overlays and environment, read once into frozen models, each value with its origin.

Never here: decisions, databases, Jesse. Read `models.py` first, then `overlays.py`.
"""
