"""One contract, two stores: everything here holds for the store in memory and for the one in PostgreSQL."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.errors import UsageError
from sigil_ext.rules.ports import Store
from sigil_ext.rules.types import (
    Breaker,
    Entered,
    Entry,
    Exit,
    Protection,
    RefusalCount,
    Refused,
    Signal,
    UniverseRow,
    UniverseScan,
)
from sigil_ext.settings.models import BanSettings

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BAN = BanSettings.model_validate({"after": 2, "window": "7d", "base_hours": 24, "max_hours": 168})
SIGNAL = Signal("TST-USDT", NOON, "breakout", 1.01, 1.0, 3.5, 61.25, None)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore("baseline") if request.param == "memory" else request.getfixturevalue("postgres_store")


def entry(symbol: str = "TST-USDT", at: datetime = NOON, **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "symbol": symbol,
        "at": at,
        "price": 0.0417,
        "qty": 1199.0407673860912,
        "notional_usd": 50.0,
        "stop_price": 0.040449,
        "stop_pct": 3.0,
        "atr_at_entry": 0.00071,
        "risk_usd": 1.5,
        "cap_bound": True,
        "universe_id": None,
        "cooldown_until": at + 6 * HOUR,
        "max_open_positions": 3,
        "signal": replace(SIGNAL, symbol=symbol, at=at),
    }
    return Entry(**(values | changes))


def entered(store: Store, *args: Any, **changes: Any) -> int:
    outcome = store.enter(entry(*args, **changes))
    assert isinstance(outcome, Entered), outcome
    return outcome.position_id


def left(position_id: int, symbol: str = "TST-USDT", at: datetime = NOON + HOUR, reason: Any = "hard_stop") -> Exit:
    return Exit(position_id, symbol, at, 0.04, reason, 0.15, -1.65)


def refused_reason(outcome: Entered | Refused) -> str | None:
    return outcome.reason if isinstance(outcome, Refused) else None


# --- entering ---------------------------------------------------------------------------------------------------------


def test_a_new_store_knows_nothing(store):
    assert store.variant == "baseline"
    assert store.breaker() == Breaker()
    assert store.protection("TST-USDT") is None
    assert store.protections() == []
    assert store.open_position("TST-USDT") is None
    assert store.open_positions() == []
    assert store.last_scan() is None
    assert store.scan(1) is None
    assert store.known_symbols() == []
    assert store.signals() == []
    assert list(store.acts()) == []
    assert store.refusals() == []
    assert list(store.protection_history("TST-USDT")) == []


def test_an_entry_writes_position_cooldown_and_signal_together(store):
    number = entered(store, universe_id=7)
    position = store.open_position("TST-USDT")
    assert position is not None
    assert store.open_positions() == [position]
    assert (position.id, position.symbol, position.opened_at) == (number, "TST-USDT", NOON)
    assert (position.entry_price, position.qty, position.high_water) == (0.0417, 1199.0407673860912, 0.0417)
    assert (position.stop_price, position.stop_pct, position.atr_at_entry) == (0.040449, 3.0, 0.00071)
    assert (position.universe_id, position.table) == (7, "micro_positions")
    assert store.protection("TST-USDT") == Protection(
        "TST-USDT", expires_at=NOON + 6 * HOUR, created_at=NOON, reason="position opened"
    )
    assert store.signals() == [(SIGNAL, True, None)]
    assert [(e.kind, e.actor, e.at) for e in store.protection_history("TST-USDT")] == [("cooldown", "sigil", NOON)]


def test_a_second_entry_on_an_open_symbol_is_refused_and_writes_nothing(store):
    entered(store)
    assert refused_reason(store.enter(entry(at=NOON + 9 * HOUR))) == "position_open"
    assert len(store.open_positions()) == 1
    assert len(store.signals()) == 1
    assert len(store.protection_history("TST-USDT")) == 1


def test_stacking_does_not_open_a_second_row(store):
    entered(store, cooldown_until=None)
    assert refused_reason(store.enter(entry(cooldown_until=None), stacking=True)) == "position_open"
    assert len(store.open_positions()) == 1


def test_a_symbol_in_its_cooldown_is_refused_and_free_at_the_instant_it_ends(store):
    store.close(left(entered(store), reason="atr_trail"), BAN)
    outcome = store.enter(entry(at=NOON + 6 * HOUR - timedelta(microseconds=1)))
    assert refused_reason(outcome) == "cooldown"
    assert "18:00" in outcome.detail
    assert isinstance(store.enter(entry(at=NOON + 6 * HOUR)), Entered)


def test_a_banned_symbol_is_refused_even_with_a_cooldown_beside_it(store):
    store.add_ban("TST-USDT", until=NOON + 9 * HOUR, at=NOON, actor="eva", reason="manipulated")
    store.add_cooldown("TST-USDT", until=NOON + 10 * HOUR, at=NOON, actor="eva", reason="calm down")
    assert refused_reason(store.enter(entry(at=NOON + HOUR))) == "ban"
    assert refused_reason(store.enter(entry(at=NOON + 9 * HOUR))) == "cooldown"


def test_no_more_positions_than_allowed(store):
    for symbol in ("A-USDT", "B-USDT", "C-USDT"):
        entered(store, symbol)
    outcome = store.enter(entry("D-USDT"))
    assert refused_reason(outcome) == "max_open_positions"
    assert outcome.detail == "3 open of 3"
    assert isinstance(store.enter(entry("D-USDT", max_open_positions=4)), Entered)


def test_a_tripped_breaker_and_a_pause_refuse_entries_and_no_exits(store):
    number = entered(store)
    store.trip(at=NOON, actor="probe", reason="scanner silent")
    assert store.enter(entry("A-USDT")) == Refused("A-USDT", NOON, "breaker_tripped", "scanner silent")
    store.close(left(number), BAN)
    assert store.open_positions() == []
    store.reset(at=NOON, actor="eva", reason="scanner restarted")
    store.pause(at=NOON, actor="eva", reason="news")
    assert store.enter(entry("A-USDT")) == Refused("A-USDT", NOON, "paused", "news")
    store.resume(at=NOON, actor="eva", reason="over")
    assert isinstance(store.enter(entry("A-USDT")), Entered)


def test_an_entry_without_cooldown_leaves_the_symbol_unprotected(store):
    entered(store, cooldown_until=None, signal=None)
    assert store.protection("TST-USDT") is None
    assert store.signals() == []


@pytest.mark.parametrize("symbol", ["1000SATS-USDT", "TUSD-USDT", "BTC-FDUSD", "AT-USD", "A-TUSD", "DOGE-BTC"])
def test_odd_symbols_come_back_as_they_went_in(store, symbol):
    entered(store, symbol)
    assert store.open_position(symbol).symbol == symbol
    assert store.protection(symbol).symbol == symbol
    assert store.known_symbols() == [symbol]


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_a_trail_exit_leaves_the_protection_alone(store):
    number = entered(store)
    before = store.protection("TST-USDT")
    assert store.close(left(number, reason="atr_trail"), BAN) == before
    assert store.open_position("TST-USDT") is None


def test_hard_stops_are_counted_and_the_second_one_bans(store):
    first = store.close(left(entered(store), at=NOON + HOUR), BAN)
    assert (first.violation_count, first.ban_until, first.last_violation_at) == (1, None, NOON + HOUR)
    number = entered(store, at=NOON + 7 * HOUR)
    second = store.close(left(number, at=NOON + 8 * HOUR), BAN)
    assert (second.violation_count, second.ban_until) == (2, NOON + 32 * HOUR)
    assert [e.kind for e in store.protection_history("TST-USDT")] == ["cooldown", "violation", "cooldown", "ban"]


def test_a_cooldown_at_close_is_written_with_the_exit(store):
    number = entered(store, cooldown_until=None)
    after = store.close(left(number, reason="flat_no_move"), BAN, cooldown_until=NOON + 3 * HOUR)
    assert after == Protection("TST-USDT", NOON + 3 * HOUR, created_at=NOON + HOUR, reason="position closed")


def test_closing_twice_changes_nothing(store):
    number = entered(store)
    after = store.close(left(number), BAN)
    events = list(store.protection_history("TST-USDT"))
    assert store.close(left(number, at=NOON + 2 * HOUR), BAN) == after
    assert list(store.protection_history("TST-USDT")) == events


def test_a_position_that_never_was_cannot_be_closed(store):
    number = entered(store)
    with pytest.raises(UsageError, match="no position 99"):
        store.close(left(99), BAN)
    with pytest.raises(UsageError, match=f"no position {number}"):
        store.close(left(number, "DOGS-USDT"), BAN)


def test_stop_and_high_water_rise_and_never_fall(store):
    number = entered(store)
    store.move_stop(number, at=NOON + HOUR, stop_price=0.043, high_water=0.045)
    store.move_stop(number, at=NOON + 2 * HOUR, stop_price=0.041, high_water=0.044)
    position = store.open_position("TST-USDT")
    assert (position.stop_price, position.high_water) == (0.043, 0.045)
    assert store.open_positions() == [position]


def test_moving_the_stop_of_a_closed_position_does_nothing_and_of_an_unknown_one_is_an_error(store):
    number = entered(store)
    store.close(left(number), BAN)
    store.move_stop(number, at=NOON + 2 * HOUR, stop_price=0.05, high_water=0.05)
    with pytest.raises(UsageError, match="no position 99"):
        store.move_stop(99, at=NOON, stop_price=0.05, high_water=0.05)


def test_an_increase_averages_the_entry_and_sets_the_stop(store):
    number = entered(store, price=1.0, qty=100.0)
    store.increase(number, at=NOON + HOUR, price=1.3, qty=50.0, stop_price=1.067)
    position = store.open_position("TST-USDT")
    assert position.qty == 150.0
    assert position.entry_price == pytest.approx(1.1)
    assert position.stop_price == 1.067
    store.close(left(number), BAN)
    with pytest.raises(UsageError, match=f"no position {number}"):
        store.increase(number, at=NOON + HOUR, price=1.3, qty=50.0, stop_price=1.067)


# --- protections ------------------------------------------------------------------------------------------------------


def test_a_later_write_never_shortens_a_protection(store):
    store.add_cooldown("TST-USDT", until=NOON + 9 * HOUR, at=NOON, actor="eva", reason="a")
    store.add_ban("TST-USDT", until=NOON + 99 * HOUR, at=NOON, actor="eva", reason="b")
    store.add_cooldown("TST-USDT", until=NOON + 2 * HOUR, at=NOON, actor="eva", reason="c")
    after = store.add_ban("TST-USDT", until=NOON + 3 * HOUR, at=NOON, actor="eva", reason="d")
    assert (after.expires_at, after.ban_until) == (NOON + 9 * HOUR, NOON + 99 * HOUR)
    assert store.protection("TST-USDT") == after


def test_an_act_without_a_reason_leaves_the_last_one_standing(store):
    store.add_ban("TST-USDT", until=NOON + HOUR, at=NOON, actor="eva", reason="manipulated")
    assert store.add_cooldown("TST-USDT", until=NOON, at=NOON, actor="eva", reason="").reason == "manipulated"
    assert [e.reason for e in store.protection_history("TST-USDT")] == ["manipulated", ""]


def test_lift_ends_both_bars_now_and_keeps_the_count(store):
    store.close(left(entered(store)), BAN)
    store.add_ban("TST-USDT", until=NOON + 99 * HOUR, at=NOON + HOUR, actor="eva", reason="b")
    after = store.lift("TST-USDT", at=NOON + 2 * HOUR, actor="eva", reason="wick on one exchange")
    assert (after.expires_at, after.ban_until) == (NOON + 2 * HOUR, NOON + 2 * HOUR)
    assert after.violation_count == 1
    assert isinstance(store.enter(entry(at=NOON + 2 * HOUR)), Entered)


@pytest.mark.parametrize("reason", ["", "  \t"])
def test_a_lift_and_the_breaker_want_a_reason(store, reason):
    for act in ("trip", "reset", "pause", "resume"):
        with pytest.raises(UsageError, match="needs a reason"):
            getattr(store, act)(at=NOON, actor="eva", reason=reason)
    with pytest.raises(UsageError, match="needs a reason"):
        store.lift("TST-USDT", at=NOON, actor="eva", reason=reason)
    assert list(store.acts()) == []
    assert store.protection("TST-USDT") is None


def test_every_act_is_kept_with_who_when_and_why(store):
    store.add_cooldown("TST-USDT", until=NOON + HOUR, at=NOON, actor="eva", reason="a")
    store.add_ban("DOGS-USDT", until=NOON + HOUR, at=NOON + HOUR, actor="max", reason="b")
    store.lift("TST-USDT", at=NOON, actor="eva", reason="c")
    store.trip(at=NOON, actor="probe", reason="d")
    store.trip(at=NOON + HOUR, actor="eva", reason="e")
    store.pause(at=NOON, actor="eva", reason="f")
    assert [(a.act, a.symbol, a.actor, a.reason, a.at) for a in store.acts()] == [
        ("cooldown", "TST-USDT", "eva", "a", NOON),
        ("ban", "DOGS-USDT", "max", "b", NOON + HOUR),
        ("lift", "TST-USDT", "eva", "c", NOON),
        ("trip", None, "probe", "d", NOON),
        ("trip", None, "eva", "e", NOON + HOUR),
        ("pause", None, "eva", "f", NOON),
    ]
    assert [(e.kind, e.actor, e.reason) for e in store.protection_history("TST-USDT")] == [
        ("manual_cooldown", "eva", "a"),
        ("lift", "eva", "c"),
    ]


def test_protections_are_listed_by_symbol(store):
    for symbol in ("TST-USDT", "1000SATS-USDT", "DOGS-USDT"):
        store.add_cooldown(symbol, until=NOON + HOUR, at=NOON, actor="eva", reason="a")
    assert [p.symbol for p in store.protections()] == ["1000SATS-USDT", "DOGS-USDT", "TST-USDT"]


# --- breaker ----------------------------------------------------------------------------------------------------------


def test_the_breaker_latches_with_its_first_reason(store):
    tripped = store.trip(at=NOON, actor="probe", reason="first")
    assert store.trip(at=NOON + HOUR, actor="eva", reason="second") == tripped
    assert store.breaker() == tripped == Breaker(True, "first", NOON, "probe")


def test_reset_and_resume_undo_their_own_half_only(store):
    store.trip(at=NOON, actor="probe", reason="first")
    store.pause(at=NOON + HOUR, actor="eva", reason="news")
    assert store.reset(at=NOON, actor="eva", reason="fine") == Breaker(
        paused=True, pause_reason="news", paused_at=NOON + HOUR, paused_by="eva"
    )
    assert store.pause(at=NOON, actor="eva", reason="later").pause_reason == "news"
    assert store.resume(at=NOON, actor="eva", reason="over") == store.breaker() == Breaker()


# --- the record -------------------------------------------------------------------------------------------------------


def test_signals_come_back_oldest_first_and_since(store):
    late, early = replace(SIGNAL, at=NOON + HOUR, score=0.25), SIGNAL
    store.record_signal(late, acted=False, reject_reason="cooldown")
    store.record_signal(early, acted=True, reject_reason=None)
    assert store.signals() == [(early, True, None), (late, False, "cooldown")]
    assert store.signals(since=NOON + HOUR) == [(late, False, "cooldown")]


def test_a_signal_keeps_figures_that_are_not_numbers(store):
    store.record_signal(replace(SIGNAL, rsi=math.nan, volume_ratio=math.inf), acted=False, reject_reason="ban")
    [(signal, _, _)] = store.signals()
    assert math.isnan(signal.rsi)
    assert signal.volume_ratio == math.inf


def test_refusals_are_counted_by_symbol_and_reason(store):
    store.count_refusal("TST-USDT", "cooldown", at=NOON + HOUR, signal=True)
    store.count_refusal("TST-USDT", "cooldown", at=NOON, signal=False)
    store.count_refusal("TST-USDT", "ban", at=NOON, signal=False)
    store.count_refusal("DOGS-USDT", "ban", at=NOON, signal=True)
    assert store.refusals() == [
        RefusalCount("DOGS-USDT", "ban", 1, 1, NOON, NOON),
        RefusalCount("TST-USDT", "ban", 1, 0, NOON, NOON),
        RefusalCount("TST-USDT", "cooldown", 2, 1, NOON, NOON + HOUR),
    ]


def test_a_scan_comes_back_with_every_reason_in_its_order(store):
    scan = UniverseScan(
        NOON,
        (
            UniverseRow("TST-USDT", True, "accepted", 0.1 + 0.2, 1, {"atr_pct": 1e-8, "quote_volume_usd": 1e12 / 3}),
            UniverseRow("DOGS-USDT", False, "min_price", None, None, {"price": math.inf}),
        ),
    )
    empty = UniverseScan(NOON + HOUR, ())
    first, second = store.save_scan(scan), store.save_scan(empty)
    assert first != second
    assert store.scan(first) == scan
    assert store.scan(second) == empty
    assert store.last_scan() == (second, empty)
    assert store.known_symbols() == ["DOGS-USDT", "TST-USDT"]


def test_known_symbols_are_those_of_every_row(store):
    store.close(left(entered(store, "A-USDT", cooldown_until=None, signal=None), "A-USDT", reason="manual"), BAN)
    store.record_signal(replace(SIGNAL, symbol="B-USDT"), acted=False, reject_reason="ban")
    store.add_ban("C-USDT", until=NOON + HOUR, at=NOON, actor="eva", reason="x")
    store.count_refusal("D-USDT", "data_stale", at=NOON, signal=False)
    assert store.known_symbols() == ["A-USDT", "B-USDT", "C-USDT", "D-USDT"]
