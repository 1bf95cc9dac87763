"""Crossing variants with axes."""

from __future__ import annotations

import pytest

from sigil_ext.errors import SettingsError, UsageError
from sigil_ext.research.grid.axes import parse_axes
from sigil_ext.research.grid.cells import cross
from sigil_ext.settings.overlays import load_variant


def test_every_variant_meets_every_value() -> None:
    variants = [load_variant("baseline"), load_variant("unhinged")]
    cells = cross(variants, parse_axes(["hard_stop.multiplier=1.5,2.5", "flat.after=4h,8h"]))
    assert [cell.label for cell in cells[:3]] == [
        "baseline hard_stop.multiplier=1.5 flat.after=4h",
        "baseline hard_stop.multiplier=1.5 flat.after=8h",
        "baseline hard_stop.multiplier=2.5 flat.after=4h",
    ]
    assert len(cells) == 8
    assert cells[7].run is not None
    assert cells[7].run.settings.hard_stop.multiplier == 2.5
    assert cells[7].run.settings.entry.breakout_lookback == 10  # unhinged's own, untouched by the axes
    assert cells[7].run.origins["flat.after"] == "--axis"
    assert cells[7].run.origins["entry.breakout_lookback"] == "overlays/unhinged.yaml"


def test_without_an_axis_the_cells_are_the_variants() -> None:
    assert [c.label for c in cross([load_variant("baseline"), load_variant("legacy")], ())] == ["baseline", "legacy"]


def test_an_impossible_combination_is_a_cell_with_its_reason() -> None:
    cells = cross([load_variant("baseline")], parse_axes(["entry.rsi_min=40,70", "entry.rsi_max=60,80"]))
    assert [cell.run is None for cell in cells] == [False, False, True, False]
    assert cells[2].problem == "entry.rsi_min (70) must not exceed entry.rsi_max (60) (see --axis)"


@pytest.mark.parametrize(
    ("axis", "sentence"),
    [
        ("entry.rsi_min=60,90", r"entry.rsi_min \(90\) must not exceed entry.rsi_max \(75\)"),
        (
            "hard_stop.multiplier=1,99",
            r"hard_stop.multiplier = 99 \(--axis\): input should be less than or equal to 50",
        ),
        ("hard_stop.multiplier=1,'2'", "must be a valid number, written plainly"),
        ("hard_stop.multiplier=1,true", "must be a valid number"),
        ("flat.after=4h,soon", "must be a duration like 15m, 8h or 7d"),
        ("entry.breakout_lookback=10,10.5", "valid integer"),
        ("guard.cooldown_from=open,never", "input should be 'open' or 'close'"),
    ],
)
def test_a_value_that_no_cell_can_use_is_refused(axis: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        cross([load_variant("baseline")], parse_axes([axis]))


def test_one_value_written_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="names 8h twice, once as 480m"):
        cross([load_variant("baseline")], parse_axes(["flat.after=8h,480m"]))
