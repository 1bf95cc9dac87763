"""Sharpe ratios against the values that the papers print."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sigil_ext.research.statistics import (
    annualised,
    deflated_sharpe,
    effective_trials,
    expected_maximum_sharpe,
    probabilistic_sharpe,
    sharpe_ratio,
    sharpe_ratios,
)

YEAR = 250  # of the example in the paper on the deflated ratio: 2.5 a year from 1,250 daily returns, variance of trials 1/2


def test_the_expected_maximum_is_that_of_the_papers_example():
    assert expected_maximum_sharpe(100, 0.5 / YEAR) == pytest.approx(0.1132, abs=5e-5)


def test_the_deflated_ratio_is_that_of_the_papers_example():
    luck = expected_maximum_sharpe(100, 0.5 / YEAR)
    found = probabilistic_sharpe(2.5 / math.sqrt(YEAR), luck, 1250, -3, 10)
    assert found.value == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(("trials", "skewness", "kurtosis"), [(46, -3, 10), (88, 0, 3)])
def test_with_fewer_trials_or_with_normal_returns_the_papers_example_passes(trials, skewness, kurtosis):
    luck = expected_maximum_sharpe(trials, 0.5 / YEAR)
    found = probabilistic_sharpe(2.5 / math.sqrt(YEAR), luck, 1250, skewness, kurtosis)
    assert found.value == pytest.approx(0.9505, abs=1e-4)


@pytest.mark.parametrize(("skewness", "kurtosis", "published"), [(0, 3, 0.982), (-2.448, 10.164, 0.913)])
def test_the_probabilistic_ratio_is_that_of_the_hedge_fund_in_the_paper_of_2012(skewness, kurtosis, published):
    assert probabilistic_sharpe(0.458, 0.0, 24, skewness, kurtosis).value == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_the_expected_maximum_is_what_drawn_maxima_average_to(trials):
    drawn = np.random.default_rng(1).normal(0, 0.1, (4000, trials)).max(axis=1)
    assert expected_maximum_sharpe(trials, 0.01) == pytest.approx(drawn.mean(), rel=0.03)


def test_one_trial_has_no_luck_to_deduct():
    assert expected_maximum_sharpe(1, 0.01) == 0.0
    daily = np.random.default_rng(3).normal(0.1, 1, 500)
    moments = (daily - daily.mean()) / daily.std()
    alone = probabilistic_sharpe(
        sharpe_ratio(daily).value, 0.0, 500, float((moments**3).mean()), float((moments**4).mean())
    )
    assert deflated_sharpe(daily, trials=1, variance=0.0).value == pytest.approx(alone.value)


def test_the_deflated_ratio_falls_with_every_further_trial():
    daily = np.random.default_rng(3).normal(0.15, 1, 500)
    found = [deflated_sharpe(daily, trials=n, variance=0.002).value for n in (1, 5, 50, 5000)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4


def test_under_no_skill_the_deflated_ratio_of_the_best_rarely_passes():
    rng = np.random.default_rng(4)
    passed = 0
    for _ in range(100):
        cells = rng.normal(0, 1, (250, 40))
        ratios = sharpe_ratios(cells)
        best = int(ratios.argmax())
        passed += deflated_sharpe(cells[:, best], trials=40, variance=float(ratios.var(ddof=1))).value > 0.95
    assert passed <= 8  # against about 87 of 100 for the plain ratio of the best


def test_equal_cells_are_one_trial_and_unrelated_ones_are_many():
    rng = np.random.default_rng(5)
    one = rng.normal(0, 1, 300)
    assert effective_trials(np.column_stack([one] * 20)).value == pytest.approx(1.0)
    assert effective_trials(rng.normal(0, 1, (3000, 20))).value == pytest.approx(20, abs=0.4)


def test_effective_trials_follow_the_mean_correlation():
    rng = np.random.default_rng(6)
    cells = rng.normal(0, 1, (200, 12)) + rng.normal(0, 1.5, (200, 1))
    correlation = np.corrcoef(cells.T)
    rho = correlation[~np.eye(12, dtype=bool)].mean()
    assert effective_trials(cells).value == pytest.approx(rho + (1 - rho) * 12)


def test_columns_have_the_ratio_of_the_series():
    cells = np.random.default_rng(7).normal(0, 1, (50, 3))
    cells[:, 1] = 2.0
    found = sharpe_ratios(cells)
    assert found[0] == pytest.approx(sharpe_ratio(cells[:, 0]).value)
    assert np.isnan(found[1])


def test_a_year_has_365_days():
    assert annualised(0.1) == pytest.approx(0.1 * math.sqrt(365))


@pytest.mark.parametrize("daily", [np.empty(0), np.ones(1), np.zeros(30), np.full(30, 0.1)])
def test_without_spread_there_is_a_reason_and_no_ratio(daily):
    for found in (sharpe_ratio(daily), deflated_sharpe(daily, trials=5, variance=0.1)):
        assert np.isnan(found.value)
        assert found.reason


def test_a_few_days_are_not_judged():
    found = deflated_sharpe(np.array([1.0, 2.0, 1.5]), trials=5, variance=0.1)
    assert np.isnan(found.value)
    assert found.reason == "3 days are too few to judge; it needs 8"


def test_cells_without_spread_are_no_trials():
    assert np.isnan(effective_trials(np.zeros((30, 4))).value)
    one = np.column_stack([np.zeros(30), np.random.default_rng(1).normal(0, 1, 30)])
    assert effective_trials(one).value == 1.0
