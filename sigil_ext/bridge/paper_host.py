"""A variant on the host with its memory in a database: what the paper session feeds minute by minute.

After a restart it takes the last checkpoint, where there is one, and is fed the recorded minutes since, as a rebuild:
positions, stops, trails, cash and bars come back by the same calls in the same order, and nothing is decided anew. An entry
is made where, and only where, the database holds one; exits follow from the candles, or from a recorded closing by hand.
Start at `PaperHost.minute`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge import checkpoint
from sigil_ext.bridge.adopted import AdoptedBook
from sigil_ext.bridge.holding import Holding
from sigil_ext.bridge.host import Host
from sigil_ext.bridge.records import RunRecord, Trade
from sigil_ext.bridge.routing import DEFAULT_EXCHANGE, data_routes_for, extra_timeframes, jesse_config, routes_for
from sigil_ext.bridge.session import BarSignal, Session
from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.rules.indicators import HIGH, LOW
from sigil_ext.rules.ports import BanPolicy, Store
from sigil_ext.rules.types import Entered, Entry, Exit, ExitReason, Protection, RefusalReason, Refused, UniverseScan
from sigil_ext.settings.overlays import Variant

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
# A variant looks back a day in minutes and 240 bars; what it keeps is twice that and does not grow with the weeks.
KEPT_MINUTES = 2880
KEPT_BARS = 480
_ADOPTED = "sigil:adopted"
_ADOPTED_TRADES = "sigil:adopted_trades"

Row = Sequence[float]


class Ended(NamedTuple):
    """A position that was closed, and the trade it became."""

    position_id: int
    """Its number in micro_positions; below zero for a row of the earlier bot's book, whose numbers are others."""
    trade: Trade


class RecordedStore(MemoryStore):
    """A memory that enters what the database entered and nothing else, for the length of a rebuild. Writes nothing."""

    def __init__(self, variant: str, entries: Mapping[tuple[str, int], int], scans: Mapping[int, int]) -> None:
        """Args: entries: (symbol, ms of the entry) -> position id. scans: ms -> id of the scan made then."""
        super().__init__(variant)
        self.entries, self.scans = entries, scans

    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        number = self.entries.get((entry.symbol, int(entry.at.timestamp() * 1000)))
        if number is None:
            return Refused(entry.symbol, entry.at, "paused", "not entered when it was live")
        return Entered(number)

    def move_stop(self, position_id: int, *, at: datetime, stop_price: float, high_water: float) -> None:
        """Written when it was live."""

    def close(self, exit: Exit, ban: BanPolicy, cooldown_until: datetime | None = None) -> Protection | None:
        """Written when it was live."""
        return None


class RebuildingSession(Session):
    """A session that can be rebuilt: while it is, the guard lets pass what the database shows was let pass."""

    recorded: RecordedStore | None = None

    def guard(self, symbol: str) -> RefusalReason | None:
        if self.recorded is None:
            return super().guard(symbol)
        return None if (symbol, self._now_ms) in self.recorded.entries else "paused"

    def guarded(self, symbol: str, signal: BarSignal, reason: RefusalReason) -> None:
        if self.recorded is None:
            super().guarded(symbol, signal, reason)

    def _scan(self) -> None:
        if self.recorded is None:
            super()._scan()
        else:
            self.universe_id = self.recorded.scans.get(self._now_ms, self.universe_id)

    def _ask_breaker(self, equity: float) -> None:
        if self.recorded is None:
            super()._ask_breaker(equity)

    def live(self, store: Store, last_scan: tuple[int, UniverseScan] | None) -> None:
        """End the rebuild: what is decided from here on is read from and written to `store`."""
        self.store, self.recorded = store, None
        self.record = RunRecord(trades=self.record.trades)
        if last_scan is not None and self._now_ms >= self.start_ms:
            self.universe_id, scanned = last_scan
            self.in_universe = scanned.accepted


class PaperHost:
    """One variant on Jesse's core in this process. Built at the state of `start_ms`; rebuilt, then live."""

    def __init__(
        self, variant: Variant, symbols: Sequence[str], start_ms: int, warmup: Mapping[str, NDArray[np.float64]],
        entries: Mapping[tuple[str, int], int], scans: Mapping[int, int], *, trades_from_ms: int | None = None,
        cash: float | None = None, adopted: Sequence[Mapping[str, Any]] = (), packed: bytes | None = None,
    ) -> None:  # fmt: skip
        """Set the host up.

        Args:
            symbols, start_ms, warmup: as `Host`. entries, scans: what the database holds since, see RecordedStore.
            trades_from_ms: nothing is scanned or entered before. cash: of the wallet at the start, USD.
            adopted: open positions that were found, as `adopted.as_record` gives them.
            packed: a checkpoint; `refused` says why it was not taken.
        """
        from sigil_ext.bridge.strategy import VariantStrategy

        settings = variant.settings
        self.variant = variant
        self.symbols = tuple(symbols)
        self.session: RebuildingSession | None = None
        self.refused: str | None = None
        self._recorded = RecordedStore(variant.name, entries, scans)
        self._store: Store | None = None
        begins = start_ms if trades_from_ms is None else trades_from_ms

        def make_session(tuned: Any, market: Any, pool: list[str]) -> Session:
            self.session = RebuildingSession(tuned, self._recorded, market, pool, start_ms=begins)
            self.session.recorded = self._recorded
            if self._store is not None:  # nothing was recorded: live from the first bar on
                self.session.live(self._store, None)
            return self.session

        strategy = type(
            variant.name.capitalize(),
            (VariantStrategy,),
            {"variant": variant.name, "settings": settings, "make_session": staticmethod(make_session)},
        )
        balance = settings.sizing.starting_balance if cash is None else cash

        def begin(before: Mapping[str, NDArray[np.float64]]) -> Host:
            host = Host(
                jesse_config(balance, settings.costs.rate, "spot", DEFAULT_EXCHANGE),
                routes_for(strategy, symbols, settings.signal_timeframe, DEFAULT_EXCHANGE),
                data_routes_for(symbols, extra_timeframes(settings), DEFAULT_EXCHANGE),
                start_ms=start_ms,
                warmup=before,
            )
            # In Jesse's store, so that a checkpoint holds it.
            host.jesse_store.vars[_ADOPTED] = AdoptedBook(adopted, settings)
            return host

        # A checkpoint brings its candles along; the warm-up is most of what a start takes.
        self.host = begin({} if packed is not None else warmup)
        if packed is not None:
            self._restore(packed)
            if self.refused:
                self.host.close()
                self.host = begin(warmup)

    @property
    def adopted(self) -> AdoptedBook:
        """Return the open positions that the session found and follows."""
        book: AdoptedBook = self.host.jesse_store.vars[_ADOPTED]
        return book

    # --- minutes --------------------------------------------------------------------------------------------------

    def minute(self, open_ms: int, candles: Mapping[str, Row]) -> list[Ended]:
        """Process one closed minute; return the positions that ended in it."""
        before = dict(self.session.holdings) if self.session else {}
        self.host.minute(open_ms, candles)
        ended = self._follow_adopted(open_ms, candles) if self.adopted.open else []
        if self.session is None:
            return ended
        ended += self._note_excursions(before, open_ms, candles)
        self._forget(open_ms)
        return ended

    def close(self, symbol: str, reason: ExitReason) -> Ended | None:
        """Close the position on `symbol` at its last price; None where there is none."""
        if symbol in self.adopted.open:
            price = self.host.last_price(symbol)
            return None if price is None else self._leave_adopted(symbol, price, reason, self.host.now_ms)
        if self.session is None or (holding := self.session.holdings.get(symbol)) is None:
            return None
        holding.exit_reason = reason
        if not self.host.close_position(symbol):
            return None
        return self._measure(self.session.record.trades[-1], holding)

    def finish(self) -> list[Ended]:
        """Close what is open at the last price, as a backtest does at its end."""
        found = [ended for symbol in list(self.adopted.open) if (ended := self.close(symbol, "session_end"))]
        before = dict(self.session.holdings) if self.session else {}
        known = len(self.session.record.trades) if self.session else 0
        self.host.finish()
        trades = self.session.record.trades[known:] if self.session else []
        return found + [self._measure(trade, before[trade.symbol]) for trade in trades]

    def live(self, store: Store) -> None:
        """End the rebuild, or begin live at once where there is nothing to rebuild."""
        self._store = store
        if self.session is not None:
            self.session.live(store, store.last_scan())

    # --- what it holds and is worth --------------------------------------------------------------------------------

    def held(self) -> Mapping[str, int]:
        """Return symbol -> number of every position that the session opened itself."""
        holdings = self.session.holdings if self.session is not None else {}
        return {symbol: holding.position_id for symbol, holding in holdings.items()}

    def found(self) -> Sequence[str]:
        """Return the symbols of positions that the session found and follows."""
        return list(self.adopted.open)

    def worth(self) -> tuple[float, float, int]:
        """Return cash and the value of what is held in USD, and the number of open positions."""
        cash = self.host.balance()
        found = sum(
            self.adopted.proceeds(symbol, self.host.last_price(symbol) or p.entry_price)
            for symbol, p in self.adopted.open.items()
        )
        if self.session is None:
            return cash, found, len(self.adopted.open)
        return cash, self.session.equity() - cash + found, len(self.session.holdings) + len(self.adopted.open)

    @property
    def trades(self) -> list[Trade]:
        """Return every trade since the session's record began."""
        return self._found_trades + (self.session.record.trades if self.session else [])

    @property
    def _found_trades(self) -> list[Trade]:
        trades: list[Trade] = self.host.jesse_store.vars.setdefault(_ADOPTED_TRADES, [])
        return trades

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        """Return a checkpoint of the state after the last minute."""
        return checkpoint.save(self.host, {"sigil.store": self._store})

    def _restore(self, packed: bytes) -> None:
        try:
            checkpoint.restore(self.host, packed, {"sigil.store": self._recorded})
        except checkpoint.CheckpointRefused as refused:
            self.refused = str(refused)
            return
        self.session = self.host.jesse_store.vars.get(f"sigil:{self.variant.name}")
        if self.session is not None:
            self.session.recorded = self._recorded

    # --- own ------------------------------------------------------------------------------------------------------

    def _follow_adopted(self, open_ms: int, candles: Mapping[str, Row]) -> list[Ended]:
        end_ms = open_ms + MINUTE_MS
        timeframe = self.variant.settings.signal_timeframe
        closes = end_ms % (self.variant.settings.signal_minutes * MINUTE_MS) == 0
        ended = []
        for symbol in sorted(self.adopted.open):
            bar = self.host.last_bar(symbol, timeframe, end_ms) if closes else None
            left = self.adopted.minute(open_ms, candles, bar, symbol)
            if left is not None:
                ended.append(self._leave_adopted(symbol, left[1], left[2], end_ms))
        return ended

    def _leave_adopted(self, symbol: str, price: float, reason: ExitReason, at_ms: int) -> Ended:
        number, table = self.adopted.open[symbol].id, self.adopted.open[symbol].table
        self.host.add_cash(self.adopted.proceeds(symbol, price))
        trade = self.adopted.leave(symbol, price, reason, at_ms)
        self._found_trades.append(trade)
        if self._store is not None:
            settings = self.variant.settings
            at = datetime.fromtimestamp(at_ms / 1000, UTC)
            rests = settings.guard.cooldown_from == "close" and settings.guard.cooldown_hours
            until = at + timedelta(hours=settings.guard.cooldown_hours) if rests else None
            exit = Exit(number, symbol, at, price, reason, trade.fee, trade.pnl_usd)
            self._store.close(exit, settings.ban, until)
        return Ended(number if table == "micro_positions" else -number, trade)

    def _note_excursions(self, before: Mapping[str, Holding], open_ms: int, candles: Mapping[str, Row]) -> list[Ended]:
        """Follow the extremes of every position held through this minute, and measure those that ended in it."""
        assert self.session is not None
        ended: list[Ended] = []
        now = self.session.holdings
        for symbol, holding in before.items():
            row = candles.get(symbol)
            closed = now.get(symbol) is not holding
            left_at_close = holding.exit_reason is not None
            if row is not None and (not closed or left_at_close) and open_ms >= holding.opened_at_ms:
                holding.lowest = min(holding.lowest, float(row[LOW]))
                holding.highest = max(holding.highest, float(row[HIGH]))
            if closed:
                trade = next(t for t in reversed(self.session.record.trades) if t.symbol == symbol)
                ended.append(self._measure(trade, holding))
        return ended

    def _measure(self, trade: Trade, holding: Holding) -> Ended:
        r = trade.entry_price * holding.stop_pct / 100
        trade.mae_r = max(0.0, (trade.entry_price - min(holding.lowest, trade.exit_price)) / r)
        trade.mfe_r = max(0.0, (max(holding.highest, trade.exit_price) - trade.entry_price) / r)
        return Ended(holding.position_id, trade)

    def _forget(self, open_ms: int) -> None:
        """Keep memory flat over weeks: what a report of a run would want is in the database."""
        assert self.session is not None
        if (open_ms + MINUTE_MS) % HOUR_MS == 0:
            for symbol in self.symbols:
                self.session.market.first_ms(symbol)  # it is asked for when the candle itself is forgotten
            self.host.trim(KEPT_MINUTES, KEPT_BARS)
        record = self.session.record
        record.refused_signals.clear()
        record.scan_log.clear()
        record.universe_sizes.clear()
