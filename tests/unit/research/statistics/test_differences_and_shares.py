"""Intervals of shares and differences, and the power of a test, against published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sigil_ext.research.statistics import (
    bootstrap_mean,
    days_until_verdict,
    long_run_sd,
    mean_difference,
    minimum_detectable_effect,
    paired_difference,
    paired_difference_by_day,
    proportion,
    win_rate_needed,
)

# Student's own example (Biometrika 1908): further hours of sleep of ten patients under two drugs.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_newcombes_table(count, n, low, high):
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    found = proportion(count, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.value == count / n


def test_always_and_never_stay_within_zero_and_one():
    assert proportion(0, 5).low == 0.0
    assert proportion(5, 5).high == 1.0


def test_nothing_counted_is_no_share():
    found = proportion(0, 0)
    assert math.isnan(found.value)
    assert found.reason == "there is nothing to count"


def test_more_than_all_is_refused():
    with pytest.raises(ValueError, match="between 0 and n"):
        proportion(3, 2)


def test_the_win_rate_needed_is_that_of_the_earlier_bot():
    """Design, section 1: trails of +0.45 % against stops of -3.7 % need 89 %, trails of +0.11 % against -3.5 % need 97 %."""
    assert win_rate_needed(0.45, 3.7) == pytest.approx(0.89, abs=0.005)
    assert win_rate_needed(0.11, 3.5) == pytest.approx(0.97, abs=0.005)
    assert win_rate_needed(1.0, 1.0) == 0.5


@pytest.mark.parametrize(("win", "loss"), [(0.0, 1.0), (1.0, 0.0), (math.nan, 1.0), (-1.0, 1.0)])
def test_without_winners_or_losers_no_win_rate_is_needed_that_is_known(win, loss):
    assert math.isnan(win_rate_needed(win, loss))


def test_at_the_win_rate_needed_nothing_is_won_or_lost():
    needed = win_rate_needed(0.37, 2.9)
    assert needed * 0.37 - (1 - needed) * 2.9 == pytest.approx(0)


def test_the_paired_interval_is_that_of_students_sleep():
    found = paired_difference(SECOND, FIRST)
    assert (found.value, found.low, found.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-6)


def test_unpaired_the_interval_is_that_of_welch():
    found = mean_difference(FIRST, SECOND)
    assert (found.value, found.low, found.high) == pytest.approx((-1.58, -3.3654832, 0.2054832), abs=1e-6)


def test_by_day_it_is_the_bootstrap_of_the_gaps():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.2, 1, 60), rng.normal(0, 1, 60)
    assert paired_difference_by_day(a, b, seed=2) == bootstrap_mean(a - b, seed=2)


def test_days_that_both_share_cancel_out():
    rng = np.random.default_rng(2)
    market = rng.normal(0, 10, 80)
    a, b = market + rng.normal(0.5, 0.5, 80), market + rng.normal(0, 0.5, 80)
    assert paired_difference(a, b).low > 0
    assert mean_difference(a, b).low < 0


@pytest.mark.parametrize("of", [paired_difference, mean_difference])
def test_differences_without_spread_have_no_interval(of):
    for a in (np.empty(0), np.ones(1), np.ones(5)):
        found = of(a, np.zeros_like(a))
        assert math.isnan(found.low)
        assert found.reason


def test_pairs_of_different_length_are_refused():
    with pytest.raises(ValueError, match="pairs: 3 and 2"):
        paired_difference(np.ones(3), np.ones(2))


@pytest.mark.parametrize(("size", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_cohens_small_medium_and_large_effect_need_the_published_number_of_pairs(size, pairs):
    """Two-sided 0.05, power 0.8: the figures of G*Power's manual and of Cohen (1988)."""
    assert days_until_verdict(size, 1.0).value == pairs
    assert days_until_verdict(-size * 7, 7.0).value == pairs


def test_a_tiny_effect_needs_the_days_of_the_normal_formula():
    expected = ((1.959964 + 0.841621) / 0.01) ** 2
    assert days_until_verdict(0.01, 1.0).value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("n", [5, 34, 199, 5000])
def test_the_detectable_effect_is_the_one_that_needs_these_days(n):
    found = minimum_detectable_effect(2.0, n)
    assert days_until_verdict(found.value * 1.0001, 2.0).value == pytest.approx(n, abs=1 if n < 1000 else 3)


def test_drawn_experiments_show_the_detectable_effect_as_often_as_promised():
    effect = minimum_detectable_effect(1.0, 30).value
    drawn = np.random.default_rng(3).normal(effect, 1.0, (4000, 30))
    t = drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / math.sqrt(30))
    assert np.mean(np.abs(t) > 2.0452296) == pytest.approx(0.8, abs=0.025)


def test_what_is_not_there_needs_no_number_of_days():
    assert days_until_verdict(0.0, 1.0).reason == "no number of days shows a difference that is not there"
    assert days_until_verdict(1.0, 0.0).reason == "the effect or the spread is unknown"
    assert math.isnan(days_until_verdict(1e-9, 1.0).value)
    assert math.isnan(minimum_detectable_effect(0.0, 30).value)
    assert math.isnan(minimum_detectable_effect(1.0, 1).value)


def test_days_that_hang_together_have_a_larger_long_run_spread():
    rng = np.random.default_rng(4)
    alone = rng.normal(0, 1, 400)
    together = np.convolve(rng.normal(0, 1, 409), np.ones(10) / math.sqrt(10), "valid")
    assert long_run_sd(alone).value == pytest.approx(alone.std(ddof=1), rel=0.2)
    assert long_run_sd(together).value > 1.7 * together.std(ddof=1)
    assert "same P&L" in long_run_sd(np.zeros(40)).reason
