"""Cells run once: what is kept is taken, the rest is run by the engine and kept as it ends. Start at `run_kept`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from sigil_ext.errors import SigilError
from sigil_ext.research.kernel import CellTrades
from sigil_ext.services.cell_store import CellStore, settings_hash
from sigil_ext.services.grid_engines import ENGINES, Hands, Talk
from sigil_ext.services.market import Market
from sigil_ext.settings.overlays import Variant

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workshop:
    """Who runs cells and where they are kept. `fresh` runs also those that are."""

    engine: str
    hands: Hands
    store: CellStore
    fresh: bool = False


def run_kept(
    shop: Workshop, market: Market, runs: Mapping[int, Variant], reduce: Callable[[CellTrades, Variant], T], talk: Talk
) -> tuple[dict[int, T], dict[int, str]]:
    """Return what `reduce` makes of each cell that ran, now or before, and the sentences of those that failed, by index.

    Cells of the same settings are run once. What is done is kept at once, so that a later call goes on from there.
    `talk.part` is told cells' worth of work, cells of equal settings and kept ones at once.
    """
    by_settings: dict[str, list[int]] = {}
    for index, run in runs.items():
        by_settings.setdefault(settings_hash(run), []).append(index)
    reduced: dict[int, T] = {}
    failed: dict[int, str] = {}
    waiting: list[list[int]] = []
    for indices in by_settings.values():
        run = runs[indices[0]]
        kept = None if shop.fresh else shop.store.get(run, market)
        if kept is None:
            waiting.append(indices)
        else:
            reduced |= dict.fromkeys(indices, reduce(kept, run))
    if reduced:
        talk.say(f"{len(reduced):,d} of {len(runs):,d} cells are kept from before (--fresh runs them again)")
    talk.part(len(runs) - len(waiting))
    if not waiting:
        return reduced, failed
    firsts = [runs[indices[0]] for indices in waiting]
    with closing(ENGINES[shop.engine](market, firsts, shop.hands, talk)) as outcomes:
        for number, outcome in outcomes:
            if isinstance(outcome, SigilError):
                failed |= dict.fromkeys(waiting[number], str(outcome))
                continue
            shop.store.put(firsts[number], market, outcome)
            reduced |= dict.fromkeys(waiting[number], reduce(outcome, firsts[number]))
    return reduced, failed
