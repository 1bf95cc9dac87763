"""The document of a grid: which cell is best, what is said with it, and what keeps one from believing in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sigil_ext.research.grid.page import render_page, verdict

Grid = Callable[..., dict[str, Any]]
MULTIPLIERS = "hard_stop.multiplier=1,2,3"


def waves(scale: float) -> list[float]:
    """Twenty days that alternate between a win of twice and a loss of once `scale`."""
    return [2 * scale if n % 2 else -scale for n in range(20)]


def test_the_best_cell_is_best_by_the_objective(grid: Grid) -> None:
    document = grid(["baseline"], [MULTIPLIERS], lambda v, x: waves(x["hard_stop.multiplier"]))
    assert document["best"]["label"] == "baseline hard_stop.multiplier=3"
    assert document["best"]["statistics"]["cells_tried"] == 3
    assert document["cells"][2]["figures"]["net_pnl_usd"] == pytest.approx(30.0)
    by_ratio = grid(
        ["baseline"],
        [MULTIPLIERS],
        lambda v, x: [5.0] * 10 + [-x["hard_stop.multiplier"]] * 10,
        objective="profit_factor",
    )
    assert by_ratio["best"]["label"] == "baseline hard_stop.multiplier=1"
    json.dumps(document, allow_nan=False)


def test_cells_with_too_few_trades_are_never_the_best(grid: Grid) -> None:
    worth = lambda v, x: [100.0] if x["hard_stop.multiplier"] == 1 else waves(1)  # noqa: E731
    assert grid(["baseline"], [MULTIPLIERS], worth)["best"]["index"] == 0
    assert grid(["baseline"], [MULTIPLIERS], worth, least_trades=5)["best"]["index"] == 1


def test_a_peak_at_the_end_of_an_axis_is_pointed_out(grid: Grid) -> None:
    document = grid(["baseline"], [MULTIPLIERS], lambda v, x: waves(x["hard_stop.multiplier"]))
    assert document["best"]["at_the_edge"] == ["hard_stop.multiplier"]
    assert any("lies at the end of hard_stop.multiplier" in note for note in document["notes"])
    inside = grid(["baseline"], [MULTIPLIERS], lambda v, x: waves(3 - abs(x["hard_stop.multiplier"] - 2)))
    assert inside["best"]["at_the_edge"] == []


def test_a_peak_that_stands_alone_shows_in_its_neighbours(grid: Grid) -> None:
    axes = ["hard_stop.multiplier=1,2,3", "trail.multiplier=1,2,3", "guard.one_position_per_symbol=true,false"]
    worth = lambda v, x: waves(9 if x["hard_stop.multiplier"] == x["trail.multiplier"] == 2 else -1)  # noqa: E731
    near = grid(["baseline"], axes, worth)["best"]["neighbourhood"]
    assert near["cells"] == 8  # all around it; the switch has no order, so its other side is no neighbour
    assert near["median_pnl_usd"] == pytest.approx(-10.0)
    assert near["share_positive"] == 0.0


def test_durations_have_neighbours_by_length(grid: Grid) -> None:
    document = grid(
        ["baseline"], ["flat.after=1d,4h,12h"], lambda v, x: waves({"4h": 1, "12h": 2, "1d": 3}[x["flat.after"]])
    )
    assert document["best"]["label"] == "baseline flat.after=1d"
    assert document["best"]["neighbourhood"]["indices"] == [2]


def test_a_fold_shows_what_the_choice_made_on_the_others_came_to(grid: Grid) -> None:
    # The first multiplier earns in the first half only, the second in the second half only, the third a little always.
    halves = {1: [3.0] * 10 + [-3.0] * 10, 2: [-3.5] * 10 + [3.5] * 10, 3: [0.5] * 20}
    document = grid(["baseline"], [MULTIPLIERS], lambda v, x: halves[x["hard_stop.multiplier"]], folds=2)
    first, second = document["folds"]
    assert (first["chosen"], first["in"]["net_pnl_usd"], first["out"]["net_pnl_usd"]) == (1, 35.0, -35.0)
    assert (second["chosen"], second["in"]["net_pnl_usd"], second["out"]["net_pnl_usd"]) == (0, 30.0, -30.0)
    assert (first["rank_out"], first["of"], first["median_out_usd"], first["best_out_usd"]) == (3, 3, 5.0, 30.0)
    fold = document["cells"][0]["folds"][0]
    assert (fold["out"]["trades"], fold["in"]["trades"]) == (10, 10)


def test_posture_and_multiplier_share_the_spread(grid: Grid) -> None:
    posture = {"baseline": 1.0, "unhinged": -1.0}
    alone = grid(["baseline", "unhinged"], [MULTIPLIERS], lambda v, x: waves(posture[v]))["posture"]
    assert alone["shares"] == pytest.approx({"posture": 1.0, "multiplier": 0.0, "rest": 0.0})
    other = grid(["baseline", "unhinged"], [MULTIPLIERS], lambda v, x: waves(x["hard_stop.multiplier"]))["posture"]
    assert other["shares"] == pytest.approx({"posture": 0.0, "multiplier": 1.0, "rest": 0.0})
    # 1, 2, 3 for one and 3, 2, 1 for the other: neither alone, all of it together
    crossed = grid(
        ["baseline", "unhinged"], [MULTIPLIERS],
        lambda v, x: waves(x["hard_stop.multiplier"] if v == "baseline" else 4 - x["hard_stop.multiplier"]),
    )["posture"]  # fmt: skip
    assert crossed["shares"] == pytest.approx({"posture": 0.0, "multiplier": 0.0, "rest": 1.0})


def test_variants_without_the_multiplier_as_an_axis_are_called_confounded(grid: Grid) -> None:
    said = grid(["baseline", "unhinged"], ["flat.after=4h,8h"], lambda v, x: waves(1))["notes"]
    assert any("Add --axis hard_stop.multiplier" in note for note in said)
    same = grid(["baseline", "moderate"], ["flat.after=4h,8h"], lambda v, x: waves(1))["notes"]
    assert not any("Add --axis" in note for note in same)


def test_an_unchecked_kernel_says_so(grid: Grid) -> None:
    unchecked = grid(["baseline"], [MULTIPLIERS], lambda v, x: waves(1), engine="kernel")
    assert any(note.startswith("Not checked against Jesse") for note in unchecked["notes"])
    assert "not checked against Jesse" in render_page(unchecked)
    checked = grid(
        ["baseline"], [MULTIPLIERS], lambda v, x: waves(1), engine="kernel", verification={"cells": 2, "trades": 40}
    )
    assert any("2 cells drawn at random, 40 trades, every field equal" in note for note in checked["notes"])
    idle = grid(["baseline"], [], lambda v, x: [], engine="kernel", verification={"cells": 1, "trades": 0})
    assert "Checked against Jesse: 1 cell drawn at random, neither engine made a trade." in idle["notes"]


def test_the_best_cell_shown_alone_after_the_grid_is_worth_no_more_than_in_it(grid: Grid) -> None:
    random = np.random.default_rng(4)
    worlds = {x: list(random.normal(0.1, 1, 20)) for x in range(1, 13)}
    worth = lambda v, x: worlds[x["hard_stop.multiplier"]]  # noqa: E731
    whole = grid(["baseline"], ["hard_stop.multiplier=1:12:1"], worth)
    best = whole["cells"][whole["best"]["index"]]["values"]["hard_stop.multiplier"]
    others = np.column_stack([days for x, days in worlds.items() if x != best])
    alone = grid(["baseline"], [f"hard_stop.multiplier={best}"], worth, tried_before=11, earlier=others)
    for figure in ("deflated_sharpe", "deflated_sharpe_strict", "effective_trials"):
        found, among = (d["best"]["statistics"][figure]["value"] for d in (alone, whole))
        assert found == pytest.approx(among, rel=1e-9)
    assert alone["best"]["statistics"]["overfitting"]["pbo"] == pytest.approx(
        whole["best"]["statistics"]["overfitting"]["pbo"]
    )
    assert (alone["cells_tried"], alone["best"]["statistics"]["cells_tried"]) == (1, 12)
    (note,) = [n for n in alone["notes"] if n.startswith("11 other cells were run")]
    assert "do not know" not in note


def test_cells_tried_before_whose_days_are_not_known_count_and_the_note_says_what_does_not_know_them(
    grid: Grid,
) -> None:
    worth = lambda v, x: waves(x["hard_stop.multiplier"])  # noqa: E731
    document = grid(["baseline"], ["hard_stop.multiplier=3"], worth, tried_before=99)
    assert document["best"]["statistics"]["cells_tried"] == 100
    fresh = grid(["baseline"], ["hard_stop.multiplier=3"], worth)
    for figure in ("deflated_sharpe", "deflated_sharpe_strict"):
        before, now = (d["best"]["statistics"][figure]["value"] for d in (fresh, document))
        assert now < before - 0.1
    (note,) = [n for n in document["notes"] if n.startswith("99 other cells were run")]
    assert "PBO, reality check and SPA do not know them" in note


def test_cells_with_the_same_trades_are_said_to_be_the_same_and_are_one_try(grid: Grid) -> None:
    worth = lambda v, x: waves(1 if x["hard_stop.multiplier"] < 1.5 else 0.5)  # noqa: E731
    document = grid(["baseline"], ["hard_stop.multiplier=1.1,1.2,1.3,1.4,2"], worth)
    best = document["best"]
    assert (best["index"], best["same"], best["at_the_edge"]) == (0, [1, 2, 3], [])
    assert [cell["same_as"] for cell in document["cells"]] == [None, 0, 0, 0, None]
    assert best["statistics"]["sentences"][0] == (
        "3 other cells made exactly the same trades (baseline hard_stop.multiplier=1.2, baseline hard_stop.multiplier=1.3, "
        "baseline hard_stop.multiplier=1.4): which of them is called the best says nothing."
    )
    assert best["statistics"]["cells_repeated"] == 3
    assert any(note.startswith("3 of the 5 cells made exactly the trades of another one") for note in document["notes"])
    assert not any("lies at the end" in note for note in document["notes"])


def test_cells_that_did_not_trade_are_not_called_the_same(grid: Grid) -> None:
    document = grid(["baseline"], [MULTIPLIERS], lambda v, x: [])
    assert [cell["same_as"] for cell in document["cells"]] == [None] * 3


def test_axes_of_one_value_are_no_axes_and_many_axes_end(grid: Grid) -> None:
    ones = [
        "trail.multiplier=2", "trail.activation_atr=1", "flat.after=8h", "flat.max_move_pct=1", "hard_stop.cap_pct=9",
        "hard_stop.floor_pct=1", "sizing.position_pct=5", "sizing.starting_balance=1000", "guard.cooldown_hours=4",
        "guard.max_open_positions=5", "ban.after=3", "ban.base_hours=24", "ban.max_hours=96", "costs.fee_pct=0.1",
        "costs.slippage_pct=0.1", "entry.breakout_lookback=20", "entry.volume_lookback=20", "universe.size=20",
        "universe.max_zero_volume_pct=60",
    ]  # fmt: skip
    worth = lambda v, x: waves(x["hard_stop.multiplier"])  # noqa: E731
    assert grid(["baseline"], [MULTIPLIERS, *ones], worth)["best"]["neighbourhood"]["indices"] == [1]
    many = ["hard_stop.multiplier=1,2", "trail.multiplier=2,3", "trail.activation_atr=1,2", "flat.after=8h,9h",
            "guard.cooldown_hours=4,5", "guard.max_open_positions=5,6"]  # fmt: skip
    found = grid(["baseline"], many, worth)["best"]
    assert found["neighbourhood"]["indices"] == [0, 48, 40, 36, 34, 33]  # the best is 32: one step on one axis each


def test_losing_grids_say_that_not_trading_was_better(grid: Grid) -> None:
    document = grid(["baseline"], [MULTIPLIERS], lambda v, x: waves(-x["hard_stop.multiplier"]))
    assert any("not trading would have been better" in note for note in document["notes"])
    assert verdict(document).startswith("No cell made money")


def test_why_no_cell_is_the_best_is_said(grid: Grid) -> None:
    idle = grid(["baseline"], [MULTIPLIERS], lambda v, x: [])
    assert idle["best"] is None
    assert "No cell closed enough trades to be called the best one." in idle["notes"]
    winners = grid(["baseline"], [MULTIPLIERS], lambda v, x: [1.0], objective="profit_factor")
    assert winners["best"] is None
    (note,) = [n for n in winners["notes"] if n.startswith("No cell")]
    assert "none has a figure for gross win by gross loss, which a cell without a loss does not have" in note


def test_a_cell_that_always_wins_is_told_from_luck_and_noise_is_not(grid: Grid) -> None:
    def steady(variant: str, values: dict[str, Any]) -> list[float]:
        wins = values["hard_stop.multiplier"] == 2
        return [1.0 + 0.1 * (n % 3) if wins else -0.5 + 0.1 * (n % 2) for n in range(20)]

    def noisy(variant: str, values: dict[str, Any]) -> list[float]:
        return waves(values["hard_stop.multiplier"] / 9 + 0.2)[:-4] + [-1.0] * 4

    assert verdict(grid(["baseline"], [MULTIPLIERS], steady)).startswith("The best cell is better than luck")
    assert verdict(grid(["baseline"], [MULTIPLIERS], noisy)).startswith("Nothing here can be told from luck")
