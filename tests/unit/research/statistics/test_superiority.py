"""Reality check and SPA against `arch`, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import SPA, RealityCheck

from sigil_ext.research.statistics import superior_to_nothing
from sigil_ext.research.statistics.superiority import long_run_variance

REPS = 400


def field(seed: int, days: int = 90, n: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    together = rng.normal(0, 1, (days, 1))
    return (rng.normal(0, 1, (days, n)) + together) * rng.uniform(0.2, 3, n) + rng.normal(0, 0.3, n)


def in_arch(test: type, cells: np.ndarray, block: float, kind: str) -> float:
    found = test(np.zeros(len(cells)), -cells, block_size=block, reps=REPS, seed=np.random.default_rng(3))
    found.compute()
    return float(found.pvalues[kind])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("block", [1.0, 4.5])
def test_both_are_those_of_arch_on_the_same_samples(seed, block):
    cells = field(seed)
    found = superior_to_nothing(cells, seed=3, reps=REPS, block_days=block)
    assert found.reality_check == pytest.approx((in_arch(RealityCheck, cells, block, "upper") * REPS + 1) / (REPS + 1))
    studentised = cells / np.sqrt(long_run_variance(cells, block))
    assert found.spa == pytest.approx((in_arch(SPA, studentised, block, "consistent") * REPS + 1) / (REPS + 1))


def test_noise_is_called_superior_about_as_often_as_the_level_says():
    found = [
        superior_to_nothing(np.random.default_rng(i).normal(0, 1, (150, 15)), seed=i, reps=200) for i in range(150)
    ]
    assert np.mean([f.reality_check <= 0.1 for f in found]) == pytest.approx(0.1, abs=0.07)
    assert np.mean([f.spa <= 0.1 for f in found]) == pytest.approx(0.1, abs=0.07)


def test_one_cell_that_earns_is_found_among_many_that_do_not():
    cells = np.random.default_rng(1).normal(0, 1, (200, 50))
    cells[:, 9] += 0.5
    found = superior_to_nothing(cells, seed=1)
    assert found.reality_check < 0.01
    assert found.spa < 0.01


def test_a_poor_cell_with_wide_swings_blinds_the_reality_check_and_not_the_spa():
    rng = np.random.default_rng(2)
    good = rng.normal(0.35, 1, (200, 1))
    poor = rng.normal(-20, 60, (200, 5))
    found = superior_to_nothing(np.hstack([good, poor]), seed=1)
    assert found.reality_check > 0.5
    assert found.spa < 0.01


def test_where_every_cell_loses_nothing_speaks_for_the_best():
    found = superior_to_nothing(np.random.default_rng(3).normal(-0.5, 1, (100, 10)), seed=1)
    assert found.spa == 1.0
    assert found.reality_check > 0.9


def test_the_long_run_variance_is_what_the_bootstrap_gives_the_mean():
    from sigil_ext.research.statistics.bootstrap import drawn_days

    daily = np.convolve(np.random.default_rng(4).normal(0, 1, 124), np.ones(5), "valid")
    means = daily[drawn_days(120, 6.0, 6000, 1)].mean(axis=1)
    assert long_run_variance(daily[:, None], 6.0)[0] == pytest.approx(means.var() * 120, rel=0.06)


def test_the_same_seed_gives_the_same_answer():
    cells = field(9)
    assert superior_to_nothing(cells, seed=5, reps=100) == superior_to_nothing(cells, seed=5, reps=100)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (np.zeros((0, 4)), "0 day"),
        (np.ones((1, 4)), "1 day"),
        (np.zeros((60, 4)), "no cell has days that differ"),
        (np.full((60, 4), 0.1), "no cell has days that differ"),
    ],
)
def test_what_cannot_be_judged_has_a_reason_and_no_number(cells, reason):
    found = superior_to_nothing(cells, seed=1)
    assert np.isnan([found.reality_check, found.spa]).all()
    assert reason in found.reason
