"""Tests: unit by room, integration, acceptance, migration, docs. Helpers: strategies.py, fakes.py, jesse_strategies.py."""
