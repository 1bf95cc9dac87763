"""Paper: a variant on recorded candles as if they came in now. Start at `replay`."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from sigil_ext.bridge.candle_files import CandleSet, load_candles
from sigil_ext.db.journal import Journal
from sigil_ext.errors import CandleError, UsageError
from sigil_ext.paper.session import Row, SessionReport, run_session
from sigil_ext.rules.indicators import WINDOW
from sigil_ext.services.database import open_store
from sigil_ext.settings.overlays import Variant

MINUTE_MS = 60_000


def replay(
    variant: Variant,
    folder: Path,
    *,
    start_ms: int | None = None,
    finish_ms: int | None = None,
    restart: bool = False,
    until_end: bool = True,
    progress: Callable[[float], None] = lambda share: None,
) -> SessionReport:
    """Run `variant` on paper over the candles of `folder`, continuing a session that was broken off.

    SIGTERM finishes the minute and stops. This process becomes Jesse's: it leaves the project folder.
    """
    if variant.research_only:
        raise UsageError(f"variant '{variant.name}' is for research only; backtest it instead")
    longest = max(variant.settings.signal_minutes, variant.settings.atr_minutes)
    before = None if start_ms is None else start_ms - (longest * WINDOW + 2 * 1440) * MINUTE_MS
    candles = load_candles(folder, None, before, finish_ms)
    first = min(c.start_ms for c in candles.values())
    last = max(c.finish_ms for c in candles.values())
    step = longest * MINUTE_MS
    begin = max(start_ms or 0, -(-first // step) * step)
    if begin >= last:
        raise CandleError(f"{folder} holds no candles after the start")
    store = open_store(variant.name)
    if restart and (session := Journal(store.database).running()):
        if store.open_positions():
            raise UsageError(f"variant '{variant.name}' holds open positions; finish that session before a new one")
        Journal(store.database).end(session)
    warmup = {s: c.candles[c.candles[:, 0] < begin] for s, c in candles.items()}
    stopping: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="sigil-paper-") as elsewhere:
        os.chdir(elsewhere)  # Jesse opens a database of its own when it is imported inside a project
        try:
            return run_session(
                variant,
                store,
                lambda after: _minutes(candles, begin, after),
                sorted(candles),
                begin,
                warmup,
                stop=lambda: bool(stopping),
                until_end=until_end,
                progress=lambda open_ms: progress((open_ms - begin) / max(1, last - begin)),
            )
        finally:
            os.chdir(here)
            signal.signal(signal.SIGTERM, previous)


def _minutes(candles: Mapping[str, CandleSet], begin: int, after: int | None) -> Iterator[tuple[int, dict[str, Row]]]:
    """Yield every minute from `begin` on, later than `after`, in which some symbol had a candle."""
    symbols = sorted(candles)
    rows = [candles[s].candles for s in symbols]
    times = np.concatenate([r[:, 0] for r in rows])
    owner = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    index = np.concatenate([np.arange(len(r)) for r in rows])
    order = np.argsort(times, kind="stable")
    floor = begin if after is None else after + MINUTE_MS
    minute: dict[str, Row] = {}
    current = -1
    for i in order[np.searchsorted(times[order], floor) :]:
        at = int(times[i])
        if at != current:
            if minute:
                yield current, minute
            minute, current = {}, at
        minute[symbols[owner[i]]] = rows[owner[i]][index[i]]
    if minute:
        yield current, minute
