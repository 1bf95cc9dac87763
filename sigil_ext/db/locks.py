"""Advisory locks of the entry transaction, by names that are the same in every process.

Always in this order, all free at the end of the transaction: the symbol's (an entry only tries it; whatever changes the
symbol's protection waits for it), then the variant's (entries, breaker, pause). A session's own lock is `journal.py`'s.
"""

from __future__ import annotations

import hashlib

from psycopg2.extensions import cursor

from sigil_ext.db.queries import load, one
from sigil_ext.db.symbols import row_symbol

_STATE = load("state")


def lock_key(variant: str, symbol: str = "") -> int:
    """Return the signed 64-bit advisory lock key of a variant's symbol, or of the variant: the same in every process."""
    digest = hashlib.blake2b(f"{variant}\0{symbol}".encode(), digest_size=8, person=b"sigil").digest()
    return int.from_bytes(digest, "big", signed=True)


def try_entry(cur: cursor, variant: str, symbol: str) -> bool:
    """Return whether nobody else had the symbol's lock; it is held then, and the variant's, as soon as nobody else does."""
    cur.execute(_STATE["try_entry"], {"symbol": lock_key(variant, row_symbol(symbol)), "variant": lock_key(variant)})
    return bool(one(cur)[0])


def wait_for_symbol(cur: cursor, variant: str, symbol: str) -> None:
    """Hold the symbol's lock, as soon as nobody else does."""
    cur.execute(_STATE["lock"], {"key": lock_key(variant, row_symbol(symbol))})


def wait_for_variant(cur: cursor, variant: str) -> None:
    """Hold the variant's lock, as soon as nobody else does."""
    cur.execute(_STATE["lock"], {"key": lock_key(variant)})
