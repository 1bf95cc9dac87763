"""What Jesse must be told to run a strategy on a pool: routes, data routes, configuration. Imports no Jesse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sigil_ext.errors import UsageError
from sigil_ext.settings.models import VariantSettings

DEFAULT_EXCHANGE = "Binance Spot"
ONE_QUOTE = "take the symbols of one of them: --symbols A,B"
_NAMED = 3  # symbols of each quote currency


def demand_one_quote(symbols: Iterable[str], way_out: str = ONE_QUOTE) -> None:
    """Refuse a pool that Jesse refuses: its one wallet, and every figure of a run, is in one quote currency.

    Raises:
        UsageError: the symbols have several; it names which.
    """
    by_quote: dict[str, list[str]] = {}
    for symbol in sorted(symbols):
        by_quote.setdefault(symbol.rpartition("-")[2], []).append(symbol)
    if len(by_quote) > 1:
        told = "; ".join(f"{quote}: {_shortly(names)}" for quote, names in sorted(by_quote.items()))
        raise UsageError(f"a pool has one quote currency, this one has {len(by_quote)} ({told}); {way_out}")


def _shortly(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def routes_for(strategy: str | type, symbols: Iterable[str], timeframe: str, exchange: str) -> list[dict[str, Any]]:
    """Return one route a symbol, by name: the order in which Jesse lets them decide within a minute."""
    return [
        {"exchange": exchange, "strategy": strategy, "symbol": symbol, "timeframe": timeframe}
        for symbol in sorted(symbols)
    ]


def data_routes_for(symbols: Iterable[str], timeframes: Iterable[str], exchange: str) -> list[dict[str, str]]:
    """Return one data route a symbol and timeframe."""
    wanted = list(timeframes)
    return [{"exchange": exchange, "symbol": s, "timeframe": t} for s in sorted(symbols) for t in wanted]


def extra_timeframes(settings: VariantSettings) -> tuple[str, ...]:
    """Return the timeframes that a variant reads besides the one it is routed at."""
    return () if settings.atr_timeframe == settings.signal_timeframe else (settings.atr_timeframe,)


def jesse_config(balance: float, cost_rate: float, market: str, exchange: str) -> dict[str, Any]:
    """Return the configuration of `jesse.research.backtest`; costs are its one fee a side, warm-up comes with the candles.

    Args:
        balance: USD. cost_rate: fraction a side (0.0015 = 0.15 %). market: `spot` or `futures` (leverage 1).
    """
    return {
        "starting_balance": balance,
        "fee": cost_rate,
        "type": market,
        "exchange": exchange,
        "warm_up_candles": 0,
        "futures_leverage": 1,
        "futures_leverage_mode": "cross",
    }
