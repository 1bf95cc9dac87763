"""Every reason of a scan can be said in words, with its figure and its setting, and the words agree with the scan."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules.types import UniverseRow, UniverseScan
from sigil_ext.rules.universe import HELD, UNIVERSE_FILTERS, Measures, scan
from sigil_ext.rules.universe_words import FILTER_WORDS, check, explain, number, why
from sigil_ext.settings.overlays import KEY_PATHS, load_variant

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
LIMITS = load_variant("baseline").settings.universe.model_copy(update={"min_price": 0.01, "max_price": 5.0})
GOOD = Measures("TST-USDT", 1440, 500.0, 0.05, 5e6, 2.0, 0.02, 1.0, 3.0)
REFUSED = {
    "no_candles": ({"candles": 0}, ["no candle in 24 h"]),
    "too_young": ({"age_hours": 23.5}, ["age 23.5 h is under", "universe.min_age (24 h)"]),
    "banned": ({"banned": True}, ["banned"]),
    "volume_too_low": ({"quote_volume_usd": 400_000.0}, ["400,000 USD is under", "universe.min_quote_volume_usd"]),
    "volume_too_high": ({"quote_volume_usd": 2e8}, ["200,000,000 USD is over", "universe.max_quote_volume_usd"]),
    "atr_too_low": ({"atr_pct": 0.62}, ["ATR 0.62 % is under", "universe.min_atr_pct (0.8 %)"]),
    "atr_too_high": ({"atr_pct": 12.0}, ["ATR 12 % is over", "universe.max_atr_pct (10 %)"]),
    "price_too_low": ({"price": 0.001}, ["price 0.001 is under", "universe.min_price (0.01)"]),
    "price_too_high": ({"price": 9.0}, ["price 9 is over", "universe.max_price (5)"]),
    "tick_too_coarse": ({"tick_pct": 0.75}, ["0.75 % is over", "universe.max_tick_pct (0.5 %)"]),
    "too_many_empty_candles": ({"zero_volume_pct": 30.0}, ["30 % are over", "universe.max_zero_volume_pct (20 %)"]),
}  # fmt: skip


def test_every_filter_has_words_and_they_stand_in_its_order():
    assert list(FILTER_WORDS) == list(UNIVERSE_FILTERS)
    named = {f"universe.{words.setting}" for words in FILTER_WORDS.values() if words is not None}
    assert named <= set(KEY_PATHS)


@pytest.mark.parametrize("name", UNIVERSE_FILTERS)
def test_a_refusal_names_filter_figure_and_setting(name):
    changed, words = REFUSED[name]
    found = scan([replace(GOOD, **changed)], LIMITS, NOON)
    told = explain(found, found.rows[0], LIMITS)
    assert told.follows
    assert told.sentence.startswith(f"TST-USDT may not be entered: {name}")
    for word in words:
        assert word in told.sentence
    assert [c.filter for c in told.checks if c.refuses] == [name]
    assert why(found, found.rows[0], LIMITS).startswith(f"{name}: ")


def test_what_else_would_have_refused_it_is_told():
    found = scan([replace(GOOD, atr_pct=0.1, tick_pct=3.0)], LIMITS, NOON)
    assert "it would also fail tick_too_coarse" in explain(found, found.rows[0], LIMITS).sentence


def test_a_ban_is_told_with_its_end_even_where_another_filter_came_first():
    found = scan([replace(GOOD, age_hours=1.0, banned=True)], LIMITS, NOON)
    assert found.rows[0].reason == "too_young"
    told = explain(found, found.rows[0], LIMITS, ban_until=NOON + timedelta(hours=3))
    assert told.follows
    assert "it would also fail banned" in told.sentence
    assert "banned until 2026-01-05 15:00 UTC" in [c.sentence for c in told.checks]


def test_a_symbol_that_is_held_says_what_it_would_be_without():
    found = scan([replace(GOOD, atr_pct=0.1, held=True)], LIMITS, NOON)
    told = explain(found, found.rows[0], LIMITS)
    assert told.follows
    assert "a position was open on it; without it: refused, ATR 0.1 % is under" in told.sentence


def test_a_limit_of_zero_is_none():
    found = scan([GOOD], LIMITS.model_copy(update={"max_price": 0.0}), NOON)
    assert check("price_too_high", found.rows[0], LIMITS.model_copy(update={"max_price": 0.0})).sentence.endswith(
        "no limit"
    )


def test_other_settings_than_those_of_the_scan_are_found_out():
    found = scan([replace(GOOD, atr_pct=0.9)], LIMITS, NOON)
    assert not explain(found, found.rows[0], LIMITS.model_copy(update={"min_atr_pct": 1.0})).follows
    found = scan([replace(GOOD, atr_pct=0.7)], LIMITS, NOON)
    assert not explain(found, found.rows[0], LIMITS.model_copy(update={"min_atr_pct": 0.5})).follows


def test_a_row_without_figures_is_told_as_it_is():
    row = UniverseRow("TST-USDT", False, "atr_too_low")
    told = explain(UniverseScan(NOON, (row,)), row, LIMITS)
    assert "TST-USDT may not be entered: atr_too_low" in told.sentence
    assert {c.sentence for c in told.checks if c.refuses is None} == {"its figures were not stored"}
    assert told.score == ()
    assert why(UniverseScan(NOON, (row,)), row, LIMITS) == "atr_too_low: its figures were not stored"


def test_a_reason_of_another_version_is_repeated():
    row = UniverseRow("TST-USDT", False, "moon_phase")
    assert why(UniverseScan(NOON, (row,)), row, LIMITS) == "moon_phase"
    assert not explain(UniverseScan(NOON, (row,)), row, LIMITS).follows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "not stored"),
        (math.inf, "unbounded"),
        (1234567.0, "1,234,567"),
        (0.000123456, "0.0001235"),
        (0.0, "0"),
    ],
)
def test_figures_are_short(value, text):
    assert number(value) == text


measured = st.builds(
    lambda number, volume, atr, change, held, banned: replace(
        GOOD, symbol=f"C{number}-USDT", quote_volume_usd=volume, atr_pct=atr, change_pct=change, held=held, banned=banned
    ),
    st.integers(0, 40), st.floats(1e5, 2e8), st.one_of(st.just(math.nan), st.floats(0.1, 12)),
    st.one_of(st.just(math.nan), st.sampled_from([-3.0, 0.0, 4.0]), st.floats(-50, 50)), st.booleans(), st.booleans(),
)  # fmt: skip


@given(st.lists(measured, max_size=30, unique_by=lambda m: m.symbol), st.integers(1, 12))
def test_the_words_follow_from_the_row_and_the_parts_add_up_to_the_score(pool, size):
    limits = LIMITS.model_copy(update={"size": size})
    found = scan(pool, limits, NOON)
    for row in found.rows:
        told = explain(found, row, limits)
        assert told.follows
        assert row.symbol in told.sentence
        assert ("may be entered" in told.sentence or row.reason == HELD) == row.accepted
        if row.score is not None:
            total = sum(part.weight for part in told.score)
            assert sum(p.weight * p.rank for p in told.score) / total == pytest.approx(row.score, abs=1e-12)
