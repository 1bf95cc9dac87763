from __future__ import annotations

from dataclasses import replace

from sigil_ext.rules.exits import EXIT_RULES, ExitView, filled_stop, first_exit

QUIET = ExitView(
    close=100.5, entry=100.0, hard_stop=97.0, stop=97.0, high_water=100.6, low_water=99.8, age_minutes=60,
    flat_after_minutes=480, flat_max_move_pct=1.0,
)  # fmt: skip


def test_a_quiet_young_position_is_kept():
    assert first_exit(QUIET) is None


def test_a_close_under_the_hard_stop_is_a_hard_stop():
    assert first_exit(replace(QUIET, close=96.0)) == "hard_stop"


def test_a_trail_raised_over_the_close_leaves_as_the_trail():
    assert first_exit(replace(QUIET, stop=101.0)) == "atr_trail"


def test_an_old_position_that_went_nowhere_is_flat():
    assert first_exit(replace(QUIET, age_minutes=480)) == "flat_no_move"


def test_stops_come_before_flat():
    old = replace(QUIET, age_minutes=480, flat_max_move_pct=50.0)
    assert first_exit(replace(old, close=96.0)) == "hard_stop"
    assert first_exit(replace(old, stop=101.0)) == "atr_trail"


def test_the_order_of_the_registry_is_the_precedence():
    assert list(EXIT_RULES) == ["hard_stop", "atr_trail", "flat_no_move"]


def test_a_resting_stop_that_filled_is_named_by_where_it_stood():
    assert filled_stop(97.0, 97.0) == "hard_stop"
    assert filled_stop(97.1, 97.0) == "atr_trail"
