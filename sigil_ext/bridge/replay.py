"""Jesse's timestamp replay, told when to start, and two mends to it. Everything here touches private functions of Jesse;
`PRIVATE_FUNCTIONS` lists them with the fingerprint of the code they were written against, and a test compares.

Why: (1) Jesse begins a replay when the *last* symbol of the pool was listed, and Sigil routes the whole pool; here the
replay begins when it is told to, earlier candles are warm-up, and a symbol that is listed later simply joins. (2) When an
order fills inside a larger bar, Jesse rebuilds that bar from as many candles as minutes have passed, which reaches into
earlier bars where minutes are absent, and fails outright on the first bars; here it takes the candles of the bar's own
span. (3) Where a bar's last minute is absent, the bar ends with the symbol's next candle, and Jesse lets that candle fill
orders, and strategies look, before it stores the bar: the new bar's first part overtakes it, and the store, which only
grows at its end, loses it (or fails, while it is short). Here a bar that has ended is stored first.
On candles without a hole all of this changes nothing, and there Jesse's faster simulator is left alone.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# module:function -> first 16 hex digits of the SHA-256 of its source in jesse 3.5.3
PRIVATE_FUNCTIONS: dict[str, str] = {
    "jesse.modes.backtest_mode:_uses_observed_timestamp_replay": "a48637ea5140d238",
    "jesse.modes.backtest_mode:_timestamp_replay_common_start": "90c42bdf950142b6",
    "jesse.modes.backtest_mode:_prepare_timestamp_replay_warmup": "d05639f478de6d5e",
    "jesse.modes.backtest_mode:_update_all_routes_a_partial_candle": "f36f636c7dc832f9",
    "jesse.modes.backtest_mode:_timestamp_simulator": "3913c4c8d1f6714a",
    # called or mirrored by host.py
    "jesse.modes.backtest_mode:_apply_timestamp_replay_event": "71f885d2bd2cdbac",
    "jesse.modes.backtest_mode:_build_timestamp_replay_plan": "6c851049cb3b5498",
    "jesse.modes.backtest_mode:_timestamp_bucket_generation_schedule": "cc95c1166fdce782",
    "jesse.modes.backtest_mode:_simulate_price_change_effect": "ab757ad48cd9d146",
    "jesse.modes.backtest_mode:_get_opening_gap_and_executing_orders": "2a675b235944ab6d",
    "jesse.modes.backtest_mode:_check_for_liquidations": "ca170871f2672b74",
    "jesse.services.candle_service:generate_candle_from_observed_minutes": "84d4d8ac1e6d7ece",
    "jesse.modes.backtest_mode:_prepare_routes": "a291d0e6888d6185",
    "jesse.modes.backtest_mode:_generate_outputs": "f7d37796c5a2a310",
    "jesse.research.backtest:_execute_isolated_backtest": "944587325df2f724",
    "jesse.research.backtest:_reset_research_runtime_state": "74ba5c9668ea6e6e",
    "jesse.research.backtest:_format_config": "d4886628f7df6a76",
    "jesse.modes.backtest_mode:_step_simulator": "4024583ff4508028",
    # what it made is left out of checkpoints by strategy_host.py
    "jesse.services.cache:cached": "a649f0b9dc821fdf",
}


def fingerprint(function: Callable[..., Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a function's source."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


def shares_one_clock(candles: Mapping[str, NDArray[np.float64]], start_ms: int, bar_minutes: int) -> bool:
    """Return whether all series begin at `start_ms`, on a bar's boundary, and run on minute by minute without a hole."""
    series = list(candles.values())
    times = series[0][:, 0]
    return (
        int(times[0]) == start_ms
        and start_ms % (bar_minutes * 60_000) == 0
        and bool((np.diff(times) == 60_000).all())
        and all(np.array_equal(s[:, 0], times) for s in series[1:])
    )


@contextmanager
def observed_replay(start_ms: int) -> Iterator[None]:
    """Make Jesse's simulator replay what was observed from `start_ms` on, for the length of the block."""
    from jesse.modes import backtest_mode

    replaced: dict[str, Any] = {
        "_uses_observed_timestamp_replay": lambda candles: True,
        "_timestamp_replay_common_start": lambda candles: start_ms,
        "_update_all_routes_a_partial_candle": _rebuild_bars_of_a_fill,
        "_apply_timestamp_replay_event": _ended_bars_first(backtest_mode._apply_timestamp_replay_event),
    }
    originals = {name: getattr(backtest_mode, name) for name in replaced}
    for name, function in replaced.items():
        setattr(backtest_mode, name, function)
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(backtest_mode, name, function)


def _ended_bars_first(apply_event: Callable[..., Any]) -> Callable[..., Any]:
    """Return Jesse's `apply_event` that first stores the bars which ended before the event's minute began."""

    def apply(event: Mapping[str, Any], candles: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        from jesse.constants import TIMEFRAME_TO_ONE_MINUTES
        from jesse.services import candle_service

        for key, timeframe, start in event["aggregates"]:
            length = TIMEFRAME_TO_ONE_MINUTES[timeframe] * 60_000
            begin = int(candles[key]["candles"][start, 0]) // length * length
            if begin + length == event["time"]:
                continue  # ends with this very minute: Jesse's order is right
            exchange, symbol = candles[key]["exchange"], candles[key]["symbol"]
            minutes = candle_service.get_candles(exchange, symbol, "1m")
            first, last = np.searchsorted(minutes[:, 0], (begin, begin + length))
            bar = candle_service.generate_candle_from_observed_minutes(timeframe, minutes[first:last])
            candle_service.add_candle(bar, exchange, symbol, timeframe, with_execution=False, with_generation=False)
        return apply_event(event, candles, *rest, **named)

    return apply


def _rebuild_bars_of_a_fill(exchange: str, symbol: str, storable_temp_candle: NDArray[np.float64]) -> None:
    """Store the part of a minute up to a fill, and the larger bars as they stand at it, each from its own span only."""
    from jesse.config import config
    from jesse.constants import TIMEFRAME_TO_ONE_MINUTES
    from jesse.services import candle_service

    add = {"with_execution": False, "with_generation": False}
    candle_service.add_candle(storable_temp_candle, exchange, symbol, "1m", **add)
    minutes = candle_service.get_candles(exchange, symbol, "1m")
    for timeframe in config["app"]["considering_timeframes"]:
        if timeframe == "1m":
            continue
        length = TIMEFRAME_TO_ONE_MINUTES[timeframe]
        begin = storable_temp_candle[0] - storable_temp_candle[0] % (length * 60_000)
        recent = minutes[-length:]
        span = recent[np.searchsorted(recent[:, 0], begin, side="left") :]
        candle_service.add_candle(
            candle_service.generate_candle_from_observed_minutes(timeframe, span), exchange, symbol, timeframe, **add
        )
