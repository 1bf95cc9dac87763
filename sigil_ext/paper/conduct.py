"""How a paper session behaves, and what a new one starts from. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a new session starts from; a recorded one keeps its own."""

    symbols: Sequence[str]
    start_ms: int
    warmup: Mapping[str, NDArray[np.float64]]
    trades_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a session behaves.

    `patient`: a lost database stops time until it is back (recordings); otherwise exits are tracked meanwhile (live).
    `alerts`: write to the outbox. `durable`: wait for the disk at each commit. `group`: minutes that may share a
    transaction, of a recording that does not wait for anything; 1: each has its own.
    """

    feed: str = "replay"
    patient: bool = True
    alerts: bool = False
    durable: bool = False
    group: int = 1
