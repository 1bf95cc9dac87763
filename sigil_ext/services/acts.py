"""Acts of a person who is not at the command line: the same services, recorded with who acts. Start at `act`.

What a session does itself (close, flatten) is not here: bringing a session to life belongs into a process of its own, see
`entrypoints/panel/closing.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sigil_ext.db.connection import Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import UsageError
from sigil_ext.rules.types import Protection
from sigil_ext.services.breaker import Breakers
from sigil_ext.services.protections import acting_as, protections_of

DEFAULT_BAN_HOURS = 24.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: why, and where the act needs them, of which symbol and for how many hours."""

    reason: str
    symbol: str | None = None
    hours: float | None = None

    def demand_symbol(self) -> str:
        """Return the symbol.

        Raises:
            UsageError: none is named.
        """
        if self.symbol is None:
            raise UsageError("this act needs a symbol")
        return self.symbol


def _trip(store: PostgresStore, wanted: Wanted) -> str:
    before = store.breaker()
    Breakers(store).trip(wanted.reason)
    return "tripped already; its first reason stays" if before.tripped else "tripped: entries are blocked until a reset"


def _reset(store: PostgresStore, wanted: Wanted) -> str:
    state = Breakers(store).reset(wanted.reason)
    return "reset; the variant is still paused" if state.paused else "reset: entries are open again"


def _pause(store: PostgresStore, wanted: Wanted) -> str:
    Breakers(store).pause(wanted.reason)
    return "paused: entries are blocked until a resume, exits go on"


def _resume(store: PostgresStore, wanted: Wanted) -> str:
    state = Breakers(store).resume(wanted.reason)
    return "resumed; the breaker is still tripped" if state.tripped else "resumed: entries are open again"


def _ban(store: PostgresStore, wanted: Wanted) -> str:
    hours = DEFAULT_BAN_HOURS if wanted.hours is None else wanted.hours
    return _barred(protections_of(store).ban(wanted.demand_symbol(), hours=hours, reason=wanted.reason))


def _lift(store: PostgresStore, wanted: Wanted) -> str:
    return f"nothing bars {protections_of(store).lift(wanted.demand_symbol(), reason=wanted.reason).symbol} any more"


def _barred(protection: Protection) -> str:
    return f"{protection.symbol} is banned until {protection.ban_until:%Y-%m-%d %H:%M} UTC"


ACTS: dict[str, Callable[[PostgresStore, Wanted], str]] = {
    "trip": _trip,
    "reset": _reset,
    "pause": _pause,
    "resume": _resume,
    "ban": _ban,
    "lift": _lift,
}


def act(database: Database, name: str, wanted: Wanted, *, actor: str) -> str:
    """Do the act `name` of `ACTS` upon the variant of `database` and return what came of it, in a sentence.

    Raises:
        UsageError: it would change nothing, or what it needs is missing or wrong.
    """
    with acting_as(actor):
        return ACTS[name](PostgresStore(database), wanted)
