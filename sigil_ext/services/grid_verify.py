"""The check that the compiled engine's trades are Jesse's: cells drawn at random are run by both. Start at `verify`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np

from sigil_ext.errors import SigilError
from sigil_ext.instants import clock
from sigil_ext.research.grid.cells import ORIGIN
from sigil_ext.research.kernel.trades import EXIT_REASONS, TRADE, CellTrades
from sigil_ext.services.cell_store import CellStore
from sigil_ext.services.grid_engines import Hands, Talk, run_jesse
from sigil_ext.services.market import Market
from sigil_ext.settings.overlays import Variant, flatten


class KernelDiffers(SigilError):
    """The compiled engine and Jesse do not agree on a cell."""


def verify(
    market: Market,
    runs: Mapping[int, Variant],
    count: int,
    store: CellStore,
    hands: Hands,
    seed: int,
    talk: Talk,
) -> dict[str, Any]:
    """Run `count` of `runs` (index -> variant), drawn by `seed`, through Jesse and compare them with what `store` keeps.

    Raises:
        KernelDiffers: a trade, the final equity or a count of refused signals differs; what the kernel's code ever made
            is dropped.
        SigilError: Jesse could not run a cell.
    """
    chosen = sorted(random.Random(seed).sample(sorted(runs), min(count, len(runs))))
    firsts = [runs[index] for index in chosen]
    trades = 0
    with closing(run_jesse(market, firsts, Hands(hands.workers), talk)) as outcomes:
        for number, outcome in outcomes:
            if isinstance(outcome, SigilError):
                raise outcome
            kept = store.get(firsts[number], market)
            if kept is None:
                raise SigilError(
                    "the kept cells were dropped while this ran: another grid found that the kernel is not Jesse. Run it again"
                )
            difference = first_difference(kept, outcome, market.symbols)
            if difference is not None:
                store.disown()
                raise KernelDiffers(
                    f"the kernel is not Jesse on {_named(firsts[number])}: {difference}. The grid is not shown; run it with "
                    "--engine jesse, and report this"
                )
            trades += len(kept.trades)
    return {"cells": len(chosen), "indices": chosen, "trades": trades, "seed": seed}


def first_difference(kernel: CellTrades, jesse: CellTrades, symbols: list[str]) -> str | None:
    """Return where the two part first, None where they are equal to the last float (NaN equals NaN)."""
    for number, (ours, theirs) in enumerate(zip(kernel.trades, jesse.trades, strict=False), start=1):
        for name in TRADE.names or ():
            a, b = ours[name], theirs[name]
            if a != b and not (_is_nan(a) and _is_nan(b)):
                where = f"trade {number} ({symbols[theirs['symbol']]}, opened {clock(int(theirs['opened_at_ms']))})"
                return f"{where} has {name} {_said(name, a)}, Jesse's has {_said(name, b)}"
    if len(kernel.trades) != len(jesse.trades):
        return f"it has {len(kernel.trades)} trades, Jesse {len(jesse.trades)}"
    if kernel.final_equity != jesse.final_equity:
        return f"its final equity is {kernel.final_equity!r}, Jesse's {jesse.final_equity!r}"
    if kernel.signals_refused != jesse.signals_refused:
        return f"it refused the signals {kernel.signals_refused}, Jesse {jesse.signals_refused}"
    return None


def _is_nan(value: Any) -> bool:
    return isinstance(value, np.floating) and bool(np.isnan(value))


def _said(name: str, value: Any) -> str:
    return EXIT_REASONS[value] if name == "exit_reason" else str(value.item())


def _named(run: Variant) -> str:
    flat = flatten(run.settings)
    return " ".join([run.name, *(f"{key}={flat[key]}" for key, origin in run.origins.items() if origin == ORIGIN)])
