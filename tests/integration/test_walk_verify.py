"""What a walk-forward checks against Jesse: the runs that make its curve, not only those that were chosen among."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sigil_ext.research.kernel.trades import CellTrades
from sigil_ext.services.cell_store import CellStore
from sigil_ext.services.grid_cells import Workshop
from sigil_ext.services.grid_engines import Hands, Talk, run_jesse
from sigil_ext.services.grid_verify import KernelDiffers
from sigil_ext.services.market import Market, folder_source, read_market
from sigil_ext.services.walk_verify import Ran, verify_walk
from sigil_ext.settings.overlays import Variant, load_variant
from sigil_ext.settings.project import Project
from tests.conftest import ROOT

HOUR = 3_600_000
JUDGED = load_variant("unhinged")
TRADED = load_variant("unhinged", ["sizing.starting_balance=1234.5"])  # the account that the window before left
QUIET = Talk(lambda worth: None)


def jesses(market: Market, run: Variant) -> CellTrades:
    with closing(run_jesse(market, [run], Hands(1), QUIET)) as outcomes:
        ((_, outcome),) = outcomes
    assert isinstance(outcome, CellTrades)
    return outcome


@pytest.fixture(scope="module")
def ran() -> Ran:
    whole = read_market([JUDGED], folder_source(ROOT / "sample", ["TST-USDT"]), None, None, "Binance Spot")
    between = whole.start_ms + 36 * HOUR
    return Ran(
        whole.cut(whole.start_ms + 24 * HOUR, between, [JUDGED]), (0,),
        whole.cut(between, between + 24 * HOUR, [JUDGED]), TRADED,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, ran: Ran) -> Iterator[Workshop]:
    """The store of a kernel that is Jesse."""
    root: Path = tmp_path_factory.mktemp("walk")
    with CellStore(Project(root, root / "storage"), "kernel", ran.training) as store:
        store.put(JUDGED, ran.training, jesses(ran.training, JUDGED))
        store.put(TRADED, ran.trading, jesses(ran.trading, TRADED))
        yield Workshop("kernel", Hands(1), store)


def test_what_was_traded_is_checked_beside_what_was_judged(shop: Workshop, ran: Ran) -> None:
    found = verify_walk(shop, {0: JUDGED}, [ran], 2, QUIET)
    assert (found["cells"], found["traded"], found["judged"]) == (2, 1, 1)
    kept = [shop.store.get(JUDGED, ran.training), shop.store.get(TRADED, ran.trading)]
    assert found["trades"] == sum(len(cell.trades) for cell in kept if cell is not None) > 0


def test_a_traded_run_that_is_not_jesses_refuses_the_walk(shop: Workshop, ran: Ran) -> None:
    right = shop.store.get(TRADED, ran.trading)
    assert right is not None
    shop.store.put(TRADED, ran.trading, CellTrades(right.trades, right.final_equity + 0.01, right.signals_refused))
    with pytest.raises(KernelDiffers, match="final equity"):
        verify_walk(shop, {0: JUDGED}, [ran], 2, QUIET)
