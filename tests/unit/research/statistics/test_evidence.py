"""The evidence for the best cell of a grid."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sigil_ext.research.statistics import assess_grid, sharpe_ratios

QUICK = {"reps": 200, "blocks": 8}


def noise(days: int = 90, n: int = 40, seed: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (days, n))


def test_the_best_of_noise_is_not_shown_to_be_better_though_its_own_interval_says_so():
    cells = noise()
    best = int(sharpe_ratios(cells).argmax())
    found = assess_grid(cells, best, seed=1)
    assert found.mean.low > 0
    assert found.deflated_sharpe.value < 0.95
    assert found.superiority.reality_check > 0.05
    assert found.overfitting.pbo > 0.2


def test_a_cell_with_a_true_edge_passes():
    cells = noise()
    cells[:, 3] += 0.7
    found = assess_grid(cells, 3, seed=1)
    assert found.deflated_sharpe.value > 0.95
    assert found.superiority.spa < 0.01
    assert found.overfitting.pbo < 0.01
    assert found.mean.low > 0


def test_cells_tried_before_count():
    cells = noise(seed=12)
    cells[:, 3] += 0.4
    alone, after = assess_grid(cells, 3, seed=1), assess_grid(cells, 3, seed=1, trials=4000)
    assert (alone.cells_tried, after.cells_tried) == (40, 4000)
    assert after.deflated_sharpe.value < alone.deflated_sharpe.value
    assert after.effective_trials.value == pytest.approx(100 * alone.effective_trials.value)


def test_the_best_cell_alone_is_worth_what_it_was_worth_among_those_that_were_tried_before():
    cells = noise(days=43, n=42)
    best = int(cells.mean(axis=0).argmax())
    grid = assess_grid(cells, best, seed=1, **QUICK)
    alone = assess_grid(cells[:, [best]], 0, seed=1, earlier=np.delete(cells, best, axis=1), **QUICK)
    assert (alone.cells_tried, alone.cells_before, alone.cells_unknown) == (42, 41, 0)
    for figure in ("deflated_sharpe", "deflated_sharpe_strict", "effective_trials"):
        assert getattr(alone, figure).value == pytest.approx(getattr(grid, figure).value, rel=1e-9)
    assert alone.overfitting.pbo == pytest.approx(grid.overfitting.pbo)
    assert alone.superiority.reality_check == pytest.approx(grid.superiority.reality_check, abs=0.01)
    assert alone.superiority.spa == pytest.approx(grid.superiority.spa, abs=0.01)
    assert assess_grid(cells[:, [best]], 0, seed=1, **QUICK).deflated_sharpe.value > grid.deflated_sharpe.value + 0.1
    assert alone.sentences()[0].startswith("42 cells were tried on 43 days (1 here, 41 before), which amount to about")


def test_a_poor_cell_does_not_borrow_the_worth_of_a_better_one_tried_before():
    cells = noise(n=10)
    cells[:, 3] += 0.7
    poor = assess_grid(cells[:, [5]], 0, seed=1, earlier=np.delete(cells, 5, axis=1), **QUICK)
    assert assess_grid(cells, 3, seed=1, **QUICK).superiority.reality_check < 0.05
    assert poor.superiority.reality_check > 0.2
    assert poor.superiority.spa > 0.2


def test_tries_whose_days_are_not_known_deflate_also_a_single_cell_and_the_figures_say_who_does_not_know_them():
    cells = noise(days=43, n=42)
    cells[:, 3] += 0.4
    grid = assess_grid(cells, 3, seed=1, **QUICK)
    alone = assess_grid(cells[:, [3]], 0, seed=1, trials=42, **QUICK)
    assert alone.deflated_sharpe.value <= grid.deflated_sharpe.value
    assert alone.deflated_sharpe_strict.value <= grid.deflated_sharpe_strict.value
    assert alone.cells_unknown == 41
    assert "PBO, reality check and SPA do not know them" in alone.sentences()[0]


def test_a_single_cell_is_one_cell():
    assert assess_grid(noise(n=1), 0, seed=1, **QUICK).sentences()[0] == "1 cell was tried on 90 days."


def test_cells_with_one_outcome_are_one_try():
    cells = noise(n=10)
    doubled = np.hstack([cells[:, :4], cells, cells[:, 2:3]])
    once, often = assess_grid(cells, 3, seed=1, **QUICK).document(), assess_grid(doubled, 7, seed=1, **QUICK).document()
    assert (often["cells_tried"], often["cells_repeated"]) == (15, 5)
    assert "5 had the same P&L as another one on every day and count once" in often["sentences"][0]
    for figure in ("effective_trials", "deflated_sharpe", "deflated_sharpe_strict", "overfitting", "superiority"):
        assert often[figure] == once[figure]


def test_alike_cells_are_deflated_less_than_strictly_counted():
    cells = noise(n=30) * 0.3 + np.random.default_rng(1).normal(0.2, 1, (90, 1))
    found = assess_grid(cells, 0, seed=1)
    assert 1 < found.effective_trials.value < 8
    assert found.deflated_sharpe_strict.value < found.deflated_sharpe.value


def test_the_document_is_json_and_says_everything_in_sentences():
    document = json.loads(json.dumps(assess_grid(noise(), 0, seed=1, reps=100).document(), allow_nan=False))
    assert len(document["sentences"]) == 5
    assert document["sentences"][0].startswith("40 cells were tried on 90 days, which amount to about")
    assert all("nan" not in sentence for sentence in document["sentences"])


@pytest.mark.parametrize("cells", [np.zeros((60, 3)), np.ones((1, 3)), np.ones((60, 1)), np.zeros((0, 2))])
def test_what_cannot_be_known_is_said_and_is_null(cells):
    found = assess_grid(cells, 0, seed=1)
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["deflated_sharpe"]["value"] is None
    assert document["overfitting"]["pbo"] is None
    assert document["superiority"]["spa"] is None
    assert document["mean_daily_usd"]["low"] is None
    assert all("nan" not in sentence for sentence in document["sentences"])


def test_the_same_seed_gives_the_same_document():
    cells = noise()
    assert assess_grid(cells, 2, seed=9).document() == assess_grid(cells, 2, seed=9).document()


def test_a_column_or_a_count_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="column of 40"):
        assess_grid(noise(), 40, seed=1)
    with pytest.raises(ValueError, match="at least the 40"):
        assess_grid(noise(), 0, seed=1, trials=3)
