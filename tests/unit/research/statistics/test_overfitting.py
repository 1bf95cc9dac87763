"""Probability of backtest overfitting, against a plain computation and against cases whose answer is known."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from sigil_ext.research.statistics import backtest_overfitting


def plainly(cells: np.ndarray, blocks: int) -> tuple[float, list[float]]:
    """The paper's recipe word for word: join the blocks, take the ratios, look where the winner ended up."""
    parts = np.array_split(np.arange(len(cells)), blocks)
    logits = []
    for chosen in combinations(range(blocks), blocks // 2):
        trained = cells[np.concatenate([parts[i] for i in chosen])]
        tested = cells[np.concatenate([parts[i] for i in range(blocks) if i not in chosen])]
        winner = int((trained.mean(axis=0) / trained.std(axis=0, ddof=1)).argmax())
        ratios = tested.mean(axis=0) / tested.std(axis=0, ddof=1)
        rank = sorted(ratios).index(ratios[winner]) + 1
        omega = rank / (cells.shape[1] + 1)
        logits.append(math.log(omega / (1 - omega)))
    return sum(x <= 0 for x in logits) / len(logits), logits


@pytest.mark.parametrize(("days", "n", "blocks"), [(60, 5, 6), (67, 12, 8), (100, 3, 10)])
def test_it_is_what_the_papers_recipe_gives(days, n, blocks):
    cells = np.random.default_rng(days).normal(0.05, 1, (days, n))
    expected, logits = plainly(cells, blocks)
    found = backtest_overfitting(cells, blocks=blocks)
    assert found.pbo == pytest.approx(expected)
    assert found.logits == pytest.approx(logits)
    assert (found.blocks, found.splits) == (blocks, math.comb(blocks, blocks // 2))


def test_pure_noise_is_about_one_half():
    found = [backtest_overfitting(np.random.default_rng(i).normal(0, 1, (200, 20)), blocks=8).pbo for i in range(60)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_a_cell_that_is_better_everywhere_is_not_overfitted():
    cells = np.random.default_rng(1).normal(0, 1, (200, 20))
    cells[:, 7] += 0.8
    assert backtest_overfitting(cells).pbo < 0.001


def test_a_field_in_which_each_gain_is_paid_back_is_overfitted():
    """Every cell makes the same in all: who did better in one half must do worse in the other."""
    cells = np.random.default_rng(2).normal(0, 1, (160, 10))
    cells -= cells.mean(axis=0)
    found = backtest_overfitting(cells)
    assert found.pbo > 0.9
    assert found.loss > 0.95


def test_equal_cells_share_the_middle_rank_and_prove_nothing():
    one = np.random.default_rng(3).normal(1, 1, 80)
    found = backtest_overfitting(np.column_stack([one] * 4))
    assert np.allclose(found.logits, 0)
    assert found.pbo == 1.0


def test_a_cell_that_never_traded_stands_between_gains_and_losses():
    rng = np.random.default_rng(4)
    cells = np.column_stack([np.zeros(80), rng.normal(-1, 0.5, 80), rng.normal(-1, 0.5, 80)])
    found = backtest_overfitting(cells)
    assert found.pbo == 0.0  # not trading wins on every half, and on the other one too
    assert found.loss == 0.0


def test_fewer_days_make_fewer_blocks():
    assert backtest_overfitting(np.random.default_rng(5).normal(0, 1, (13, 4))).blocks == 6
    assert backtest_overfitting(np.random.default_rng(5).normal(0, 1, (32, 4))).blocks == 16


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (np.zeros((0, 3)), "0 day"),
        (np.ones((1, 3)), "1 day"),
        (np.random.default_rng(1).normal(0, 1, (7, 3)), "7 day"),
        (np.random.default_rng(1).normal(0, 1, (40, 1)), "1 cell"),
        (np.zeros((40, 3)), "no cell has days that differ"),
    ],
)
def test_what_cannot_be_judged_has_a_reason_and_no_number(cells, reason):
    found = backtest_overfitting(cells)
    assert np.isnan(found.pbo)
    assert reason in found.reason


def test_an_odd_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="even"):
        backtest_overfitting(np.zeros((40, 3)), blocks=7)
