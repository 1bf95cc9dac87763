"""Which symbols of a pool trade, by the exchange's own lists, and which of those that it calls halted have trades anyway.

Never here: which candles are waited for; that follows from it (`exchange_feed`). Start at `Listings.follow`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from sigil_ext.paper.exchange_client import NOT_LISTED, ExchangeClient, Note


class Listings:
    """The symbols of one pool: traded, or halted and why."""

    def __init__(
        self,
        client: ExchangeClient,
        symbols: tuple[str, ...],
        note: Note,
        await_only: Callable[[Collection[str]], None],
    ) -> None:
        """Args: await_only: told which symbols are traded, whenever that changes."""
        self._client, self._symbols, self._note, self._await_only = client, symbols, note, await_only
        self.halted: dict[str, str] = {}
        self._trades_anyway: set[str] = set()  # listed as halted, and yet with trades

    def follow(self) -> list[str]:
        """Take over what the exchange lists now, and return the symbols that are worth watching.

        The halted ones are among them: an exchange may call a symbol halted that still has trades.
        """
        reasons = {symbol: self._client.why_not(symbol) for symbol in self._symbols}
        for symbol, reason in reasons.items():
            if reason is None:
                self._trades_anyway.discard(symbol)
                if symbol in self.halted:
                    self._resume(symbol, "trades again")
            elif reason == NOT_LISTED or symbol not in self._trades_anyway:
                self.halt(symbol, reason)
        return [symbol for symbol, reason in reasons.items() if reason != NOT_LISTED]

    def halt(self, symbol: str, reason: str) -> None:
        """Wait for no candle of the symbol until it trades again."""
        if symbol not in self.halted:
            self._note("halted", symbol, reason)
        self.halted[symbol] = reason
        self._trades_anyway.discard(symbol)
        self._tell()

    def doubt_halt(self, symbol: str) -> None:
        """Follow a halted symbol that has trades, whatever its status; one that requests do not know is beyond that."""
        reason = self.halted[symbol]
        if reason != NOT_LISTED:
            self._resume(symbol, f"has trades, although it is {reason}")
            self._trades_anyway.add(symbol)

    def _resume(self, symbol: str, reason: str) -> None:
        del self.halted[symbol]
        self._note("fresh", symbol, reason)
        self._tell()

    def _tell(self) -> None:
        self._await_only(set(self._symbols) - self.halted.keys())
