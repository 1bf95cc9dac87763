"""The document of a grid: which cell is best, what is said with it, and what keeps one from believing in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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


def test_cells_tried_before_count_as_tried(grid: Grid) -> None:
    document = grid(["baseline"], [MULTIPLIERS], lambda v, x: waves(x["hard_stop.multiplier"]), tried_before=97)
    assert document["best"]["statistics"]["cells_tried"] == 100
    assert any("97 other cells were run" in note for note in document["notes"])


def test_losing_grids_say_that_not_trading_was_better(grid: Grid) -> None:
    document = grid(["baseline"], [MULTIPLIERS], lambda v, x: waves(-x["hard_stop.multiplier"]))
    assert any("not trading would have been better" in note for note in document["notes"])
    assert verdict(document).startswith("No cell made money")


def test_a_cell_that_always_wins_is_told_from_luck_and_noise_is_not(grid: Grid) -> None:
    def steady(variant: str, values: dict[str, Any]) -> list[float]:
        wins = values["hard_stop.multiplier"] == 2
        return [1.0 + 0.1 * (n % 3) if wins else -0.5 + 0.1 * (n % 2) for n in range(20)]

    def noisy(variant: str, values: dict[str, Any]) -> list[float]:
        return waves(values["hard_stop.multiplier"] / 9 + 0.2)[:-4] + [-1.0] * 4

    assert verdict(grid(["baseline"], [MULTIPLIERS], steady)).startswith("The best cell is better than luck")
    assert verdict(grid(["baseline"], [MULTIPLIERS], noisy)).startswith("Nothing here can be told from luck")
