"""What may be written after --axis, and what each mistake is told."""

from __future__ import annotations

import pytest

from sigil_ext.errors import SettingsError, UsageError
from sigil_ext.research.grid.axes import Axis, cell_count, parse_axes, parse_axis


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("hard_stop.multiplier=1.0:2.0:0.25", (1.0, 1.25, 1.5, 1.75, 2.0)),
        ("trail.multiplier=2,3,4", (2, 3, 4)),
        ("trail.multiplier=0.1:0.3:0.1", (0.1, 0.2, 0.3)),  # no 0.30000000000000004
        ("hard_stop.multiplier=1:2:0.4", (1.0, 1.4, 1.8)),  # an end that no step reaches is left out
        ("entry.breakout_lookback=10:30:10", (10, 20, 30)),
        ("hard_stop.multiplier=0,1:2:1", (0, 1.0, 2.0)),
        ("flat.after=4h,8h", ("4h", "8h")),
        ("flat.after=4h:1d:10h", ("4h", "14h", "1d")),
        ("guard.one_position_per_symbol=true,false", (True, False)),
        ("atr_timeframe=1h,4h", ("1h", "4h")),
        ("atr_timeframe=1h:4h:1h", ("1h", "2h", "3h", "4h")),
        ("hard_stop.multiplier=-1,.5,2.,1.5e+1", (-1, 0.5, 2.0, 15.0)),
        ("sizing.starting_balance=1e3,2_000", (1000.0, 2000)),
        ("hard_stop.multiplier=2025-01-01", ("2025-01-01",)),  # text, as in an overlay in quotes
    ],
)
def test_an_axis_is_a_list_or_a_range_of_any_key(text: str, values: tuple[object, ...]) -> None:
    assert parse_axis(text).values == values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hard_stop.multiplier", "is not key=values; example: --axis"),
        ("=1,2", "is not key=values"),
        ("hard_stop.multiplier=", "has no value; example"),
        ("hard_stop.multiplier=1,,2", "has an empty value"),
        ("hard_stop.multiplier=1:4", "is no range; write first:last:step"),
        ("hard_stop.multiplier=4:1:1", "is empty, 4 is above 1"),
        ("hard_stop.multiplier=1:4:0", "must be above 0"),
        ("hard_stop.multiplier=1:4:-1", "must be above 0"),
        ("hard_stop.multiplier=1:4:x", "'x' in '1:4:x' is not a number"),
        ("hard_stop.multiplier=1:inf:1", "'inf' in '1:inf:1' is not a number"),
        ("hard_stop.multiplier=0:1000000:0.001", "has 1,000,000,001 values; take a larger step"),
        ("hard_stop.multiplier=2,3,2", "names 2 twice"),
        ("flat.after=4h:8h:1", "must be a duration"),
        ("hard_stop.multiplier=nan:4:1", "'nan' in 'nan:4:1' is not a number"),
        ("hard_stop.multiplier=4h:8h:1h", "'4h' in '4h:8h:1h' is not a number"),
        (
            "hard_stop.multiplier=010",
            "--axis hard_stop.multiplier: '010' is not a plainly written value; write it like 10",
        ),
        ("hard_stop.multiplier=1,0x2", "'0x2' is not a plainly written value"),
        ("trail.multiplier=[1,2]", "is not a value|is not a single value"),
    ],
)
def test_a_mistake_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_axis(text)


def test_an_unknown_key_gets_the_nearest_one() -> None:
    with pytest.raises(
        SettingsError, match=r"unknown key 'hard_stop.multiplyer' in --axis; did you mean 'hard_stop.mult"
    ):
        parse_axis("hard_stop.multiplyer=1,2")
    with pytest.raises(SettingsError, match=r"did you mean 'hard_stop\.multiplier'"):
        parse_axis("stop.multiplier=1,2")


def test_a_key_has_one_axis() -> None:
    with pytest.raises(UsageError, match="is given twice; put all its values in one"):
        parse_axes(["trail.multiplier=1", "trail.multiplier=2"])


def test_cells_are_counted_before_they_are_made() -> None:
    assert cell_count(4, (Axis("a", (1, 2, 3)), Axis("b", (1, 2)))) == 24
    assert cell_count(2, ()) == 2
