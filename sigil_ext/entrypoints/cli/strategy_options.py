"""The options that say which strategy of the user's own to run, shared by `sigil backtest` and `sigil run paper`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

from sigil_ext.bridge.simulate import StrategyRun
from sigil_ext.errors import UsageError
from sigil_ext.settings.models import TIMEFRAME_MINUTES

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--strategy", metavar="MODULE:CLASS", help="Any Jesse strategy instead of variants."),
    click.option("--timeframe", metavar="T", help="Timeframe of --strategy.  [default: 15m]"),
    click.option(
        "--data-timeframe",
        "data_timeframes",
        multiple=True,
        metavar="T",
        help="Further timeframes that --strategy reads.",
    ),
    click.option("--balance", type=float, help="Starting balance of --strategy, USD.  [default: 10000]"),
    click.option("--cost-pct", type=float, help="Cost of a side of --strategy, percent.  [default: 0.15]"),
    click.option("--market", type=click.Choice(["spot", "futures"]), help="Market of --strategy.  [default: spot]"),
)


def strategy_options() -> Callable[[F], F]:
    """`--strategy` and what goes with it."""

    def add(command: F) -> F:
        for option in reversed(_OPTIONS):
            command = option(command)
        return command

    return add


def strategy_run(
    strategy: str | None, timeframe: str | None, data_timeframes: tuple[str, ...], balance: float | None,
    cost_pct: float | None, market: str | None,
) -> StrategyRun | None:  # fmt: skip
    """Return what the options say, None where there is no --strategy.

    Raises:
        UsageError: a value is out of range, or an option was given that goes with --strategy only.
    """
    if strategy is None:
        given = {"--timeframe": timeframe, "--data-timeframe": data_timeframes, "--balance": balance,
                 "--cost-pct": cost_pct, "--market": market}  # fmt: skip
        for option, value in given.items():
            if value not in (None, ()):
                raise UsageError(f"{option} goes with --strategy; a variant's is in its overlay (see --set)")
        return None
    for name in (timeframe or "15m", *data_timeframes):
        if name not in TIMEFRAME_MINUTES:
            raise UsageError(f"unknown timeframe '{name}'; known: {', '.join(TIMEFRAME_MINUTES)}")
    amount, cost = 10_000.0 if balance is None else balance, 0.15 if cost_pct is None else cost_pct
    if not 0 < amount < float("inf"):
        raise UsageError(f"--balance must be more than 0 USD, was {amount:g}")
    if not 0 <= cost < 100:
        raise UsageError(f"--cost-pct must be percent from 0 to under 100, was {cost:g}")
    return StrategyRun(strategy, timeframe or "15m", amount, cost / 100, market or "spot", data_timeframes)
