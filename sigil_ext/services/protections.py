"""Protections by a person: bar a symbol, lift a bar, see why. Every act is stored with who, when and why.

Start at `Protections`.
"""

from __future__ import annotations

import contextlib
import getpass
import math
import socket
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sigil_ext.db.common import storable
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.standing import market_now
from sigil_ext.errors import UnknownSymbol, UsageError
from sigil_ext.rules.ports import Store
from sigil_ext.rules.protections import active_bar
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.rules.types import Protection, ProtectionEvent

MAX_HOURS = 24 * 366 * 10
MANUAL = "manual"  # the reason of one who gives none: the row would keep that of what barred the symbol before


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Protections:
    """The protections of one variant, by a person's hand. `now` is the time that they bar by, of the session's market."""

    store: Store
    now: datetime

    def all(self) -> list[Protection]:
        """Return every symbol that was ever barred, the barred ones first."""
        return sorted(self.store.protections(), key=lambda p: (active_bar(p, self.now) is None, p.symbol))

    def one(self, symbol: str) -> Protection:
        """Return the protection of a known symbol; an empty one if it was never barred."""
        name = self._known(symbol)
        return self.store.protection(name) or Protection(name)

    def history(self, symbol: str) -> Sequence[ProtectionEvent]:
        """Return what happened to a known symbol's protection, oldest first."""
        return self.store.protection_history(self._known(symbol))

    def cool_down(self, symbol: str, *, hours: float, reason: str, new: bool = False) -> Protection:
        """Bar `symbol` for `hours` from now; a longer bar that stands already is kept."""
        name, at = self._known(symbol, new=new), self.now
        return self.store.add_cooldown(
            name, until=_after(at, hours), at=at, actor=actor(), reason=storable(reason) or MANUAL, acted_at=utc_now()
        )

    def ban(self, symbol: str, *, hours: float, reason: str, new: bool = False) -> Protection:
        """Ban `symbol` for `hours` from now; a longer ban that stands already is kept."""
        name, at = self._known(symbol, new=new), self.now
        return self.store.add_ban(
            name, until=_after(at, hours), at=at, actor=actor(), reason=storable(reason) or MANUAL, acted_at=utc_now()
        )

    def lift(self, symbol: str, *, reason: str) -> Protection:
        """End cooldown and ban of a symbol now. Needs a reason.

        Raises:
            UsageError: no reason, or nothing bars the symbol.
        """
        if not reason.strip():
            raise UsageError("a lift needs a reason; say why the symbol may be entered again: --reason '...'")
        name, at = self._known(symbol), self.now
        if active_bar(self.store.protection(name), at) is None:
            raise UsageError(f"nothing bars {name} in variant '{self.store.variant}', so there is nothing to lift")
        return self.store.lift(name, at=at, actor=actor(), reason=storable(reason), acted_at=utc_now())

    def _known(self, symbol: str, *, new: bool = False) -> str:
        """Return Jesse's name of `symbol`; with `new` it need not be known yet, only well-formed."""
        known = self.store.known_symbols()
        try:
            name = to_jesse(symbol)
        except ValueError as error:
            if new:
                raise UsageError(str(error)) from None
            raise UnknownSymbol(symbol, known) from None
        if not new and name not in known:
            raise UnknownSymbol(name, known)
        return name


def protections_of(store: PostgresStore) -> Protections:
    """Return the protections of a variant as they bar now."""
    # By the clock on the wall a lift would not end what bars in a recording, whose market is of long ago.
    return Protections(store, market_now(store.database))


_acting: ContextVar[str | None] = ContextVar("acting", default=None)


@contextlib.contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Record the acts within the block as those of `name`: of somebody who is not this process's user."""
    token = _acting.set(name)
    try:
        yield
    finally:
        _acting.reset(token)


def actor() -> str:
    """Return who acts: whoever `acting_as` names, else the user of the operating system, at this host."""
    if (name := _acting.get()) is not None:
        return name
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"


def _after(at: datetime, hours: float) -> datetime:
    if not math.isfinite(hours) or not 1 / 60 <= hours <= MAX_HOURS:
        raise UsageError(
            f"--hours {hours:g} is not a number of hours from 0.0167 (a minute) to {MAX_HOURS} (ten years)"
        )
    return at + timedelta(hours=hours)
