"""Runs that several acceptance tests look at: made once a test session, by the real simulator, in its own processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sigil_ext.bridge.candle_files import CandleSet, load_candles
from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult, StrategyRun
from sigil_ext.bridge.worker import run_all
from sigil_ext.settings.overlays import Variant, load_variant
from sigil_ext.settings.project import find_project

VARIANTS = ("baseline", "moderate", "aggressive", "unhinged", "legacy")


@dataclass(frozen=True)
class Laboratory:
    """Runs variants on candle arrays as a backtest does, several at once."""

    folder: Path
    candles: Mapping[str, np.ndarray]
    start_ms: int
    finish_ms: int

    def request(
        self,
        what: Variant | StrategyRun,
        symbols: Sequence[str] | None = None,
        changed: Mapping[str, np.ndarray] | None = None,
        start_ms: int | None = None,
        finish_ms: int | None = None,
    ) -> SimulationRequest:
        paths = {s: self.folder / f"{s}.npy" for s in symbols or self.candles}
        for symbol, rows in (changed or {}).items():
            paths[symbol] = self.folder / f"{symbol}-{abs(hash(rows.tobytes()))}.npy"
            np.save(paths[symbol], rows)
        return SimulationRequest(what, paths, start_ms or self.start_ms, finish_ms or self.finish_ms)

    def run(self, requests: Sequence[SimulationRequest]) -> list[SimulationResult]:
        return run_all(requests, workers=2)


def laboratory(folder: Path, loaded: Mapping[str, CandleSet]) -> Laboratory:
    for symbol, candle_set in loaded.items():
        np.save(folder / f"{symbol}.npy", candle_set.candles)
    return Laboratory(
        folder,
        {symbol: c.candles for symbol, c in loaded.items()},
        min(c.start_ms for c in loaded.values()),
        max(c.finish_ms for c in loaded.values()),
    )


@pytest.fixture(scope="session")
def sample_lab(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """The bundled candles."""
    return laboratory(tmp_path_factory.mktemp("sample"), load_candles(find_project().sample))


@pytest.fixture(scope="session")
def sample_runs(sample_lab: Laboratory) -> dict[str, SimulationResult]:
    """The four variants and legacy on the bundled candles."""
    results = sample_lab.run([sample_lab.request(load_variant(name)) for name in VARIANTS])
    return dict(zip(VARIANTS, results, strict=True))
