"""The check of a walk-forward against Jesse: runs that make its curve, and cells that they were chosen among.

Start at `verify_walk`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigil_ext.services.grid_cells import Workshop
from sigil_ext.services.grid_engines import Talk
from sigil_ext.services.grid_verify import verify
from sigil_ext.services.market import Market
from sigil_ext.settings.overlays import Variant


@dataclass(frozen=True, slots=True)
class Ran:
    """What was run for a window: the cells `judged` on `training`, and the one `traded` on `trading` with the account so far.

    `traded` is None where nothing was.
    """

    training: Market
    judged: tuple[int, ...]
    trading: Market
    traded: Variant | None


def verify_walk(
    shop: Workshop, runs: Mapping[int, Variant], ran: Sequence[Ran], count: int, talk: Talk
) -> dict[str, Any]:
    """Run `count` of what made a walk through Jesse and compare: half of it, or one more, traded; the rest judged.

    What was traded makes the curve, so it is drawn first; the cells judged are those of one window, drawn as well.

    Raises:
        KernelDiffers: something differs; what the store kept is dropped. SigilError: Jesse could not run a cell.
    """
    seed = random.SystemRandom().getrandbits(32)
    drawn = random.Random(seed)
    window = drawn.choice(ran)
    traded = [r for r in ran if r.traded is not None]
    outside = drawn.sample(traded, min(len(traded), count - count // 2))
    found = [
        verify(r.trading, {0: r.traded}, 1, shop.store, shop.hands, seed, talk) for r in outside if r.traded is not None
    ]
    judged = {index: runs[index] for index in window.judged}
    if count > len(outside):
        found.append(verify(window.training, judged, count - len(outside), shop.store, shop.hands, seed, talk))
    cells, trades = (sum(part[key] for part in found) for key in ("cells", "trades"))
    return {"cells": cells, "traded": len(outside), "judged": cells - len(outside), "trades": trades, "seed": seed}
