"""Walk-forward: which windows there are, what is chosen, that nothing looks ahead, and how sure the result is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sigil_ext.errors import UsageError
from sigil_ext.research.grid.axes import parse_axes
from sigil_ext.research.grid.cells import cross
from sigil_ext.research.grid.walk import SEED, Walked, WalkFacts, Window, build_walk, choose, windows_of
from sigil_ext.research.statistics import careful_mean, careful_sharpe, careful_total, careful_win_rate
from sigil_ext.settings.overlays import load_variant
from tests.unit.research.grid.conftest import DAYS, START, made

DAY = 86_400_000


def days(*windows: tuple[float, float, float]) -> list[tuple[int, int, int]]:
    return [(int(a * DAY), int(b * DAY), int(c * DAY)) for a, b, c in windows]


def spans(found: list) -> list[tuple[int, int, int]]:
    return [(w.train_ms, w.trade_ms, w.finish_ms) for w in found]


def test_windows_roll_by_the_time_traded_and_the_last_one_may_be_short() -> None:
    assert spans(windows_of((0, 30 * DAY), 14 * DAY, 7 * DAY, anchored=False)) == days(
        (0, 14, 21), (7, 21, 28), (14, 28, 30)
    )


def test_anchored_windows_are_judged_from_the_start_on() -> None:
    assert spans(windows_of((0, 30 * DAY), 14 * DAY, 7 * DAY, anchored=True)) == days(
        (0, 14, 21), (0, 21, 28), (0, 28, 30)
    )


def test_what_is_traded_covers_the_time_after_the_first_window_once_and_is_never_judged_before() -> None:
    found = windows_of((0, 100 * DAY), 10 * DAY, 3 * DAY, anchored=False)
    for before, after in pairwise(found):
        assert before.finish_ms == after.trade_ms
    assert (found[0].trade_ms, found[-1].finish_ms) == (10 * DAY, 100 * DAY)
    assert all(w.train_ms < w.trade_ms < w.finish_ms for w in found)


def test_a_period_too_short_to_trade_is_refused() -> None:
    with pytest.raises(UsageError, match=r"candles cover 6.0 days, --train takes 14.0 days; take a shorter --train"):
        windows_of((0, 6 * DAY), 14 * DAY, 7 * DAY, anchored=False)


def figures(pnl: float, trades: int = 5) -> dict[str, float]:
    return {"trades": trades, "net_pnl_usd": pnl}


def test_the_best_cell_is_chosen_the_first_of_equal_ones() -> None:
    assert choose({0: figures(1.0), 1: figures(3.0), 2: figures(3.0)}, "net_pnl", 1, stand_aside=False) == 1


def test_cells_with_too_few_trades_are_not_chosen() -> None:
    assert choose({0: figures(9.0, trades=4), 1: figures(1.0)}, "net_pnl", 5, stand_aside=False) == 1
    assert choose({0: figures(9.0, trades=4)}, "net_pnl", 5, stand_aside=False) is None


def test_after_a_lost_window_one_may_stand_aside() -> None:
    lost = {0: figures(-1.0), 1: figures(-3.0)}
    assert choose(lost, "net_pnl", 1, stand_aside=False) == 0
    assert choose(lost, "net_pnl", 1, stand_aside=True) is None


def test_how_sure_the_curve_out_of_sample_is_is_said_with_the_careful_intervals() -> None:
    daily = np.random.default_rng(3).normal(0.3, 1.0, DAYS)
    trades = made(daily.tolist()).trades
    variants, axes = (load_variant("baseline"),), parse_axes(["hard_stop.multiplier=1.5,2"])
    facts = WalkFacts(
        variants,
        axes,
        "jesse",
        ("TST-USDT",),
        "sample",
        "Binance Spot",
        "net_pnl",
        1,
        "2d",
        "20d",
        False,
        False,
        1000.0,
        None,
    )
    window = Window(START - 2 * DAY, START, START + DAYS * DAY)
    document = build_walk(facts, cross(variants, axes), [Walked(window, None, None, trades, {"baseline": trades}, 2)])
    assert document["out"]["statistics"] == {
        "total_usd": careful_total(daily, seed=SEED).document(),
        "mean_daily_usd": careful_mean(daily, seed=SEED).document(),
        "sharpe_daily": careful_sharpe(daily, seed=SEED).document(),
        "win_rate": careful_win_rate(daily > 0, np.ones(DAYS), seed=SEED).document(),
    }
    assert (document["start"], document["traded_from"], document["finish"]) == (
        "2025-06-14T00:00:00Z", "2025-06-16T00:00:00Z", "2025-07-06T00:00:00Z",
    )  # fmt: skip
    assert document["out"]["days"][:2] == ["2025-06-16", "2025-06-17"]
