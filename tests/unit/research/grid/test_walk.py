"""Walk-forward: which windows there are, what is chosen, that nothing looks ahead, and how sure the result is."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sigil_ext.errors import UsageError
from sigil_ext.research.grid.axes import parse_axes
from sigil_ext.research.grid.cells import cross
from sigil_ext.research.grid.figures import figures_of
from sigil_ext.research.grid.walk import SEED, Walked, WalkFacts, Window, build_walk, choose, windows_of
from sigil_ext.research.grid.walk_page import render_walk, verdict
from sigil_ext.research.kernel.trades import TRADE
from sigil_ext.research.statistics import careful_mean, careful_sharpe, careful_total, careful_win_rate
from sigil_ext.settings.overlays import load_variant
from tests.unit.research.grid.conftest import DAYS, START, made

DAY, HOUR = 86_400_000, 3_600_000


def days(*windows: tuple[float, float, float]) -> list[tuple[int, int, int]]:
    return [(int(a * DAY), int(b * DAY), int(c * DAY)) for a, b, c in windows]


def spans(found: list) -> list[tuple[int, int, int]]:
    return [(w.train_ms, w.trade_ms, w.finish_ms) for w in found]


def test_windows_roll_by_the_time_traded_and_the_last_one_may_be_short() -> None:
    assert spans(windows_of((0, 30 * DAY), 14 * DAY, 7 * DAY, anchored=False)) == days(
        (0, 14, 21), (7, 21, 28), (14, 28, 30)
    )


def test_anchored_windows_are_judged_from_the_start_on() -> None:
    assert spans(windows_of((0, 30 * DAY), 14 * DAY, 7 * DAY, anchored=True)) == days(
        (0, 14, 21), (0, 21, 28), (0, 28, 30)
    )


def test_what_is_traded_covers_the_time_after_the_first_window_once_and_is_never_judged_before() -> None:
    found = windows_of((0, 100 * DAY), 10 * DAY, 3 * DAY, anchored=False)
    for before, after in pairwise(found):
        assert before.finish_ms == after.trade_ms
    assert (found[0].trade_ms, found[-1].finish_ms) == (10 * DAY, 100 * DAY)
    assert all(w.train_ms < w.trade_ms < w.finish_ms for w in found)


def test_a_period_too_short_to_trade_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"the period is 6.0 days long, --train takes 14.0 days; take a shorter --train"
    ):
        windows_of((0, 6 * DAY), 14 * DAY, 7 * DAY, anchored=False)


def figures(pnl: float, trades: int = 5) -> dict[str, float]:
    return {"trades": trades, "net_pnl_usd": pnl}


def test_the_best_cell_is_chosen_the_first_of_equal_ones() -> None:
    assert choose({0: figures(1.0), 1: figures(3.0), 2: figures(3.0)}, "net_pnl", 1, stand_aside=False) == 1


def test_cells_with_too_few_trades_are_not_chosen() -> None:
    assert choose({0: figures(9.0, trades=4), 1: figures(1.0)}, "net_pnl", 5, stand_aside=False) == 1
    assert choose({0: figures(9.0, trades=4)}, "net_pnl", 5, stand_aside=False) is None


def test_after_a_lost_window_one_may_stand_aside() -> None:
    lost = {0: figures(-1.0), 1: figures(-3.0)}
    assert choose(lost, "net_pnl", 1, stand_aside=False) == 0
    assert choose(lost, "net_pnl", 1, stand_aside=True) is None


def test_a_stray_rest_is_no_window_but_the_only_window_may_be_short() -> None:
    minute = 60_000
    assert spans(windows_of((0, 5 * DAY + minute), 3 * DAY, DAY, anchored=False)) == days((0, 3, 4), (1, 4, 5))
    assert len(windows_of((0, 5 * DAY + DAY // 10), 3 * DAY, DAY, anchored=False)) == 3
    assert len(windows_of((0, 3 * DAY + minute), 3 * DAY, DAY, anchored=False)) == 1


def walked_by(pnl: list[float], own: list[float], hour: int = 21, **facts: Any) -> dict[str, Any]:
    """The document of daily windows that begin at `hour`, in each of which one trade closes at its very end."""
    begin = START + hour * HOUR
    variants, axes = (load_variant("baseline"),), parse_axes(["hard_stop.multiplier=1.5,2"])
    said: dict[str, Any] = {
        "variants": variants, "axes": axes, "engine": "kernel", "symbols": ("TST-USDT",), "candles": "sample",
        "exchange": "Binance Spot", "objective": "net_pnl", "least_trades": 1, "train": "2d", "trade": "1d",
        "anchored": False, "stand_aside": False, "starting_balance": 1000.0, "verification": None,
    }  # fmt: skip

    def trade(n: int, usd: float) -> np.ndarray:
        trades = np.zeros(1, TRADE)
        trades["opened_at_ms"], trades["closed_at_ms"] = begin + n * DAY + HOUR, begin + (n + 1) * DAY
        trades["pnl_usd"], trades["risk_usd"] = usd, 1.0
        return trades

    walked = [
        Walked(
            Window(begin + (n - 2) * DAY, begin + n * DAY, begin + (n + 1) * DAY), 0, figures_of(trade(n, 1.0), 1000.0),
            trade(n, usd), {"baseline": trade(n, mine)}, 2,
        )
        for n, (usd, mine) in enumerate(zip(pnl, own, strict=True))
    ]  # fmt: skip
    return build_walk(WalkFacts(**(said | facts)), cross(variants, axes), walked)


def test_what_a_window_made_is_drawn_between_its_own_start_and_end() -> None:
    document = walked_by([5.0, 3.0, -15.6], [1.0, 1.0, 1.0])
    data = re.search(r'id="data">(.*?)</script>', render_walk(document), re.DOTALL)
    assert data is not None
    figure = json.loads(data[1])["figures"]["curve"]
    chosen, own = figure["data"]
    curve = dict(zip(chosen["x"], chosen["y"], strict=True))
    assert [edge["x0"] for edge in figure["layout"]["shapes"]] == [w["trade"] for w in document["windows"]]
    assert [chosen["x"][0], chosen["x"][-1]] == [document["traded_from"], document["finish"]]
    made = [curve[w["finish"]] - curve[w["trade"]] for w in document["windows"]]
    assert made == pytest.approx([5.0, 3.0, -15.6])
    assert curve["2025-06-19T00:00:00Z"] == curve["2025-06-18T21:00:00Z"] == 8.0  # the loss is not yet made
    assert (own["x"], own["y"][-1]) == (chosen["x"], 3.0)


def test_what_no_interval_shows_is_not_said_as_a_fact() -> None:
    short = verdict(walked_by([-1.0, -2.0, -3.0], [-5.0, -5.0, -5.0]))
    assert (
        short == "-$6.00 on 4 UTC dates: too little time to say whether choosing pays, or is better than not to choose."
    )
    luck = np.random.default_rng(1).normal(0, 5, 30).tolist()
    unsure = walked_by([-abs(sum(luck)) / 30 - 0.01 + x for x in luck], luck[::-1])
    assert "than baseline as it is (the difference may be chance)" in verdict(unsure)
    sure = walked_by([1.0 + n % 2 / 10 for n in range(30)], [-1.0] * 30)
    assert verdict(sure).endswith("made money; baseline as it is lost money.")


@pytest.mark.parametrize(
    ("chosen", "own", "ending"),
    [
        (
            -1.0,
            -2.0,
            "It lost money: what was best in one window did not stay so; it lost less than baseline as it is.",
        ),
        (
            -2.0,
            -1.0,
            "It lost money: what was best in one window did not stay so; it lost more than baseline as it is.",
        ),
        (-1.0, 1.0, "It lost money: what was best in one window did not stay so; baseline as it is made money."),
        (-1.0, 0.0, "did not stay so; baseline as it is neither made nor lost any."),
        (-1.0, -1.0, "did not stay so; baseline as it is did the same, to the cent."),
        (0.0, -1.0, "It neither made nor lost money; baseline as it is lost money."),
        (2.0, 1.0, "made money; it made more than baseline as it is."),
        (1.0, 2.0, "made money; it made less than baseline as it is."),
        (1.0, -1.0, "made money; baseline as it is lost money."),
        (1.0, 1.0, "made money; baseline as it is did the same, to the cent."),
    ],
)
def test_the_headline_says_who_lost_more_and_who_made_more(chosen: float, own: float, ending: str) -> None:
    def by_day(usd: float, period: int) -> list[float]:
        return [usd + 0.1 * (-1) ** (n // period) for n in range(12)]  # a little to and fro, which cancels out

    document = walked_by(by_day(chosen, 1), by_day(own, 2))
    assert verdict(document).endswith(ending)
    if chosen != own:
        assert document["own"][0]["ahead_usd"]["value"] == pytest.approx(12 * (chosen - own))


def test_what_may_be_chance_is_said_of_the_smaller_loss_too() -> None:
    luck = np.random.default_rng(2).normal(0, 5, 12)
    chosen = luck - luck.mean() - 1.0
    assert verdict(walked_by(chosen.tolist(), (-chosen - 2.5).tolist())).endswith(
        "it lost less than baseline as it is (the difference may be chance)."
    )


def test_the_win_rate_has_its_interval_in_the_sentence_and_so_on_the_page() -> None:
    document = walked_by([1.0, -2.0, -3.0], [1.0] * 3)
    found = document["out"]["statistics"]["win_rate"]
    sentence = f"Win rate 33% had (95 % interval {found['low']:.0%} to {found['high']:.0%}), 71% needed."
    assert sentence in document["sentences"]
    assert sentence in render_walk(document)


def test_dates_and_stretches_of_24_hours_have_names_of_their_own() -> None:
    document = walked_by([-1.0, -2.0, -3.0], [1.0] * 3)  # three windows of a day each, which touch four dates
    assert document["sentences"][0].startswith("Out of sample: 3 trades, -6.00 USD over 3 windows, 4 UTC dates;")
    assert verdict(document).startswith("-$6.00 on 4 UTC dates:")
    assert any("24 hours out of sample -2.00" in s for s in document["sentences"])


@pytest.mark.parametrize(
    ("made", "sentence"),
    [  # in sample 1 USD in windows of two days, half a dollar a day
        ([0.2, 0.2], "24 hours in sample made +0.50 USD, 24 hours out of sample +0.20: 40% of it was left."),
        ([0.5, 0.5], "24 hours in sample made +0.50 USD, 24 hours out of sample +0.50: no less than in sample."),
        ([2.5, 2.5], "24 hours in sample made +0.50 USD, 24 hours out of sample +2.50: no less than in sample."),
        ([0.0, 0.0], "24 hours in sample made +0.50 USD, 24 hours out of sample +0.00: nothing of it was left."),
        ([-2.5, -2.5], "24 hours in sample made +0.50 USD, 24 hours out of sample -2.50: nothing of it was left, it turned into a loss."),
    ],
)  # fmt: skip
def test_what_was_left_of_the_days_in_sample_is_said_in_words_that_are_true(made: list[float], sentence: str) -> None:
    assert sentence in walked_by(made, [1.0] * len(made))["sentences"]


def test_notes_say_what_was_checked_and_what_was_left_out() -> None:
    checked = {"cells": 2, "traded": 1, "judged": 1, "trades": 7, "seed": 1}
    notes = walked_by([1.0], [1.0], verification=checked, left_out_ms=60_000)["notes"]
    assert notes[0] == (
        "Checked against Jesse, drawn at random: 1 run of those that make the curve out of sample, 1 cell of a window they were "
        "chosen on; 7 trades, every field equal."
    )
    assert notes[-1].startswith("The last 1m of the candles are less than a tenth of 1d")


def test_a_window_without_a_choice_is_a_gap_in_the_line_of_choices_and_a_note_says_when_that_is() -> None:
    document = walked_by([1.0, 1.0, 1.0], [1.0] * 3, stand_aside=True)
    assert "After a window in which no cell made money nothing is traded (--stand-aside)." in document["notes"]
    aside = document["windows"][1]
    aside |= {"chosen": None, "label": None, "variant": None, "values": None, "in": None}
    data = re.search(r'id="data">(.*?)</script>', render_walk(document), re.DOTALL)
    assert data is not None
    line, marks = json.loads(data[1])["figures"]["choice-0"]["data"]
    assert line["y"] == ["1.5", "1.5", None, None, "1.5", "1.5"]
    assert line["x"][2:4] == [aside["trade"], aside["finish"]]
    assert len(marks["x"]) == 2


def test_a_table_of_a_walk_never_makes_the_page_wider_than_a_phone() -> None:
    page = render_walk(walked_by([1.0], [1.0]))
    wide = page.count("<table><thead>")
    assert wide == page.count('<div class="scroll"><table><thead>') > 1


def test_how_sure_the_curve_out_of_sample_is_is_said_with_the_careful_intervals() -> None:
    daily = np.random.default_rng(3).normal(0.3, 1.0, DAYS)
    trades = made(daily.tolist()).trades
    variants, axes = (load_variant("baseline"),), parse_axes(["hard_stop.multiplier=1.5,2"])
    facts = WalkFacts(
        variants,
        axes,
        "jesse",
        ("TST-USDT",),
        "sample",
        "Binance Spot",
        "net_pnl",
        1,
        "2d",
        "20d",
        False,
        False,
        1000.0,
        None,
    )
    window = Window(START - 2 * DAY, START, START + DAYS * DAY)
    document = build_walk(facts, cross(variants, axes), [Walked(window, None, None, trades, {"baseline": trades}, 2)])
    assert document["out"]["statistics"] == {
        "total_usd": careful_total(daily, seed=SEED).document(),
        "mean_daily_usd": careful_mean(daily, seed=SEED).document(),
        "sharpe_daily": careful_sharpe(daily, seed=SEED).document(),
        "win_rate": careful_win_rate(daily > 0, np.ones(DAYS), seed=SEED).document(),
    }
    assert (document["start"], document["traded_from"], document["finish"]) == (
        "2025-06-14T00:00:00Z", "2025-06-16T00:00:00Z", "2025-07-06T00:00:00Z",
    )  # fmt: skip
    assert document["out"]["days"][:2] == ["2025-06-16", "2025-06-17"]
