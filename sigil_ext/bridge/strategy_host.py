"""Any Jesse strategy on the host with its memory in a database: for a paper session what `PaperHost` is for a variant.

Nothing is hooked into the strategy but the gate of its entries: what happened in a minute is read off Jesse's trades and
positions after it. After a restart the recorded minutes since the last checkpoint are fed again, nothing is written, and
what came of them must be what the database holds. Start at `StrategyHost.minute`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from sigil_ext.bridge import checkpoint
from sigil_ext.bridge.candle_book import Row
from sigil_ext.bridge.gate import Gate, gated
from sigil_ext.bridge.host import MINUTE_MS, Host
from sigil_ext.bridge.outside_state import OutsideState
from sigil_ext.bridge.paper_host import Ended
from sigil_ext.bridge.paper_strategy import PaperStrategy, load_fresh
from sigil_ext.bridge.records import Trade
from sigil_ext.bridge.routing import DEFAULT_EXCHANGE, data_routes_for, jesse_config, routes_for
from sigil_ext.bridge.simulate import foreign_trade
from sigil_ext.db.strategy_store import Left, Opened, StrategyRow, StrategyStore
from sigil_ext.errors import SigilError, StrategyFailed
from sigil_ext.rules.types import ExitReason, Signal

T = TypeVar("T")

log = structlog.get_logger("sigil.paper")


class Held(NamedTuple):
    """An open position as Jesse has it."""

    opened_ms: int
    price: float
    qty: float


class StrategyHost:
    """One strategy on Jesse's core in this process. Built at the state of `start_ms`; rebuilt, then live."""

    def __init__(
        self, what: PaperStrategy, symbols: Sequence[str], start_ms: int, warmup: Mapping[str, NDArray[np.float64]],
        rows: Sequence[StrategyRow], refused: Mapping[tuple[str, int], str], *, trades_from_ms: int | None = None,
        packed: bytes | None = None,
    ) -> None:  # fmt: skip
        """Set the host up.

        Args:
            symbols, start_ms, warmup: as `Host`. trades_from_ms: nothing is entered before.
            rows, refused: what the database holds of the session, see db/strategy_store.py.
            packed: a checkpoint; `refused` says why it was not taken.
        """
        self.what = what
        self.refused: str | None = None
        self._rows = list(rows)
        self._store: StrategyStore | None = None
        self._gate = Gate(trades_from_ms or 0, refused)
        loaded = load_fresh(what)
        self._outside = OutsideState(loaded)
        self._told_why_not = False
        run = what.run
        self.host = self._guarded(start_ms, lambda: Host(
            jesse_config(run.starting_balance, run.cost_rate, run.market, DEFAULT_EXCHANGE),
            routes_for(gated(loaded, self._gate), symbols, run.timeframe, DEFAULT_EXCHANGE),
            data_routes_for(symbols, run.data_timeframes, DEFAULT_EXCHANGE),
            start_ms=start_ms,
            warmup=warmup,
            hyperparameters=run.hyperparameters,
        ))  # fmt: skip
        self.trades: list[Trade] = []
        self._open: dict[str, Held] = {}
        self._ids: dict[str, int] = {}
        if packed is not None:
            self._restore(packed)

    # --- minutes --------------------------------------------------------------------------------------------------

    def minute(self, open_ms: int, candles: Mapping[str, Row]) -> list[Ended]:
        """Process one closed minute; return the positions that ended in it.

        Raises:
            StrategyFailed: the strategy raised. The host cannot be used any more.
        """
        if self._store is not None:
            self._gate.begin_minute(self._store)
            self._renumber(self._store.position_id)  # the minute before is written
        self._guarded(open_ms, lambda: self.host.minute(open_ms, candles))
        for (symbol, at_ms), reason in self._gate.refusals.items():
            self._note_refusal(symbol, at_ms, reason)
        return self._follow("strategy")

    def close(self, symbol: str, reason: ExitReason) -> Ended | None:
        """Close the position on `symbol` at its last price; None where there is none."""
        if symbol not in self._open:
            return None
        self._guarded(self.host.now_ms - MINUTE_MS, lambda: self._close_in_jesse(symbol))
        ended = self._follow(reason)
        return next((e for e in ended if e.trade.symbol == symbol), None)

    def finish(self) -> list[Ended]:
        """Close what is open at the last price, as a backtest does at its end."""
        self._guarded(self.host.now_ms - MINUTE_MS, self.host.finish)
        return self._follow("session_end")

    def live(self, store: StrategyStore) -> None:
        """End the rebuild, or begin live at once where there is nothing to rebuild.

        Raises:
            StrategyFailed: the rebuild did not come to what the database holds.
        """
        self._compare_with_rows()
        self._ids = {row.symbol: row.id for row in self._rows if row.closed_ms is None}
        self._store = store

    # --- what it holds --------------------------------------------------------------------------------------------

    def held(self) -> Mapping[str, int]:
        """Return symbol -> number of the position, as far as it has one yet."""
        return {symbol: self._ids.get(symbol, 0) for symbol in self._open}

    def found(self) -> Sequence[str]:
        """Return the symbols of positions that the session found when it began: never any."""
        return ()

    def worth(self) -> tuple[float, float, int]:
        """Return cash and the value of what is held in USD, and the number of open positions.

        Spot: what resting orders have taken is cash. Futures: the value is what the positions have gained or lost so far.
        """
        cash, held = self.host.balance(), 0.0
        for route in self.host.routes:
            strategy = route.strategy
            if strategy.exchange_type == "spot":
                cash += sum(o.value for o in strategy.entry_orders if o.is_active)
                held += strategy.position.value or 0.0
            else:
                held += strategy.position.pnl
        return float(cash), float(held), len(self._open)

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def save(self) -> bytes | None:
        """Return a checkpoint of the state after the last minute; None, said once in the log, where there can be none.

        Raises:
            NotNow: a strategy's `@cached` remembers something, until its next bar has been decided.
        """
        self._forget_empty_caches()
        why_not = self._outside.changed() or self._outside.shares_memory([r.strategy for r in self.host.routes])
        if why_not is None:
            try:
                return checkpoint.save(self.host, {})
            except Exception as error:  # noqa: BLE001 (whatever an object of the user's raises when it is pickled)
                why_not = f"its state cannot be written down ({' '.join(str(error).split())[:200]})"
        if not self._told_why_not:
            self._told_why_not = True
            log.warning(
                "no checkpoints", strategy=self.what.run.path, why=why_not, so="a restart replays the whole record"
            )
        return None

    def _forget_empty_caches(self) -> None:
        """Drop what Jesse's `@cached` made, which cannot be pickled and is made anew when it is asked.

        Only where it holds nothing, as after every bar. What a fill left there since is what the next bar decides by.
        """
        caches = [route.strategy._cached_methods for route in self.host.routes]
        if any(method.cache_info().currsize for cache in caches for method in cache.values()):
            raise checkpoint.NotNow
        for cache in caches:
            cache.clear()

    def _restore(self, packed: bytes) -> None:
        try:
            checkpoint.restore(self.host, packed, {})
        except checkpoint.CheckpointRefused as refused:
            self.refused = str(refused)
            return
        by_close = [row for row in self._rows if row.closed_ms is not None]
        reasons = {(row.symbol, row.opened_ms, row.closed_ms): str(row.exit_reason) for row in by_close}
        for trade in self._closed_in_jesse(0):
            trade.exit_reason = reasons.get((trade.symbol, trade.opened_at_ms, trade.closed_at_ms), "strategy")
            self.trades.append(trade)
        self._open = self._open_in_jesse()

    # --- own ------------------------------------------------------------------------------------------------------

    def _renumber(self, number: Callable[[int], int]) -> None:
        """Take notice that positions got other numbers than they had been given."""
        self._ids = {symbol: number(old) for symbol, old in self._ids.items()}

    def _follow(self, reason: str) -> list[Ended]:
        """Read off Jesse what ended, began and changed since the last time, and note it in the store."""
        ended = []
        for trade in self._closed_in_jesse(len(self.trades)):
            trade.exit_reason = reason
            self.trades.append(trade)
            known = self._ids.pop(trade.symbol, 0) if self._open.pop(trade.symbol, None) else None
            ended.append(Ended(self._note_end(trade, known), trade))
        now = self._open_in_jesse()
        for symbol, held in now.items():
            before = self._open.get(symbol)
            if before is None:
                self._note_opening(symbol, held)
            elif before != held and self._store is not None:
                self._store.changed(
                    self._ids[symbol], at=_utc(self.host.now_ms), price=held.price, qty=held.qty,
                    grew=abs(held.qty) > abs(before.qty),
                )  # fmt: skip
        self._open = now
        return ended

    def _note_opening(self, symbol: str, held: Held) -> None:
        if self._store is not None:
            self._ids[symbol] = self._store.opened(Opened(symbol, _utc(held.opened_ms), held.price, held.qty))

    def _note_end(self, trade: Trade, known: int | None) -> int:
        """Note a trade's end, and its beginning first where it began since the last look; return its number."""
        if self._store is None:
            return 0
        sign = _sign(trade)
        if known is None:
            opening = Opened(trade.symbol, _utc(trade.opened_at_ms), trade.entry_price, sign * trade.qty)
            known = self._store.opened(opening)
        entries = sum(fill.side == trade.fills[0].side for fill in trade.fills)
        detail = f"{'short' if sign < 0 else 'long'}, {_fills(entries)} in, {_fills(len(trade.fills) - entries)} out"
        self._store.left(Left(
            known, _utc(trade.closed_at_ms), trade.entry_price, trade.exit_price, sign * trade.qty, trade.exit_reason,
            trade.fee, trade.pnl_usd, detail,
        ))  # fmt: skip
        return known

    def _note_refusal(self, symbol: str, at_ms: int, reason: Any) -> None:
        assert self._store is not None
        nothing = float("nan")
        price = self.host.last_price(symbol) or nothing
        signal = Signal(symbol, _utc(at_ms), "strategy", price, nothing, nothing, nothing)
        self._store.record_signal(signal, acted=False, reject_reason=reason)
        self._store.count_refusal(symbol, reason, at=_utc(at_ms), signal=True)

    def _closed_in_jesse(self, known: int) -> list[Trade]:
        return [foreign_trade(trade.to_dict_with_orders) for trade in self.host.trades[known:]]

    def _open_in_jesse(self) -> dict[str, Held]:
        found = {}
        for route in self.host.routes:
            position = route.strategy.position
            if position.is_open:
                found[route.symbol] = Held(int(position.opened_at), float(position.entry_price), float(position.qty))
        return found

    def _close_in_jesse(self, symbol: str) -> None:
        strategy = next(route.strategy for route in self.host.routes if route.symbol == symbol)
        if strategy.exchange_type == "spot":
            strategy.broker.cancel_all_orders()  # as Jesse does at its end: resting sells have taken what is to be sold
        self.host.close_position(symbol)

    def _compare_with_rows(self) -> None:
        """Refuse to go on where the rebuild came to anything else than the rows."""
        ours: set[tuple[Any, ...]] = {
            (t.symbol, t.opened_at_ms, t.closed_at_ms, t.entry_price, t.exit_price, _sign(t) * t.qty)
            for t in self.trades
        }
        ours |= {(symbol, h.opened_ms, None, h.price, None, h.qty) for symbol, h in self._open.items()}
        theirs: set[tuple[Any, ...]] = {
            (r.symbol, r.opened_ms, r.closed_ms, r.entry_price, r.exit_price, r.qty) for r in self._rows
        }
        if other := ours ^ theirs:
            symbol, opened, *_ = min(other, key=lambda found: found[1])
            raise StrategyFailed(
                f"strategy {self.what.run.path} does something else with the recorded minutes than it did when they came "
                f"in, first on {symbol} at {_clock(opened)}: it asks the clock, chance or the network, or code that it "
                f"uses has changed; give the session up with: sigil positions close --stale --variant {self.what.name}"
            )

    def _guarded(self, open_ms: int, work: Callable[[], T]) -> T:
        """Let the strategy work; whatever it raises becomes one sentence."""
        try:
            return work()
        except SigilError:
            raise
        except (Exception, SystemExit) as error:
            told = " ".join(str(error).split())[:300]
            symbol = _blamed(error)
            raise StrategyFailed(
                f"strategy {self.what.run.path} raised {type(error).__name__}{': ' + told if told else ''}"
                f"{f' on {symbol}' if symbol else ''} in the minute {_clock(open_ms)}; nothing of that minute was recorded"
            ) from error


def _blamed(error: BaseException) -> str | None:
    """Return the symbol of the innermost strategy or order in the traceback."""
    from jesse.models import Order
    from jesse.strategies import Strategy

    symbol = None
    trace = error.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            if isinstance(value, Strategy | Order) and value.symbol:
                symbol = str(value.symbol)
        trace = trace.tb_next
    return symbol


def _sign(trade: Trade) -> int:
    return -1 if trade.fills and trade.fills[0].side == "sell" else 1


def _fills(count: int) -> str:
    return f"{count} fill{'' if count == 1 else 's'}"


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _clock(ms: int) -> str:
    return f"{_utc(ms):%Y-%m-%d %H:%M} UTC"
