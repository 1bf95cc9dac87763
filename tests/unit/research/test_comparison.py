"""Two sides against each other: what is paired, what is left out, when there is a verdict, what is confounded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st

from sigil_ext.errors import UsageError
from sigil_ext.research.comparison import Side, compare_sides
from sigil_ext.research.comparison_figures import ComparedTrade
from sigil_ext.research.comparison_settings import explain_settings
from sigil_ext.settings.overlays import flatten, load_variant

DAY = 86_400_000
HOUR = 3_600_000
START = 20_000 * DAY  # 2024-10-04


def trade(day: float, pnl: float, symbol: str = "TST-USDT", risk: float | None = 2.0, held: float = 1.0, **more):
    opened = START + round(day * DAY)
    reason = more.pop("reason", "atr_trail" if pnl > 0 else "hard_stop")
    return ComparedTrade(symbol, opened, opened + round(held * HOUR), pnl, more.pop("fee", 0.1), risk, reason)


def side(name: str, *trades: ComparedTrade, days: float = 40, begins: float = 0, **more) -> Side:
    start = START + round(begins * DAY)
    return Side(name, more.pop("source", "backtest"), start, start + round(days * DAY), trades, **more)


def noise(seed: int, days: int, mean: float) -> list[ComparedTrade]:
    rng = np.random.default_rng(seed)
    return [trade(day + 0.3, float(pnl)) for day, pnl in enumerate(rng.normal(mean, 1.0, days))]


def test_a_difference_that_is_there_each_day_is_a_verdict_for_the_better_one():
    c = compare_sides(side("wide", *noise(1, 40, 2.0)), side("narrow", *noise(2, 40, 0.0)))
    assert c["verdict"]["outcome"] == "a"
    assert c["verdict"]["sentence"].startswith("wide did better than narrow by +$")
    found = c["by_day"]["usd"]
    assert 0 < found["low"] < found["value"] < found["high"]
    assert compare_sides(side("x", *noise(2, 40, 0.0)), side("y", *noise(1, 40, 2.0)))["verdict"]["outcome"] == "b"


def test_noise_against_noise_is_no_verdict_and_says_what_one_would_take():
    c = compare_sides(side("x", *noise(1, 40, 0.0)), side("y", *noise(2, 40, 0.1)))
    assert c["verdict"]["outcome"] == "none"
    power = c["power"]
    assert power["days_needed"]["value"] > 40
    assert power["further_days"] == power["days_needed"]["value"] - 40
    assert power["trades_needed"] == pytest.approx(power["days_needed"]["value"] * 2)
    assert "as large as this needs about" in c["verdict"]["sentence"]
    assert power["minimum_detectable_usd"]["value"] > abs(c["by_day"]["usd"]["value"])


def test_no_note_calls_the_wider_interval_too_narrow_nor_any_where_there_is_none():
    for days in (7, 12):
        c = compare_sides(side("x", *noise(1, days, 0.0), days=days), side("y", *noise(2, days, 0.1), days=days))
        assert (c["by_day"]["usd"]["low"] is None) == (days == 7)
        assert c["notes"] == []


def test_the_days_needed_fall_with_the_square_of_the_effect_asked_for():
    a, b = side("x", *noise(1, 60, 0.0), days=60), side("y", *noise(2, 60, 0.1), days=60)
    small, large = (compare_sides(a, b, effect_usd=e)["power"] for e in (0.1, 0.2))
    assert small["effect_is"] == "asked for"
    assert small["days_needed"]["value"] == pytest.approx(4 * large["days_needed"]["value"], rel=0.02)


def test_a_week_has_no_interval_and_says_so():
    c = compare_sides(side("x", *noise(1, 7, 5.0), days=7), side("y", days=7))
    assert c["verdict"]["outcome"] == "unknown"
    assert "7 days are too few" in c["verdict"]["sentence"]
    assert c["by_day"]["usd"]["low"] is None


def test_the_same_trades_are_the_same_and_no_difference_is_made_up():
    c = compare_sides(side("x", *noise(1, 40, 0.0)), side("y", *noise(1, 40, 0.0)))
    assert c["verdict"] == {"outcome": "same", "sentence": "x and y made the same trades over these 40 days."}
    assert c["by_signal"]["pairs"] == c["by_signal"]["same_exit"] == 40
    assert c["power"]["days_needed"]["value"] is None


def test_signals_pair_by_symbol_and_time_and_the_parts_add_up_to_the_whole():
    a = side("a", trade(1, 3.0), trade(2, -2.0), trade(3, 1.0, symbol="NFP-USDT"), trade(4, 0.5))
    b = side("b", trade(1, 1.0, held=5), trade(2, -2.0), trade(3, 7.0), trade(4 + 1 / 1440, 0.5))
    c = compare_sides(a, b)
    s = c["by_signal"]
    assert (s["pairs"], s["same_exit"]) == (2, 1)
    assert s["usd"]["value"] == pytest.approx((2.0 + 0.0) / 2)
    assert (s["only_a"]["trades"], s["only_b"]["trades"]) == (2, 2)
    whole = c["a"]["pnl_usd"] - c["b"]["pnl_usd"]
    assert s["difference_usd"] + s["only_a"]["pnl_usd"] - s["only_b"]["pnl_usd"] == pytest.approx(whole)


@settings_of_test(max_examples=8)
@given(st.data())
def test_the_parts_always_add_up_and_swapping_the_sides_turns_the_sign(data):
    def some(name: str) -> Side:
        places = st.tuples(st.integers(0, 399), st.sampled_from(["TST-USDT", "NFP-USDT"]))
        keys = data.draw(st.sets(places, max_size=12))
        return side(name, *(trade(n / 10, data.draw(st.integers(-40, 40)) / 8, symbol=s) for n, s in sorted(keys)))

    a, b = some("a"), some("b")
    c, turned = compare_sides(a, b), compare_sides(b, a)
    s = c["by_signal"]
    whole = c["a"]["pnl_usd"] - c["b"]["pnl_usd"]
    assert math.isclose(
        s["difference_usd"] + s["only_a"]["pnl_usd"] - s["only_b"]["pnl_usd"], whole, rel_tol=1e-9, abs_tol=1e-9
    )
    assert math.isclose(c["by_day"]["usd"]["value"] * c["days"], whole, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(c["by_day"]["usd"]["value"], -turned["by_day"]["usd"]["value"], abs_tol=1e-12)
    assert {c["verdict"]["outcome"], turned["verdict"]["outcome"]} in (
        {"a", "b"}, {"none"}, {"same"}, {"unknown"},
    )  # fmt: skip


def test_only_the_time_that_both_cover_counts_and_what_is_left_out_is_told():
    a = side("a", trade(1, -100.0), trade(11, 1.0), days=20)
    b = side("b", trade(11, 2.0), trade(29, 100.0), days=20, begins=10)
    c = compare_sides(a, b)
    assert (c["days"], c["a"]["trades"], c["b"]["trades"]) == (10, 1, 1)
    assert c["a"]["trades_outside"] == 1
    assert sum("closed outside the time that both cover" in note for note in c["notes"]) == 2


def test_what_closes_at_the_very_end_belongs_to_the_last_day():
    a = side("a", trade(10 - 1 / 24, 5.0), days=10)
    c = compare_sides(a, side("b", days=10))
    assert c["days"] == len(c["by_day"]["series"]) == 10
    assert c["by_day"]["series"][-1]["a_usd"] == 5.0


def test_sides_that_share_no_time_are_refused():
    with pytest.raises(UsageError, match=r"a .* and b .* share no time"):
        compare_sides(side("a", days=5), side("b", days=5, begins=6))


def test_without_every_risk_nothing_is_said_in_r():
    c = compare_sides(side("a", trade(1, 1.0), trade(2, 1.0, risk=None)), side("b", trade(1, 2.0)))
    assert c["by_day"]["r"] is None
    assert c["a"]["pnl_r"] is None
    assert any("nothing is compared in R" in note for note in c["notes"])


def test_win_rate_had_and_needed_and_costs_stand_with_each_side():
    c = compare_sides(side("a", trade(1, 1.0), trade(2, 1.0), trade(3, -3.0)), side("b"))
    a = c["a"]
    assert a["win_rate"]["value"] == pytest.approx(2 / 3)
    assert a["win_rate_needed"] == pytest.approx(0.75)
    assert (a["pnl_usd"], a["before_costs_usd"]) == (pytest.approx(-1.0), pytest.approx(-0.7))
    assert (c["b"]["win_rate"]["value"], c["b"]["hard_stop_share"]) == (None, None)


# --- settings ---------------------------------------------------------------------------------------------------------


def settings(name: str, *overrides: str) -> dict:
    return flatten(load_variant(name, overrides).settings)


def test_the_variants_differ_in_posture_and_multiplier_at_once_and_that_is_said():
    said = explain_settings(settings("baseline"), settings("aggressive"), "baseline", "aggressive")
    assert said["confounded"] is True
    assert "hard_stop.multiplier" in [row["key"] for row in said["differing"]]
    assert "hard_stop.multiplier" not in said["posture"]
    assert said["sentence"].startswith("Posture and multiplier differ at once: hard_stop.multiplier and entry.")


def test_one_key_alone_is_not_confounded_and_is_named_with_its_values():
    said = explain_settings(settings("baseline"), settings("baseline", "hard_stop.multiplier=2.5"), "a", "b")
    assert said["differing"] == [{"key": "hard_stop.multiplier", "a": 1.5, "b": 2.5}]
    assert (said["confounded"], said["sentence"]) == (False, "Only hard_stop.multiplier differs (1.5 and 2.5).")


def test_several_keys_of_posture_are_confounded_too():
    said = explain_settings(settings("baseline"), settings("moderate"), "a", "b")
    assert said["confounded"] is True
    assert "keys differ at once" in said["sentence"]


def test_settings_that_are_the_same_or_not_known_are_said_to_be():
    same = settings("baseline")
    assert explain_settings(same, same, "a", "b")["sentence"] == "The settings are the same."
    assert "settings of b are not known" in explain_settings(same, {}, "a", "b")["sentence"]
