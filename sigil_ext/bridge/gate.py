"""A gate before the entries of a strategy that knows nothing of Sigil: pause, breaker, and the time before it may trade.

Imports no Jesse. Start at `gated`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sigil_ext.rules.types import Breaker


class Judge(Protocol):
    """Who knows whether entries are barred."""

    def breaker(self) -> Breaker: ...


class Gate:
    """Whether a strategy may enter. It is asked only when the strategy wants to, and remembers what it refused.

    Live it asks the breaker and the pause, once a minute. In a rebuild, and in an audit's backtest, it refuses what the
    record shows as refused, and nothing else. Nothing is entered before `from_ms`, which is no refusal.
    """

    def __init__(self, from_ms: int = 0, refused: Mapping[tuple[str, int], str] | None = None) -> None:
        self.from_ms = from_ms
        self.recorded: Mapping[tuple[str, int], str] | None = refused or {}
        self.refusals: dict[tuple[str, int], str] = {}
        self._reason: str | None = None

    def begin_minute(self, judge: Judge) -> None:
        """Ask whether entries are barred in the minute that begins."""
        self.recorded = None
        self.refusals = {}
        breaker = judge.breaker()
        self._reason = "breaker_tripped" if breaker.tripped else "paused" if breaker.paused else None

    def shut(self, symbol: str, now_ms: int) -> bool:
        """Return whether an entry that is wanted now is refused."""
        if now_ms < self.from_ms:
            return True
        if self.recorded is not None:
            return (symbol, now_ms) in self.recorded
        if self._reason is not None:
            self.refusals[symbol, now_ms] = self._reason
        return self._reason is not None


def gated(strategy: type, gate: Gate) -> type:
    """Return `strategy` behind `gate`: it is asked as ever, so that what it remembers is the same, and its yes is not
    obeyed while the gate is shut; entry orders that rest are cancelled at the bar's close then. Exits never pass here."""

    class Gated(strategy):  # type: ignore[misc]
        def should_long(self) -> bool:
            wanted = super().should_long()
            return wanted and not gate.shut(self.symbol, int(self.time))

        def should_short(self) -> bool:
            wanted = super().should_short()
            return wanted and not gate.shut(self.symbol, int(self.time))

        def should_cancel_entry(self) -> bool:
            return super().should_cancel_entry() or gate.shut(self.symbol, int(self.time))

    Gated.__name__, Gated.__qualname__, Gated.__module__ = strategy.__name__, strategy.__qualname__, strategy.__module__
    return Gated
