"""A variant on the host with its memory in a database: what the paper session feeds minute by minute.

After a restart it is fed the recorded minutes first, as a rebuild: positions, stops, trails, cash and bars come back by the
same calls in the same order, and nothing is decided anew. An entry is made where, and only where, the database holds one;
exits follow from the candles alone. Start at `PaperHost.minute`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.host import Host
from sigil_ext.bridge.records import RunRecord
from sigil_ext.bridge.routing import DEFAULT_EXCHANGE, data_routes_for, extra_timeframes, jesse_config, routes_for
from sigil_ext.bridge.session import BarSignal, Session
from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.rules.ports import Store
from sigil_ext.rules.types import Entered, Entry, RefusalReason, Refused
from sigil_ext.settings.overlays import Variant

Row = Sequence[float]


class RecordedStore(MemoryStore):
    """A memory that enters what the database entered and nothing else, for the length of a rebuild."""

    def __init__(self, variant: str, entries: Mapping[tuple[str, int], int], scans: Mapping[int, int]) -> None:
        """Args: entries: (symbol, ms of the entry) -> position id. scans: ms -> id of the scan made then."""
        super().__init__(variant)
        self.entries, self.scans = entries, scans

    def enter(self, entry: Entry, *, stacking: bool = False) -> Entered | Refused:
        place = (entry.symbol, int(entry.at.timestamp() * 1000))
        if place not in self.entries:
            return Refused(entry.symbol, entry.at, "paused", "not entered when it was live")
        # Whatever barred it here did not then: a person lifted a protection, say.
        self._protections.pop(entry.symbol, None)
        outcome = super().enter(replace(entry, max_open_positions=len(self.open_positions()) + 1), stacking=True)
        assert isinstance(outcome, Entered), outcome
        return outcome


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
            self.universe_id = self.recorded.scans.get(self._now_ms)

    def _ask_breaker(self, equity: float) -> None:
        if self.recorded is None:
            super()._ask_breaker(equity)

    def live(self, store: Store) -> None:
        """End the rebuild: what is decided from here on is read from and written to `store`."""
        assert self.recorded is not None
        for symbol, holding in self.holdings.items():
            holding.position_id = self.recorded.entries[symbol, holding.opened_at_ms]
        self.store, self.recorded = store, None
        self.record = RunRecord(trades=self.record.trades)
        if (last := store.last_scan()) is not None:
            self.universe_id, scanned = last
            self.in_universe = scanned.accepted


class PaperHost:
    """One variant on Jesse's core in this process. Built at the state of `start_ms`; `rebuild` catches up, then live."""

    def __init__(
        self, variant: Variant, symbols: Sequence[str], start_ms: int, warmup: Mapping[str, NDArray[np.float64]],
        entries: Mapping[tuple[str, int], int], scans: Mapping[int, int],
    ) -> None:  # fmt: skip
        from sigil_ext.bridge.strategy import VariantStrategy

        settings = variant.settings
        self.session: RebuildingSession | None = None
        self._store: Store | None = None

        def make_session(tuned: Any, market: Any, pool: list[str]) -> Session:
            store = RecordedStore(variant.name, entries, scans)
            self.session = RebuildingSession(tuned, store, market, pool, start_ms=start_ms)
            self.session.recorded = store
            if self._store is not None:  # nothing was recorded: live from the first bar on
                self.session.live(self._store)
            return self.session

        strategy = type(
            variant.name.capitalize(),
            (VariantStrategy,),
            {"variant": variant.name, "settings": settings, "make_session": staticmethod(make_session)},
        )
        self.host = Host(
            jesse_config(settings.sizing.starting_balance, settings.costs.rate, "spot", DEFAULT_EXCHANGE),
            routes_for(strategy, symbols, settings.signal_timeframe, DEFAULT_EXCHANGE),
            data_routes_for(symbols, extra_timeframes(settings), DEFAULT_EXCHANGE),
            start_ms=start_ms,
            warmup=warmup,
        )

    def minute(self, open_ms: int, candles: Mapping[str, Row]) -> None:
        """Process one closed minute."""
        self.host.minute(open_ms, candles)

    def live(self, store: Store) -> None:
        """End the rebuild, or begin live at once where there is nothing to rebuild."""
        self._store = store
        if self.session is not None:
            self.session.live(store)

    def finish(self) -> None:
        """Close what is open at the last price, as a backtest does at its end."""
        self.host.finish()
