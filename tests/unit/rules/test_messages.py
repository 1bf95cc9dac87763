"""What people are told: every event in words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from sigil_ext.rules import messages
from sigil_ext.rules.messages import EVENTS, MESSAGES, lasting

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)

SAID = {
    "start": messages.start(feed="exchange", symbols=40, equity_usd=1000, open_positions=1, resumed=True),
    "stop": messages.stop(why="SIGTERM", minutes=60, equity_usd=998.5, open_positions=2),
    "entry": messages.entry(
        symbol="TST-USDT", price=0.0512, qty=976.5625, notional_usd=50, stop_price=0.0493, stop_pct=3.71, risk_usd=1.86,
        cap_bound=True,
    ),
    "exit": messages.exit_(
        symbol="TST-USDT", reason="hard_stop", entry_price=0.05, price=0.048, pnl_usd=-2.056, r=-1.08,
        held=timedelta(minutes=95), downtime=True,
    ),
    "refused": messages.refused(since=NOON, until=NOON + timedelta(hours=1), counts={"cooldown": 2, "ban": 3}),
    "protection": messages.protection(symbol="TST-USDT", until=NOON, reason="position opened"),
    "ban": messages.ban(symbol="TST-USDT", until=NOON, violations=2),
    "breaker": messages.breaker(reason="daily loss of $31.20", by="sigil"),
    "scan_empty": messages.scan_empty(at=NOON, pool=40, reasons={"volume": 39, "age": 1, "price": 0}),
    "stale_symbol": messages.stale_symbol(symbol="TST-USDT", last_candle=NOON, now=NOON + timedelta(minutes=7)),
    "feed_lost": messages.feed_lost(feed="exchange", detail="no candle for 3 min"),
    "feed_back": messages.feed_back(feed="exchange", since=NOON, until=NOON + timedelta(minutes=30), missed=30),
    "database_lost": messages.database_lost(detail="no server answers"),
    "database_back": messages.database_back(since=NOON, until=NOON + timedelta(minutes=5), detail="no server answers"),
    "audit": messages.audit(
        since=NOON, until=NOON + timedelta(days=1), matched=30, paper_only=1, backtest_only=0, differing=2, unexplained=1
    ),
    "probe": messages.probe(findings=["last scan 31 min ago", "progress stands still"], tripped=True),
    "daily_summary": messages.daily_summary(
        day=date(2026, 1, 5), trades=3, pnl_usd=-2.5, by_reason={"hard_stop": (1, -3.1), "atr_trail": (2, 0.6)}, entries=1,
        refusals={"cooldown": 4}, open_positions=["KNC-USDT"], equity_usd=997.5, equity_before_usd=1000.0,
    ),
    "test": messages.test(),
}  # fmt: skip


def test_every_event_has_words():
    assert set(SAID) == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_a_message_has_a_title_of_one_line_and_a_body(event):
    title, body = SAID[event]
    assert 3 < len(title) < 100
    assert "\n" not in title
    assert body.strip()
    assert "None" not in title + body
    assert MESSAGES[event][1] in ("info", "success", "warning", "failure")


def test_an_exit_says_reason_profit_and_r():
    assert SAID["exit"] == (
        "exit TST-USDT hard_stop -$2.06",
        "P&L -$2.06 (-1.08 R), 0.05 to 0.048 (-4.00 %), held 95 min; on candles fetched after an outage",
    )


def test_an_entry_says_size_stop_and_risk():
    assert SAID["entry"].body == "976.5625 for $50.00, stop 0.0493 (3.71 % below), risk $1.86 (size at its cap)"


def test_counts_stand_in_order_of_their_size():
    assert SAID["refused"] == ("5 entry signals refused", "2026-01-05 12:00 to 2026-01-05 13:00 UTC: ban 3, cooldown 2")
    assert SAID["scan_empty"].body.endswith("volume 39, age 1")


def test_a_day_stands_in_one_message():
    assert SAID["daily_summary"] == (
        "2026-01-05: 3 trades, -$2.50",
        "closed 3 trades, P&L -$2.50; 1 entry\n  atr_trail: 2, +$0.60\n  hard_stop: 1, -$3.10\n"
        "refused signals: cooldown 4\nopen at the end: KNC-USDT\nequity $997.50 (-$2.50)",
    )


def test_a_day_without_anything_can_be_told_too():
    title, body = messages.daily_summary(
        day=date(2026, 1, 5), trades=0, pnl_usd=0.0, by_reason={}, entries=0, refusals={}, open_positions=[],
        equity_usd=None, equity_before_usd=None,
    )  # fmt: skip
    assert title == "2026-01-05: 0 trades, +$0.00"
    assert body.splitlines()[1:] == ["refused signals: none", "open at the end: none"]


def test_a_price_is_never_written_with_an_exponent():
    title, _ = messages.entry(
        symbol="PEPE-USDT", price=0.00001234, qty=4e6, notional_usd=50, stop_price=0.000012, stop_pct=3, risk_usd=1.5
    )
    assert title == "entry PEPE-USDT at 0.00001234"


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(minutes=2), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=3, minutes=5), "3 h 05 min"),
        (timedelta(days=2, hours=4), "2 d 4 h"),
    ],
)
def test_a_length_of_time_is_told_in_words(span, words):
    assert lasting(span) == words
