"""Symbols as rows name them, which is the earlier bot's way: TSTUSDT. Cached, since every row has one."""

from __future__ import annotations

from functools import lru_cache

from sigil_ext.errors import UsageError
from sigil_ext.rules.symbols import to_exchange, to_jesse


@lru_cache(maxsize=4096)
def row_symbol(symbol: str) -> str:
    """Return how rows name `symbol`: TSTUSDT, or with its dash where the short name would be read as another symbol.

    Raises:
        UsageError: it is no symbol.
    """
    try:
        name, short = to_jesse(symbol), to_exchange(symbol)
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        return short if to_jesse(short) == name else name
    except ValueError:
        return name


@lru_cache(maxsize=4096)
def store_symbol(name: str) -> str:
    """Return TST-USDT for a row's TSTUSDT; a name that cannot be cut is left as the row has it."""
    try:
        return to_jesse(name)
    except ValueError:
        return name
