"""The summary of a day says what the tables say, once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from sigil_ext.db.outbox import Outbox
from sigil_ext.services.alert_summaries import daily_summaries, daily_summary, refused_summary

DAY = date(2026, 1, 5)
MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def position(database, symbol: str, opened: float, closed: float | None = None, reason: str = "", pnl: float = 0.0):
    """Insert a position; hours are counted from the midnight at which the day begins."""
    with database.transaction() as cur:
        cur.execute(
            "INSERT INTO micro_positions (symbol, variant_id, status, qty, entry_price, opened_at, closed_at, exit_reason,"
            " pnl_usd) VALUES (%s, 'baseline', %s, 1, 1, %s, %s, %s, %s)",
            (
                symbol, "open" if closed is None else "closed", MIDNIGHT + opened * HOUR,
                None if closed is None else MIDNIGHT + closed * HOUR, reason or None, pnl,
            ),
        )  # fmt: skip


def equity(database, hour: float, usd: float) -> None:
    with database.transaction() as cur:
        cur.execute(
            "INSERT INTO equity_snapshots (at, cash_usd, positions_usd, equity_usd, open_positions) VALUES (%s, %s, 0, %s, 0)",
            (MIDNIGHT + hour * HOUR, usd, usd),
        )


def signal(database, hour: float, reason: str | None) -> None:
    with database.transaction() as cur:
        cur.execute(
            "INSERT INTO signals (symbol, rule, acted, reject_reason, created_at) VALUES ('TSTUSDT', 'breakout', %s, %s, %s)",
            (reason is None, reason, MIDNIGHT + hour * HOUR),
        )


def a_traded_day(database) -> None:
    position(database, "TSTUSDT", -5, -1, "hard_stop", -100.0)  # the day before
    position(database, "NFPUSDT", -2, 3, "hard_stop", -3.1)
    position(database, "KNCUSDT", 1, 2, "atr_trail", 0.4)
    position(database, "KNCUSDT", 5, 6, "atr_trail", 0.2)
    position(database, "ORCAUSDT", 7, 30, "atr_trail", 9.0)  # closed the day after
    position(database, "DOGSUSDT", 8)
    position(database, "PSGUSDT", 25)  # the day after
    for hour, usd in ((-1, 1000.0), (0, 999.0), (12, 990.0), (24, 996.5), (25, 500.0)):
        equity(database, hour, usd)
    for hour, reason in ((-1, "ban"), (0, "cooldown"), (23.9, "cooldown"), (10, "paused"), (11, None), (24, "ban")):
        signal(database, hour, reason)


def test_a_day_is_summed_up_from_its_midnight_to_the_next(database):
    a_traded_day(database)
    assert daily_summary(database, DAY)
    (alert,) = Outbox(database).list()
    assert (alert.event, alert.at) == ("daily_summary", MIDNIGHT + 24 * HOUR)
    assert alert.title == "2026-01-05: 3 trades, -$2.50"
    assert alert.body.splitlines() == [
        "closed 3 trades, P&L -$2.50; 4 entries",
        "  atr_trail: 2, +$0.60",
        "  hard_stop: 1, -$3.10",
        "refused signals: cooldown 2, paused 1",
        "open at the end: ORCA-USDT, DOGS-USDT",
        "equity $996.50 (-$2.50)",
    ]


def test_a_day_is_told_once(database):
    a_traded_day(database)
    assert [daily_summary(database, DAY) for _ in range(3)] == [True, False, False]
    assert len(Outbox(database).list()) == 1


def test_days_that_were_missed_are_made_up_for_and_today_waits(database):
    for day in range(4):
        equity(database, 24 * day + 12, 1000 + day)
    now = MIDNIGHT + 3.5 * 24 * HOUR
    assert daily_summaries(database, now) == [DAY, DAY + timedelta(days=1), DAY + timedelta(days=2)]
    assert daily_summaries(database, now) == []
    assert daily_summaries(database, now + 24 * HOUR) == [DAY + timedelta(days=3)]


def test_a_session_away_for_months_does_not_tell_of_each_day(database):
    for day in range(60):
        equity(database, 24 * day + 12, 1000)
    assert len(daily_summaries(database, MIDNIGHT + 60.5 * 24 * HOUR)) == 7


def test_a_day_with_nothing_recorded_is_not_told(database):
    assert daily_summaries(database, MIDNIGHT + 40 * HOUR) == []


def test_refusals_are_told_once_for_each_hour_that_had_some(database):
    signal(database, 10.2, "cooldown")
    signal(database, 10.9, "cooldown")
    signal(database, 11.0, "ban")
    assert refused_summary(database, MIDNIGHT + 11.1 * HOUR)
    assert not refused_summary(database, MIDNIGHT + 11.9 * HOUR)
    assert refused_summary(database, MIDNIGHT + 12 * HOUR)
    assert not refused_summary(database, MIDNIGHT + 13 * HOUR)
    second, first = Outbox(database).list()
    assert (first.title, second.title) == ("2 entry signals refused", "1 entry signal refused")
    assert first.body == "2026-01-05 10:00 to 2026-01-05 11:00 UTC: cooldown 2"
