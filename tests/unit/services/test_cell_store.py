"""Kept cells: the same trades come back, other settings, candles or periods find nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sigil_ext.errors import SigilError
from sigil_ext.research.kernel.trades import TRADE, CellTrades
from sigil_ext.services.cell_store import CellStore, settings_hash
from sigil_ext.services.market import Market
from sigil_ext.settings.overlays import load_variant
from sigil_ext.settings.project import Project

BASELINE = load_variant("baseline")


def market(first_close: float = 1.0, finish_ms: int = 600_000) -> Market:
    rows = np.ones((10, 6))
    rows[:, 0] = np.arange(10) * 60_000
    rows[0, 2] = first_close
    return Market({"TST-USDT": rows}, 0, finish_ms, {"TST-USDT": 1})


def cell(count: int = 3) -> CellTrades:
    random = np.random.default_rng(1)
    trades = np.frombuffer(random.bytes(TRADE.itemsize * count), TRADE).copy()
    trades["atr_at_entry"] = np.nan
    trades["cap_bound"] = trades["cash_bound"] = True
    return CellTrades(trades, 1012.5, {"cooldown": 4})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, tmp_path / "storage")


@pytest.mark.parametrize("count", [0, 1, 200])
def test_what_is_kept_comes_back_to_the_last_bit(project: Project, count: int) -> None:
    with CellStore(project, "jesse", market()) as store:
        store.put(BASELINE, market(), cell(count))
    with CellStore(project, "jesse", market()) as store:
        found = store.get(BASELINE, market())
    assert found is not None
    assert found.trades.tobytes() == cell(count).trades.tobytes()
    assert (found.final_equity, found.signals_refused) == (1012.5, {"cooldown": 4})


def test_other_settings_candles_periods_and_engines_find_nothing(project: Project) -> None:
    with CellStore(project, "jesse", market()) as store:
        store.put(BASELINE, market(), cell())
        assert store.get(load_variant("baseline", ["trail.multiplier=2"]), market()) is None
        assert store.get(BASELINE, market(finish_ms=300_000)) is None
    for engine, other in (("jesse", market(first_close=1.1)), ("kernel", market())):
        with CellStore(project, engine, other) as store:
            assert store.get(BASELINE, other) is None


def test_what_proves_wrong_takes_everything_with_it_that_its_code_made(project: Project) -> None:
    other = market(first_close=1.1)
    for engine, place in (("kernel", market()), ("kernel", other), ("jesse", market())):
        with CellStore(project, engine, place) as store:
            store.put(BASELINE, place, cell())
            store.put(BASELINE, market(finish_ms=300_000), cell())
    with CellStore(project, "kernel", market()) as store:
        store.disown()
        assert store.get(BASELINE, market()) is None
        assert store.get(BASELINE, market(finish_ms=300_000)) is None
    with CellStore(project, "kernel", other) as store:
        assert store.get(BASELINE, other) is None
    with CellStore(project, "jesse", market()) as store:
        assert store.get(BASELINE, market()) is not None


def test_settings_decide_and_not_the_name() -> None:
    renamed = load_variant("moderate", ["hard_stop.multiplier=2.5", "entry.volume_factor=1.5"])
    same = load_variant("moderate", ["entry.volume_factor=1.5", "hard_stop.multiplier=2.5"])
    assert settings_hash(renamed) == settings_hash(same)
    assert settings_hash(renamed) != settings_hash(load_variant("moderate"))


def test_a_broken_file_is_named_with_the_way_out(project: Project) -> None:
    with CellStore(project, "jesse", market()) as store:
        store.put(BASELINE, market(), cell())
    store.path.write_bytes(b"this is no database" * 100)
    with (
        pytest.raises(SigilError, match=r"jesse-.*\.sqlite cannot be used .*; remove the file"),
        CellStore(project, "jesse", market()) as store,
    ):
        store.get(BASELINE, market())
