"""One simulation: candles, a variant or any Jesse strategy, Jesse's own simulator, and what came of it.

Runs in a process of its own (`worker.py`), because Jesse's state is process-wide. Start at `simulate`.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.gate import Gate, gated
from sigil_ext.bridge.records import Fill, RunRecord, Trade
from sigil_ext.bridge.replay import observed_replay, shares_one_clock
from sigil_ext.bridge.routing import data_routes_for, demand_one_quote, extra_timeframes, jesse_config, routes_for
from sigil_ext.db.scripted_store import Script, ScriptedStore
from sigil_ext.errors import SimulationFailed, UsageError
from sigil_ext.rules.equity import marked_equity
from sigil_ext.rules.excursions import excursions_r, next_day_pct
from sigil_ext.rules.indicators import CLOSE
from sigil_ext.settings.models import TIMEFRAME_MINUTES
from sigil_ext.settings.overlays import Variant

EQUITY_STEP_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class StrategyRun:
    """Any Jesse strategy: `module:Class`, its timeframe, and the account it trades on."""

    path: str
    timeframe: str
    starting_balance: float
    cost_rate: float
    market: str = "spot"
    data_timeframes: tuple[str, ...] = ()
    hyperparameters: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """What to run, on which candles (symbol -> .npy file, or array, with Jesse's columns), over which period.

    Candles may begin before `start_ms`: those are warm-up. `finish_ms` is exclusive. The rest is for audits: nothing is
    scanned or entered before `trades_from_ms`, the wallet begins with `cash` USD, and people do what `script` says; a foreign
    strategy is refused the entries of `refused`, (symbol, ms) -> reason, and does not run with other code than `code`.
    """

    what: Variant | StrategyRun
    candles: Mapping[str, Path | NDArray[np.float64]]
    start_ms: int
    finish_ms: int
    exchange: str = "Binance Spot"
    trades_from_ms: int | None = None
    cash: float | None = None
    script: Script | None = None
    refused: Mapping[tuple[str, int], str] | None = None
    code: str | None = None

    @property
    def label(self) -> str:
        return self.what.name


@dataclass(slots=True)
class SimulationResult:
    """What came of a run. Equity is marked every 15 minutes; a foreign strategy has Jesse's daily curve instead."""

    label: str
    start_ms: int
    finish_ms: int
    symbols: list[str]
    record: RunRecord
    metrics: dict[str, Any]
    starting_balance: float
    equity_times_ms: NDArray[np.int64]
    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    final_cash: float
    notes: list[str] = field(default_factory=list)


def simulate(request: SimulationRequest, progress: Callable[[float], None] = lambda share: None) -> SimulationResult:
    """Run Jesse's simulator and return what came of it.

    Args:
        progress: called with the share done, 0..1, whenever the simulated time moves.
    Raises:
        SimulationFailed: Jesse refused or broke off the run. UsageError: the strategy cannot be loaded, or the symbols have
            several quote currencies.
    """
    demand_one_quote(request.candles)
    from jesse import research
    from jesse.store import store as jesse_store

    candles = {s: np.load(c, mmap_mode="r") if isinstance(c, Path) else c for s, c in request.candles.items()}
    span = max(1, request.finish_ms - request.start_ms)

    def on_time(now_ms: int) -> None:
        progress(min(1.0, max(0.0, (now_ms - request.start_ms) / span)))

    plan = _variant_plan(request, on_time) if isinstance(request.what, Variant) else _foreign_plan(request, on_time)
    wallet: dict[str, float] = {}
    strategy = _reporting(plan.strategy, jesse_store, request.exchange, wallet)
    symbols = sorted(candles)
    routes = routes_for(strategy, symbols, plan.timeframe, request.exchange)
    data_routes = data_routes_for(symbols, plan.data_timeframes, request.exchange)
    jesse_candles = {
        f"{request.exchange}-{s}": {"exchange": request.exchange, "symbol": s, "candles": np.array(candles[s])}
        for s in symbols
    }
    config = jesse_config(plan.starting_balance, plan.cost_rate, plan.market, request.exchange)
    bar_minutes = max(TIMEFRAME_MINUTES[t] for t in (plan.timeframe, *plan.data_timeframes))
    arguments: dict[str, Any] = {
        "config": config, "routes": routes, "data_routes": data_routes, "candles": jesse_candles,
        "hyperparameters": plan.hyperparameters,
    }  # fmt: skip
    try:
        if shares_one_clock(candles, request.start_ms, bar_minutes):
            result = research.backtest(**arguments)
        else:
            with observed_replay(request.start_ms):
                result = research.backtest(**arguments)
    except Exception as error:
        if isinstance(error, UsageError):
            raise
        raise SimulationFailed(f"{request.label}: {type(error).__name__}: {error}") from error
    return plan.finish(result, candles, wallet.get("cash", plan.starting_balance))


@dataclass(slots=True)
class _Plan:
    strategy: type
    timeframe: str
    data_timeframes: tuple[str, ...]
    starting_balance: float
    cost_rate: float
    market: str
    hyperparameters: dict[str, Any] | None
    finish: Callable[[dict[str, Any], Mapping[str, NDArray[np.float64]], float], SimulationResult]


def _reporting(strategy: type, jesse_store: Any, exchange: str, wallet: dict[str, float]) -> type:
    """Return `strategy` with a note of the wallet's cash, taken when the last route has closed its position."""

    class Reporting(strategy):  # type: ignore[misc]
        def _on_close_position(self, order: Any) -> None:
            super()._on_close_position(order)
            wallet["cash"] = float(jesse_store.exchanges.get_exchange(exchange).wallet_balance)

    Reporting.__name__ = Reporting.__qualname__ = strategy.__name__
    return Reporting


def _variant_plan(request: SimulationRequest, on_time: Callable[[int], None]) -> _Plan:
    from sigil_ext.bridge.session import Session
    from sigil_ext.bridge.strategy import VariantStrategy

    variant = request.what
    assert isinstance(variant, Variant)
    settings = variant.settings
    balance = settings.sizing.starting_balance if request.cash is None else request.cash
    sessions: list[Session] = []

    def make_session(tuned: Any, market: Any, pool: list[str]) -> Session:
        store = ScriptedStore(variant.name, request.script or Script())

        def tick(now_ms: int) -> None:
            store.advance(now_ms)
            on_time(now_ms)

        begin = request.start_ms if request.trades_from_ms is None else request.trades_from_ms
        session = Session(tuned, store, market, pool, start_ms=begin, on_time=tick)
        sessions.append(session)
        return session

    strategy = type(
        variant.name.capitalize(),
        (VariantStrategy,),
        {"variant": variant.name, "settings": settings, "make_session": staticmethod(make_session)},
    )

    def finish(
        result: dict[str, Any], candles: Mapping[str, NDArray[np.float64]], final_cash: float
    ) -> SimulationResult:
        record = sessions[0].record if sessions else RunRecord()
        for trade in record.trades:
            _measure(trade, candles[trade.symbol])
        times = np.arange(request.start_ms, request.finish_ms + EQUITY_STEP_MS, EQUITY_STEP_MS, dtype=np.int64)
        times = np.minimum(times, request.finish_ms)
        cash, marks = marked_equity(
            times,
            balance,
            [fill for trade in record.trades for fill in trade.fills],
            {s: (c[:, 0].astype(np.int64) + 60_000, c[:, CLOSE]) for s, c in candles.items()},
            settings.costs.rate,
        )
        return SimulationResult(
            label=variant.name,
            start_ms=request.start_ms,
            finish_ms=request.finish_ms,
            symbols=sorted(candles),
            record=record,
            metrics=result["metrics"],
            starting_balance=balance,
            equity_times_ms=times,
            equity=cash + marks,
            cash=cash,
            final_cash=final_cash,
        )

    return _Plan(
        strategy=strategy,
        timeframe=settings.signal_timeframe,
        data_timeframes=extra_timeframes(settings),
        starting_balance=balance,
        cost_rate=settings.costs.rate,
        market="spot",
        hyperparameters=None,
        finish=finish,
    )


def _measure(trade: Trade, minutes: NDArray[np.float64]) -> None:
    assert trade.stop_pct is not None
    assert trade.stop_price is not None
    at_close = trade.exit_reason in ("flat_no_move", "session_end") or trade.exit_price > trade.stop_price
    trade.mae_r, trade.mfe_r = excursions_r(
        minutes,
        trade.opened_at_ms,
        trade.closed_at_ms,
        trade.entry_price,
        trade.exit_price,
        trade.stop_pct,
        left_at_close=at_close,
    )
    high, low = next_day_pct(minutes, trade.closed_at_ms, trade.exit_price)
    trade.next_24h_high_pct, trade.next_24h_low_pct = high, low


def load_strategy(path: str) -> type:
    """Return the class that `module:Class` names.

    Raises:
        UsageError: the text is not module:Class, or nothing of that name can be imported, or it is no Jesse strategy.
    """
    from jesse.strategies import Strategy

    module_name, colon, class_name = path.partition(":")
    if not colon or not module_name or not class_name:
        raise UsageError(f"--strategy '{path}' is not module:Class; example: --strategy strategies.Baseline:Baseline")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(f"--strategy '{path}': cannot import {module_name} ({error})") from error
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"--strategy '{path}': {module_name} fails when it is imported ({told})") from error
    found = getattr(module, class_name, None)
    if found is None:
        raise UsageError(f"--strategy '{path}': {module_name} has no class {class_name}")
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise UsageError(f"--strategy '{path}': {class_name} is not a Jesse strategy")
    return found


def code_of(strategy: type) -> str:
    """Return a fingerprint of the file that holds a strategy."""
    file = Path(str(sys.modules[strategy.__module__].__file__)).resolve()
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _foreign_plan(request: SimulationRequest, on_time: Callable[[int], None]) -> _Plan:
    run = request.what
    assert isinstance(run, StrategyRun)
    from jesse.store import store as jesse_store

    loaded = load_strategy(run.path)
    if request.code is not None and code_of(loaded) != request.code:
        raise UsageError(
            f"the code of {run.path} has changed since its paper session was begun, and cannot say what the session "
            "should have done; put it back, or begin a new session with: sigil run paper --restart"
        )
    if request.trades_from_ms is not None or request.refused:
        loaded = gated(loaded, Gate(request.trades_from_ms or 0, request.refused))
    before_the_end: list[int] = []

    class Timed(loaded):  # type: ignore[misc,valid-type]
        def before(self) -> None:
            on_time(int(self.time))
            super().before()

        def _terminate(self) -> None:
            before_the_end.append(len(jesse_store.closed_trades.trades))
            super()._terminate()

    Timed.__name__ = Timed.__qualname__ = loaded.__name__

    def finish(
        result: dict[str, Any], candles: Mapping[str, NDArray[np.float64]], final_cash: float
    ) -> SimulationResult:
        trades = [foreign_trade(t) for t in result.get("trades", [])]
        for trade in trades[before_the_end[0] :] if before_the_end else ():
            trade.exit_reason = "session_end"
        times = np.array([request.start_ms, *(t.closed_at_ms for t in trades)], dtype=np.int64)
        equity = run.starting_balance + np.concatenate(([0.0], np.cumsum([t.pnl_usd for t in trades])))
        return SimulationResult(
            label=run.name,
            start_ms=request.start_ms,
            finish_ms=request.finish_ms,
            symbols=sorted(candles),
            record=RunRecord(trades=trades),
            metrics=result["metrics"],
            starting_balance=run.starting_balance,
            equity_times_ms=times,
            equity=equity,
            cash=equity,
            final_cash=final_cash,
            notes=["a foreign strategy has no universe, guard or stop record; its equity is that of closed trades"],
        )

    return _Plan(
        strategy=Timed,
        timeframe=run.timeframe,
        data_timeframes=run.data_timeframes,
        starting_balance=run.starting_balance,
        cost_rate=run.cost_rate,
        market=run.market,
        hyperparameters=dict(run.hyperparameters) if run.hyperparameters else None,
        finish=finish,
    )


def foreign_trade(trade: Mapping[str, Any]) -> Trade:
    """Return a trade of a foreign strategy with what Jesse knows of it; what only Sigil's rules know stays empty."""
    notional = float(trade["qty"]) * float(trade["entry_price"])
    fills = [
        Fill(trade["symbol"], int(o["executed_at"]), o["side"], abs(float(o["qty"])), float(o["price"]))
        for o in trade.get("orders", [])
    ]
    return Trade(
        symbol=trade["symbol"], opened_at_ms=int(trade["opened_at"]), closed_at_ms=int(trade["closed_at"]),
        entry_price=float(trade["entry_price"]), exit_price=float(trade["exit_price"]), qty=float(trade["qty"]),
        fee=float(trade["fee"]), pnl_usd=float(trade["PNL"]), exit_reason="strategy", atr_at_entry=None,
        stop_pct=None, hard_stop_price=None, stop_price=None, risk_usd=None, notional_usd=notional, cap_bound=False,
        cash_bound=False, universe_id=None, entries=len([f for f in fills if f.side == "buy"]), high_water=None,
        signal={}, fills=fills,
    )  # fmt: skip
