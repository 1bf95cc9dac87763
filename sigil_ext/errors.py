"""Every error that a user can cause or meet, with one clear sentence and a way out.

    SigilError                     exit status 1: something is wrong outside the command line
    |-- DatabaseUnavailable        no server, no disk, wrong password
    |-- LockHeld                   another process holds the lock
    |-- SimulationFailed           Jesse refused or broke off a run
    |-- StrategyFailed             a strategy of the user's own raised, or does something else than it did
    |-- DamagedRecord              what a session recorded cannot be read back
    |-- ExchangeUnreachable        no network, a ban, a country that it does not serve
    `-- UsageError                 exit status 2: what was typed or written down is wrong
        |-- UnknownVariant
        |-- UnknownSymbol
        |-- SettingsError          an overlay, --set or .env; names key, value, file
        |-- CandleError            a candle file or table; names file, row, value
        `-- MigrationError         a migration file or the order of versions

The command line prints `str(error)` and nothing else; a traceback comes only with --debug.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SigilError(Exception):
    """Root of all errors that are shown to a user."""

    exit_status = 1


class DatabaseUnavailable(SigilError):
    """The database cannot be reached, started or entered."""


class LockHeld(SigilError):
    """Another process holds the lock that this one needs."""


class SimulationFailed(SigilError):
    """Jesse refused or broke off a simulation; the message is Jesse's own."""


class StrategyFailed(SigilError):
    """A strategy of the user's own raised within a minute, or contradicts its own record."""


class DamagedRecord(SigilError):
    """What a session recorded is not what it wrote; the message names the variant, the session and the minute."""


class ExchangeUnreachable(SigilError):
    """The exchange gave no usable answer for as long as there was patience."""


class UsageError(SigilError):
    """What was typed or written down cannot be used as it is."""

    exit_status = 2


class SettingsError(UsageError):
    """A setting is unknown, of the wrong type, out of range or impossible together with another."""


class CandleError(UsageError):
    """Candles cannot be used; the message names the file, the row and the value."""


class MigrationError(UsageError):
    """A migration is missing, was changed after it was applied, or cannot be taken back."""


class UnknownVariant(UsageError):
    """No overlay exists for the requested variant."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown variant '{name}'; {hint(name, known)}")


class UnknownSymbol(UsageError):
    """The symbol is not one that this variant knows."""

    def __init__(self, symbol: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown symbol '{symbol}'; {hint(symbol, known, several=True)}")


def hint(name: str, known: Iterable[str], *, several: bool = False) -> str:
    """Return the way out for a misspelt name: the nearest known names, else all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3 if several else 1, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    if not names:
        return "none is known yet"
    shown = ", ".join(names[:12])
    return f"known: {shown}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")
