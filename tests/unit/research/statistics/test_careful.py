"""The intervals that are printed: how often they are wrong on few days, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from sigil_ext.research.statistics import (
    Estimate,
    assess_grid,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_sharpe,
    bootstrap_win_rate,
    careful_mean,
    careful_ratio,
    careful_sharpe,
    careful_total,
    careful_win_rate,
    day_spread,
    proportion,
)

SERIES = 120
OF = [careful_mean, careful_total, careful_sharpe]


def quiet_days(days: int, seed: int) -> NDArray[np.float64]:
    """Days whose true mean is 0: heavy tails, one in five without a trade."""
    rng = np.random.default_rng(seed)
    return rng.standard_t(4, days) * (rng.random(days) > 0.2)


def share_wrong(of: Callable[..., Estimate], days: int) -> float:
    """How often the interval leaves out the 0 that is true."""
    found = [of(quiet_days(days, seed), seed=1, reps=300) for seed in range(SERIES)]
    return sum(f.low > 0 or f.high < 0 for f in found) / SERIES


@pytest.mark.parametrize(
    ("careful", "bootstrap"), [(careful_mean, bootstrap_mean), (careful_sharpe, bootstrap_sharpe)], ids=["mean", "sharpe"]
)  # fmt: skip
def test_over_ten_days_it_is_wrong_as_seldom_as_it_says_where_the_bootstrap_alone_is_wrong_often(
    careful: Callable[..., Estimate], bootstrap: Callable[..., Estimate]
) -> None:
    assert share_wrong(careful, 10) <= 0.05
    assert share_wrong(bootstrap, 10) >= 0.1


def test_what_a_grid_says_of_its_best_cell_is_as_careful() -> None:
    cells = np.column_stack([quiet_days(10, 1), quiet_days(10, 2)])
    found = assess_grid(cells, 1, seed=4, reps=20)
    assert found.mean == careful_mean(cells[:, 1], seed=4)
    assert found.total == careful_total(cells[:, 1], seed=4)
    assert found.sharpe == careful_sharpe(cells[:, 1], seed=4)


@pytest.mark.parametrize("of", OF)
@pytest.mark.parametrize("days", [10, 90])
def test_it_reaches_at_least_as_far_as_either_of_the_two(of: Callable[..., Estimate], days: int) -> None:
    daily = quiet_days(days, 5) + 0.4
    found = of(daily, seed=3)
    scale = {careful_mean: 1.0, careful_total: days, careful_sharpe: 1 / daily.std(ddof=1)}[of]
    low, high = scipy_stats.t.interval(0.95, days - 1, daily.mean(), daily.std(ddof=1) / days**0.5)
    assert found.low <= low * scale < found.value < high * scale <= found.high
    if of is not careful_total:
        bare = {careful_mean: bootstrap_mean, careful_sharpe: bootstrap_sharpe}[of](daily, seed=3)
        assert found.value == bare.value
        assert found.low <= bare.low < bare.high <= found.high


def test_days_that_hang_together_widen_it() -> None:
    daily = quiet_days(300, 2)
    for n in range(1, 300):
        daily[n] += 0.8 * daily[n - 1]
    apart = np.random.default_rng(1).permutation(daily)
    assert day_spread(daily).value > 1.7 * day_spread(apart).value
    assert _width(careful_mean(daily, seed=1)) > 1.7 * _width(careful_mean(apart, seed=1))
    undone = np.tile([1.0, -1.0], 20) + quiet_days(40, 1) / 10  # neighbours that undo each other do not narrow it
    assert day_spread(undone).value >= undone.std(ddof=1)


def _width(found: Estimate) -> float:
    return found.high - found.low


def test_the_total_is_the_mean_times_the_days() -> None:
    daily = quiet_days(20, 1)
    mean, total = careful_mean(daily, seed=1), careful_total(daily, seed=1)
    assert total.value == daily.sum()
    assert (total.low, total.high) == pytest.approx((mean.low * 20, mean.high * 20))


def test_a_lower_confidence_is_a_narrower_interval() -> None:
    daily = quiet_days(20, 1)
    for of in OF:
        wide, narrow = of(daily, seed=1), of(daily, seed=1, confidence=0.8)
        assert wide.low < narrow.low < narrow.high < wide.high
        assert narrow.confidence == 0.8


@pytest.mark.parametrize("daily", [np.empty(0), np.ones(7), np.zeros(40)], ids=["none", "seven", "constant"])
@pytest.mark.parametrize("of", OF)
def test_where_there_is_no_interval_the_reason_is_said(of: Callable[..., Estimate], daily: NDArray[np.float64]) -> None:
    found = of(daily, seed=1)
    assert np.isnan([found.low, found.high]).all()
    assert found.reason


def test_a_win_rate_reaches_as_far_by_trade_as_by_day() -> None:
    trades = np.full(40, 5.0)
    whole_days = np.where(np.random.default_rng(8).random(40) < 0.5, 5.0, 0.0)
    found = careful_win_rate(whole_days, trades, seed=1)
    by_day, by_trade = bootstrap_win_rate(whole_days, trades, seed=1), proportion(int(whole_days.sum()), 200)
    assert found.value == by_trade.value
    assert (found.low, found.high) == (by_day.low, by_day.high)
    assert found.low < by_trade.low < by_trade.high < found.high
    few = careful_win_rate(whole_days[:4], trades[:4], seed=1)  # too few days: by trade alone
    assert (few.low, few.high) == (
        proportion(int(whole_days[:4].sum()), 20).low,
        proportion(int(whole_days[:4].sum()), 20).high,
    )
    assert careful_win_rate(np.zeros(10), np.zeros(10), seed=1).reason == "there is nothing to count"


def test_with_one_value_a_day_a_ratio_is_the_mean() -> None:
    daily = quiet_days(12, 3)
    ratio, mean = careful_ratio(daily, np.ones(12), seed=6), careful_mean(daily, seed=6)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((mean.value, mean.low, mean.high))


def test_over_ten_days_with_any_a_ratio_is_wrong_seldom_too() -> None:
    wrong, bare = 0, 0
    for seed in range(SERIES):
        counts = np.random.default_rng(seed).integers(0, 4, 12).astype(float)
        sums = np.array([day * n for day, n in zip(quiet_days(12, seed), counts, strict=True)])
        careful = careful_ratio(sums, counts, seed=1, reps=300)
        bootstrap = bootstrap_ratio(sums, counts, seed=1, reps=300)
        wrong += careful.low > 0 or careful.high < 0
        bare += bootstrap.low > 0 or bootstrap.high < 0
    assert wrong / SERIES <= 0.06
    assert bare / SERIES >= 0.1


def test_a_ratio_of_nothing_is_unknown() -> None:
    assert careful_ratio(np.zeros(30), np.zeros(30), seed=1, what="trade").reason == "no trade"
