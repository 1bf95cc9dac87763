"""Run by tests/acceptance/test_host_parity.py in a process without pytest: the host against `jesse.research.backtest`.

`python -m tests.host_parity bundled` runs every strategy that Jesse bundles on candles that make it trade; `... variants FOLDER
[NAME ...]` runs variants on the .npy candles of a folder. Prints one JSON list a line: name, equal, outcome, trades, detail.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np

EXCHANGE = "Binance Spot"
MIDNIGHT = 1_749_945_600_000
# market, timeframe, candles
SETTINGS = (
    ("futures", "1m", "walk"), ("futures", "15m", "walk"), ("spot", "15m", "walk"), ("futures", "1m", "up"),
    ("futures", "1m", "down"), ("spot", "1m", "up"), ("spot", "1m", "down"), ("futures", "15m", "holes"),
)  # fmt: skip
FIELDS = ("symbol", "type", "opened_at", "closed_at", "entry_price", "exit_price", "qty", "fee", "PNL")


def candles(kind: str, seed: int) -> np.ndarray:
    """A random walk over two days, the same with holes, or the ramps that Jesse's own tests use."""
    if kind in ("walk", "holes"):
        rng = np.random.default_rng(seed)
        n = 2880
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, n)))
        opened = np.r_[100.0, close[:-1]]
        high = np.maximum(opened, close) * (1 + abs(rng.normal(0, 0.001, n)))
        low = np.minimum(opened, close) * (1 - abs(rng.normal(0, 0.001, n)))
        rows = np.column_stack([MIDNIGHT + np.arange(n) * 60_000.0, opened, close, high, low, rng.random(n) * 100])
        return rows if kind == "walk" else rows[rng.random(n) > 0.1]
    price = np.arange(1, 100, dtype=float) if kind == "up" else np.arange(100, 1, -1.0)
    price *= 10.0 if seed % 2 else 1.0
    opened = np.r_[price[0], price[:-1]]
    n = len(price)
    return np.column_stack(
        [
            MIDNIGHT + np.arange(n) * 60_000.0,
            opened,
            price,
            np.maximum(opened, price),
            np.minimum(opened, price),
            np.full(n, 10.0),
        ]
    )


def story(trades: list[dict[str, Any]]) -> list[Any]:
    return [
        [
            [t[f] for f in FIELDS],
            [[o[f] for f in ("side", "type", "qty", "price", "executed_at", "status")] for o in t["orders"]],
        ]
        for t in trades
    ]


def attempt(run: Any) -> tuple[Any, ...]:
    try:
        return ("ran", *run())
    except Exception as error:  # noqa: BLE001 (whatever Jesse raises is what is compared)
        return ("refused", type(error).__name__, str(error))


def feed(host: Any, rows: dict[str, np.ndarray]) -> None:
    """Give the host minute after minute, absent candles absent."""
    by_time: dict[int, dict[str, np.ndarray]] = {}
    for symbol, series in rows.items():
        for row in series:
            by_time.setdefault(int(row[0]), {})[symbol] = row
    for open_ms in sorted(by_time):
        host.minute(open_ms, by_time[open_ms])


def compare_bundled(case: tuple[str, str, str, str]) -> list[Any]:
    from jesse import research

    from sigil_ext.bridge.host import Host
    from sigil_ext.bridge.replay import observed_replay

    name, market, timeframe, kind = case
    label = f"{name} {market} {timeframe} {kind}"
    module = importlib.import_module(f"jesse.strategies.{name}")
    strategy = getattr(module, name, None)
    if strategy is None:
        return [label, None, "no class of its folder's name", 0, ""]
    config = {"starting_balance": 10_000, "fee": 0.001, "type": market, "futures_leverage": 2,
              "futures_leverage_mode": "isolated", "exchange": EXCHANGE, "warm_up_candles": 0}  # fmt: skip
    rows = {"BTC-USDT": candles(kind, 3), "ETH-USDT": candles(kind, 4)}
    routes = [{"exchange": EXCHANGE, "strategy": strategy, "symbol": "BTC-USDT", "timeframe": timeframe}]
    data = [{"exchange": EXCHANGE, "symbol": "ETH-USDT", "timeframe": "1h"}]
    start = min(int(series[0, 0]) for series in rows.values())

    def backtest() -> tuple[Any, ...]:
        arrays = {f"{EXCHANGE}-{s}": {"exchange": EXCHANGE, "symbol": s, "candles": c} for s, c in rows.items()}
        if kind == "holes":  # with the mend: plain Jesse takes the wrong minutes there
            with observed_replay(start):
                result = research.backtest(config, routes, data, arrays)
        else:
            result = research.backtest(config, routes, data, arrays)
        return story(result["trades"]), result["metrics"]

    def hosted() -> tuple[Any, ...]:
        host = Host(config, routes, data, start_ms=start)
        feed(host, rows)
        result = host.finish()
        host.close()
        nothing = {"total": 0, "win_rate": 0, "net_profit_percentage": 0, "annualization": 365}
        return story(result["trades"]), result["metrics"] or nothing

    expected, got = attempt(backtest), attempt(hosted)
    trades = len(expected[1]) if expected[0] == "ran" else 0
    equal = repr(expected) == repr(got)  # repr: NaN metrics are equal, and a float differs in its last digit
    return [label, equal, expected[0], trades, "" if equal else f"{expected!r:.300} | {got!r:.300}"]


def store_for(name: str) -> Any:
    """A store in memory, or on the database that SIGIL_TEST_DATABASE describes."""
    from pydantic import SecretStr

    from sigil_ext.db.connection import Database
    from sigil_ext.db.memory_store import MemoryStore
    from sigil_ext.db.postgres_store import PostgresStore
    from sigil_ext.settings.environment import DatabaseAddress

    described = os.environ.get("SIGIL_TEST_DATABASE")
    if not described:
        return MemoryStore(name)
    place = json.loads(described)
    place["password"] = SecretStr(place["password"])
    return PostgresStore(Database(name, DatabaseAddress(**place, source="test")))


def compare_variant(case: tuple[str, str]) -> list[Any]:
    from sigil_ext.bridge.host import Host
    from sigil_ext.bridge.routing import data_routes_for, extra_timeframes, jesse_config, routes_for
    from sigil_ext.bridge.session import Session
    from sigil_ext.bridge.simulate import SimulationRequest, simulate
    from sigil_ext.bridge.strategy import VariantStrategy
    from sigil_ext.settings.overlays import load_variant

    name, folder = case
    paths = {p.stem: p for p in sorted(Path(folder).glob("*-USDT.npy"))}
    rows = {symbol: np.load(path) for symbol, path in paths.items()}
    start = min(int(r[0, 0]) for r in rows.values())
    finish = max(int(r[-1, 0]) for r in rows.values()) + 60_000
    variant = load_variant(name)
    backtest = simulate(SimulationRequest(variant, paths, start, finish))

    s = variant.settings
    sessions: list[Session] = []

    def make_session(settings: Any, market: Any, pool: list[str]) -> Session:
        sessions.append(Session(settings, store_for(name), market, pool, start_ms=start))
        return sessions[-1]

    strategy = type(
        name.capitalize(),
        (VariantStrategy,),
        {"variant": name, "settings": s, "make_session": staticmethod(make_session)},
    )
    config = jesse_config(s.sizing.starting_balance, s.costs.rate, "spot", EXCHANGE)
    routes = routes_for(strategy, rows, s.signal_timeframe, EXCHANGE)
    host = Host(config, routes, data_routes_for(rows, extra_timeframes(s), EXCHANGE), start_ms=start)
    feed(host, rows)
    host.finish()

    def told(trades: Any) -> list[Any]:
        return [
            (t.symbol, t.opened_at_ms, t.closed_at_ms, t.entry_price, t.exit_price, t.qty, t.fee, t.pnl_usd, t.exit_reason,
             t.atr_at_entry, t.stop_pct, t.stop_price, t.high_water, t.universe_id, [vars_of(f) for f in t.fills])
            for t in trades
        ]  # fmt: skip

    def vars_of(fill: Any) -> tuple[Any, ...]:
        return fill.symbol, fill.at_ms, fill.side, fill.qty, fill.price

    expected, got = told(backtest.record.trades), told(sessions[0].record.trades)
    rest = (
        backtest.record.refused_signals == sessions[0].record.refused_signals,
        backtest.record.scan_log == sessions[0].record.scan_log,
        backtest.record.bars_refused == sessions[0].record.bars_refused,
        host.balance() == backtest.final_cash,
    )
    return [name, expected == got and all(rest), "ran", len(expected), "" if expected == got else f"{rest}"]


def main(arguments: list[str]) -> None:
    os.environ.setdefault("SIGIL_HOME", str(Path(__file__).resolve().parents[1]))
    what = arguments[0]
    if what == "bundled":
        import jesse.strategies

        base = Path(jesse.strategies.__file__).parent
        names = sorted(p.parent.name for p in base.glob("*/__init__.py"))
        cases: list[Any] = [(name, *setting) for name in names for setting in SETTINGS]
        compare: Any = compare_bundled
    else:
        names = arguments[2:] or ["baseline", "moderate", "aggressive", "unhinged", "legacy"]
        cases = [(name, arguments[1]) for name in names]
        compare = compare_variant
        importlib.import_module("jesse.research")  # once, inherited by the children
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the bundled strategies print
    with Pool(2, maxtasksperchild=1) as pool:  # one simulation a process
        for result in pool.imap(compare, cases, chunksize=1):
            print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
