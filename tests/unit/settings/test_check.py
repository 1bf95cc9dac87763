from __future__ import annotations

import pytest

from sigil_ext.settings.check import SETTINGS_WARNINGS, warnings_of
from sigil_ext.settings.overlays import load_variant

CASES = {
    "cap_always_binds": [],
    "cap_sometimes_binds": ["sizing.max_position_usd=120"],
    "fixed_stop": ["hard_stop.multiplier=0"],
    "share_of_equity": ["sizing.risk_per_trade_usd=0"],
    "flat_never": ["flat.max_move_pct=0"],
    "never_banned": ["ban.after=0"],
    "any_volume": ["entry.volume_factor=0"],
    "no_score": ["universe.score.atr=0", "universe.score.volume=0", "universe.score.change=0"],
    "stacks_past_cooldown": ["guard.one_position_per_symbol=false"],
    "cash_runs_out": ["sizing.starting_balance=120"],
    "coarse_scan": ["universe.every=2d"],
}
# Settings of which none is probably not meant.
SOUND = ["sizing.max_position_usd=0"]


def test_every_warning_has_a_case():
    assert list(CASES) == list(SETTINGS_WARNINGS)


@pytest.mark.parametrize("name", CASES)
def test_a_warning_is_given_where_it_holds_and_not_elsewhere(name):
    warn = SETTINGS_WARNINGS[name]
    assert warn(load_variant("baseline", CASES[name]).settings)
    assert warn(load_variant("baseline", SOUND).settings) is None


def test_sound_settings_give_no_warning():
    assert warnings_of(load_variant("baseline", SOUND).settings) == []


def test_the_real_risk_under_the_cap_is_named_in_dollars():
    (sentence,) = warnings_of(load_variant("baseline").settings)
    assert "1.50 to 3.00 USD a trade, not 5" in sentence
    assert "10 %" in sentence


def test_the_fixed_stop_is_named_for_floor_equal_to_cap_too():
    sentences = warnings_of(load_variant("baseline", ["hard_stop.cap_pct=3"]).settings)
    assert any("hard_stop.multiplier has no effect" in sentence for sentence in sentences)
