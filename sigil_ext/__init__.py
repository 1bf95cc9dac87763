"""Sigil: research and paper trading on Jesse.

The rooms and the direction of their imports are listed in README.md and checked by the import contract in pyproject.toml.
"""

__version__ = "0.1.0"
