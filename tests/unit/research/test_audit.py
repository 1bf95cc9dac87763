"""Which differences of an audit explain which others, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sigil_ext.research.audit import FOLLOWS, AuditTrade, Reach, compare

HOUR = 3_600_000
DAY = 24 * HOUR
REACH = Reach(cooldown_ms=6 * HOUR, ban_ms=14 * DAY, scan_ms=HOUR, min_notional_usd=5.0)
BY_HAND = {("TST-USDT", 0): "manual"}


def trade(
    symbol: str = "TST-USDT", opened: float = 0, closed: float | None = 2, *, reason: str = "atr_trail", pnl: float = 1.0,
    usd: float = 50.0,
) -> AuditTrade:  # fmt: skip
    """A trade of `usd` dollars; hours."""
    if closed is None:
        return AuditTrade(symbol, int(opened * HOUR), 1.0, usd, None, None, None, None)
    return AuditTrade(symbol, int(opened * HOUR), 1.0, usd, int(closed * HOUR), 1.01, reason, pnl)


MANUAL = trade(closed=1, reason="manual", pnl=0.2)  # closed by a person after an hour
LIVED_ON = trade(closed=10)  # its twin, ten hours


def cause(
    refused_by: str, reason: str, other: AuditTrade, *, paper=(MANUAL,), backtest=(LIVED_ON,), reach: Reach = REACH,
    by_hand=BY_HAND, **more,
) -> str | None:  # fmt: skip
    """What explains that one side refused `other`, which the other side made, after what is in paper and backtest."""
    key = {(other.symbol, other.opened_at_ms): reason}
    side = refused_by == "paper"
    found = compare(
        list(paper) + ([] if side else [other]), list(backtest) + ([other] if side else []), closed_by_hand=by_hand,
        paper_refused=key if side else {}, backtest_refused={} if side else key, reach=reach, **more,
    )  # fmt: skip
    return found.differences[-1].cause


@pytest.mark.parametrize("reason", sorted(FOLLOWS))
@pytest.mark.parametrize("side", ["paper", "backtest"])
@pytest.mark.parametrize("symbol", ["TST-USDT", "NFP-USDT"])
def test_a_position_closed_by_hand_explains_nothing_a_fortnight_later(reason, side, symbol):
    assert cause(side, reason, trade(symbol, 15 * 24, 15 * 24 + 1)) is None


@pytest.mark.parametrize(
    ("reason", "symbol", "hour", "explained"),
    [
        ("position_open", "TST-USDT", 3, True),
        ("position_open", "TST-USDT", 11, False),
        ("position_open", "NFP-USDT", 3, False),
        ("max_open_positions", "NFP-USDT", 3, True),
        ("max_open_positions", "NFP-USDT", 0.5, False),  # held by both then
        ("max_open_positions", "NFP-USDT", 11, False),
        ("not_enough_cash", "NFP-USDT", 3, True),
        ("not_enough_cash", "NFP-USDT", 0.5, False),
        ("not_enough_cash", "NFP-USDT", 11, False),  # some cents apart, which buy no position
        ("not_in_universe", "NFP-USDT", 3, True),
        ("not_in_universe", "NFP-USDT", 10.9, True),  # by the universe scanned while it was held
        ("not_in_universe", "NFP-USDT", 11.1, False),
        ("cooldown", "TST-USDT", 3, False),  # from the entry, which both made
        ("ban", "TST-USDT", 11, False),  # no hard stop
        ("breaker_tripped", "TST-USDT", 3, False),
    ],
)
def test_what_the_backtest_goes_on_holding_bars_it_as_long_as_it_holds_it(reason, symbol, hour, explained):
    found = cause("backtest", reason, trade(symbol, hour, hour + 1))
    assert found == (f"the backtest refused it: {reason}, after the difference of TST-USDT" if explained else None)


@pytest.mark.parametrize("reason", ["position_open", "max_open_positions", "not_enough_cash"])
def test_it_does_not_bar_the_side_that_holds_it_no_more(reason):
    assert cause("paper", reason, trade("TST-USDT", 3, 4)) is None


@pytest.mark.parametrize(
    ("begins", "hour", "explained"),
    [("open", 7.9, True), ("open", 8.1, False), ("close", 8.9, True), ("close", 9.1, False)],
)
def test_a_rest_that_only_one_side_has_explains_refusals_of_its_symbol_until_it_ends(begins, hour, explained):
    extra = trade(opened=2, closed=3)  # the backtest could not, its position was open
    reach = replace(REACH, cooldown_from=begins)
    for symbol in ("TST-USDT", "NFP-USDT"):
        found = compare(
            [MANUAL, extra], [LIVED_ON, other := trade(symbol, hour, hour + 1)], closed_by_hand=BY_HAND,
            backtest_refused={("TST-USDT", 2 * HOUR): "position_open"},
            paper_refused={(symbol, other.opened_at_ms): "cooldown"}, reach=reach,
        )  # fmt: skip
        assert (found.differences[-1].cause is not None) is (explained and symbol == "TST-USDT")


@pytest.mark.parametrize(
    ("symbol", "day", "twin", "explained"),
    [
        ("TST-USDT", 3, "hard_stop", True),
        ("TST-USDT", 13, "hard_stop", True),
        ("TST-USDT", 15, "hard_stop", False),
        ("NFP-USDT", 3, "hard_stop", False),
        ("TST-USDT", 3, "atr_trail", False),
    ],
)
def test_a_hard_stop_that_only_one_side_had_explains_bans_of_its_symbol_while_it_counts(symbol, day, twin, explained):
    twins = [trade(closed=10, reason=twin, pnl=-1.5)]
    assert (cause("backtest", "ban", trade(symbol, day * 24, day * 24 + 1), backtest=twins) is not None) is explained


def test_a_size_is_explained_by_the_money_that_one_side_has_more_and_by_no_more():
    def second(usd: float) -> AuditTrade:
        return trade("NFP-USDT", 20, 21, usd=usd, pnl=0.1)

    for here, explained in ((20.8, False), (19.2, True), (19.21, True), (18.0, False)):  # paper made 0.80 less
        found = compare(
            [MANUAL, second(here)], [LIVED_ON, second(20.0)], closed_by_hand=BY_HAND, paper_refused={},
            backtest_refused={}, reach=REACH,
        )  # fmt: skip
        assert (found.differences[-1].cause is not None) is explained, here


def test_a_difference_without_a_cause_explains_nothing():
    found = cause("backtest", "position_open", trade(opened=3, closed=4), by_hand={})
    assert found is None


def test_what_was_open_at_the_start_explains_until_it_is_closed():
    adopted = [replace(trade("PSG-USDT", -50, 10), pnl_usd=2.0)]
    for reason, symbol, hour, side, explained in (
        ("max_open_positions", "NFP-USDT", 5, "paper", True),
        ("max_open_positions", "NFP-USDT", 11, "paper", False),
        ("position_open", "PSG-USDT", 5, "paper", True),
        ("position_open", "NFP-USDT", 5, "paper", False),
        ("not_enough_cash", "NFP-USDT", 5, "backtest", False),  # paid for before the cash of the start was counted
        ("not_enough_cash", "NFP-USDT", 11, "backtest", True),  # what it brought when it was sold is paper's alone
        ("not_enough_cash", "NFP-USDT", 11, "paper", False),
    ):
        other = trade(symbol, hour, hour + 1)
        found = cause(side, reason, other, paper=(), backtest=(), adopted=adopted)
        assert (found is not None and "positions open at the start count there" in found) is explained, (reason, hour)


def test_what_was_before_since_is_no_part_of_the_result_and_explains_all_the_same():
    other = trade(opened=3, closed=4)
    twin = trade("NFP-USDT", 1, 2)
    found = compare(
        [MANUAL, other, twin], [LIVED_ON, twin], closed_by_hand=BY_HAND, paper_refused={},
        backtest_refused={("TST-USDT", 3 * HOUR): "position_open"}, reach=REACH, since_ms=2 * HOUR,
    )  # fmt: skip
    assert (found.matched, [d.kind for d in found.differences], found.unexplained) == (0, ["paper_only"], 0)
