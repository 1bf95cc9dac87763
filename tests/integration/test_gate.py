"""The gate on histories in PostgreSQL: what passes, what fails, what is not there yet, and what is written down."""

from __future__ import annotations

import json

import pytest

from sigil_ext.db import paper_periods as periods
from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal
from sigil_ext.errors import UsageError
from sigil_ext.services.board import overview
from sigil_ext.services.gate import glance, judge_record
from sigil_ext.services.readings_account import progress
from tests.paper_history import PaperHistory, at


@pytest.fixture
def history(database) -> PaperHistory:
    return PaperHistory(database)


def outcomes(report) -> dict[str, str]:
    return {c.name: c.outcome for c in report.verdict.criteria}


def of(report, name: str):
    return next(c for c in report.verdict.criteria if c.name == name)


def test_a_month_that_won_was_seen_and_was_audited_passes(history):
    history.month()
    report = judge_record(history.database)
    assert report.verdict.outcome == "pass", report.verdict
    assert set(outcomes(report).values()) == {"pass"}
    assert (report.since, report.until) == (at(0), at(24 * 31))
    assert report.evidence.pnl.value == pytest.approx(24 * 1.2 - 12 * 1.6)
    assert report.figures["before_costs_usd"] == pytest.approx(24 * 1.2 - 12 * 1.6 + 36 * 0.15)
    assert report.evidence.win_rate.value == pytest.approx(24 / 36)
    assert report.evidence.win_rate.low < 24 / 36 < report.evidence.win_rate.high
    assert report.evidence.win_rate_needed == pytest.approx(1.6 / 2.8)
    assert report.evidence.pnl.low < report.evidence.pnl.value < report.evidence.pnl.high


def test_a_pass_whose_interval_reaches_under_the_threshold_says_that_it_is_not_sure(history):
    history.month([1.0] * 10 + [-1.0] * 17 + [1.0] * 9)
    report = judge_record(history.database)
    assert report.verdict.outcome == "pass"
    assert not report.verdict.sure
    assert not of(report, "win_rate").sure


def test_a_verdict_is_written_down_with_all_it_was_made_of_and_counts_how_often_it_was_asked(history):
    history.month()
    first, second = judge_record(history.database), judge_record(history.database)
    assert (first.looks, second.looks) == (1, 2)
    newest, before = periods.verdicts(history.database, 5)
    assert (newest.id, before.id) == (second.number, first.number)
    assert (newest.outcome, newest.looks, newest.since, newest.until) == ("pass", 2, at(0), at(24 * 31))
    assert newest.asked_by
    assert newest.document == {k: v for k, v in second.document().items() if k in newest.document}
    assert [c["name"] for c in newest.document["criteria"]] == list(outcomes(second))


def test_without_a_session_it_is_not_yet_and_that_is_written_down_too(history):
    report = judge_record(history.database)
    assert report.verdict.outcome == "not_yet"
    assert report.since is None
    assert "sigil run paper" in report.notes[0]
    assert [v.outcome for v in periods.verdicts(history.database, 5)] == ["not_yet"]


def test_before_thirty_days_a_loss_is_not_yet_and_after_them_it_fails(history):
    session = history.session(20, ended=False)
    for number in range(36):
        history.trade(13 * number, -1.0 if number % 2 else 0.5)
    history.audit(session, 0, 24 * 20, matched=36)
    early = judge_record(history.database)
    assert outcomes(early) | {"days": "not_yet", "pnl": "not_yet", "win_rate": "not_yet"} == outcomes(early)
    assert early.verdict.outcome == "not_yet"
    assert "10.0 more days on paper" in early.verdict.missing
    history.minutes(session, 24 * 20, 24 * 31)
    history.audit(session, 0, 24 * 31, matched=36)
    late = judge_record(history.database)
    assert (outcomes(late)["pnl"], outcomes(late)["win_rate"], late.verdict.outcome) == ("fail", "fail", "fail")
    assert "P&L of closed trades after costs is -$9.00" in of(late, "pnl").missing


def test_a_failed_audit_of_the_period_never_passes_even_if_a_later_one_is_clean(history):
    session = history.month()
    history.audit(session, 24 * 3, 24 * 4, matched=1, differing=1, unexplained=1)
    history.audit(session, 0, 24 * 31, matched=36)
    report = judge_record(history.database)
    assert report.verdict.outcome == "fail"
    assert [name for name, outcome in outcomes(report).items() if outcome == "fail"] == ["audits"]
    assert "audit 2 found" in of(report, "audits").missing
    assert judge_record(history.database, since_ms=int(at(24 * 5).timestamp() * 1000)).verdict.outcome == "not_yet"


def test_a_period_that_was_not_audited_to_its_end_is_not_yet(history):
    session = history.session(31)
    for number in range(36):
        history.trade(20 * number, 1.0 if number % 3 else -1.0)
    history.audit(session, 0, 24 * 20, matched=30)
    report = judge_record(history.database)
    assert (outcomes(report)["audits"], report.verdict.outcome) == ("not_yet", "not_yet")
    assert "65% audited" in of(report, "audits").had
    history.audit(session, 24 * 19, 24 * 31, matched=6)
    assert outcomes(judge_record(history.database))["audits"] == "pass", "audits add up"


def test_trades_that_differ_from_the_backtest_fail_above_the_bound_even_with_causes(history):
    session = history.month()
    history.audit(session, 0, 24 * 31, matched=33, differing=3)
    report = judge_record(history.database)
    assert outcomes(report)["drift"] == "fail"
    assert "8.3%" in of(report, "drift").missing


def test_profit_that_only_paper_saw_does_not_count(history):
    session = history.month((1.0, 1.0, -1.6) * 12)  # 24.00 - 19.20
    differences = [
        {"kind": "differs", "symbol": "C1-USDT", "opened_at_ms": 0, "cause": "x", "fields": {"pnl_usd": [1.0, -4.0]}}
    ]
    history.audit(session, 0, 24 * 31, matched=35, differing=1, differences=json.dumps(differences))
    report = judge_record(history.database)
    assert report.evidence.audits.drift_usd == pytest.approx(5.0)
    assert outcomes(report)["pnl"] == "fail"
    assert "beyond the backtest is -$0.20" in of(report, "pnl").missing


def test_open_losses_count_through_the_wallet(history):
    history.month()
    history.equity(1, 1000.0)
    history.equity(24 * 30, 995.0)
    report = judge_record(history.database)
    assert outcomes(report)["pnl"] == "fail"
    assert "wallet with open positions marked is -$5.00" in of(report, "pnl").missing


def test_a_replay_of_recorded_candles_is_no_time_on_paper(history):
    session = history.session(0)
    history.minutes(session, 0, 24 * 31, late_s=86_400 * 200)
    for number in range(36):
        history.trade(20 * number, 1.0 if number % 3 else -1.0)
    history.audit(session, 0, 24 * 31, matched=36)
    report = judge_record(history.database)
    assert report.verdict.outcome == "not_yet"
    assert of(report, "days").had == "0.0 days"
    assert outcomes(report)["data"] == "not_yet"
    assert any("44640 of 44640 recorded minutes were not seen live" in note for note in report.notes)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda h, s: h.minutes(s, 24 * 20, 24 * 22, downtime=True), "only 93.5% of the minutes were seen live"),
        (lambda h, s: h.minutes(s, 24 * 20, 24 * 22, downtime=True), "nothing was seen live for 48.0 h on end"),
        (lambda h, s: None, "nothing was seen live for 48.0 h on end"),
    ],
    ids=["fetched afterwards", "a hole", "never fetched"],
)
def test_data_that_was_not_seen_live_fails(history, spoil, says):
    session = history.session(0)
    history.minutes(session, 0, 24 * 20)
    spoil(history, session)
    history.minutes(session, 24 * 22, 24 * 31)
    for number in range(36):
        history.trade(20 * number, 1.0 if number % 3 else -1.0)
    history.audit(session, 0, 24 * 31, matched=36)
    report = judge_record(history.database)
    assert outcomes(report)["data"] == "fail"
    assert says in of(report, "data").missing


def test_trades_on_candles_fetched_afterwards_fail_above_the_bound(history):
    session = history.session(31)
    for number in range(36):
        history.trade(20 * number, 1.0 if number % 3 else -1.0, downtime=number < 4)
    history.audit(session, 0, 24 * 31, matched=36)
    report = judge_record(history.database)
    assert outcomes(report)["data"] == "fail"
    assert "4 of 36 trades were made on candles fetched after an outage" in of(report, "data").missing


def test_candles_that_came_late_or_never_fail_above_the_bound_and_are_told_by_kind(history):
    session = history.month()
    with history.database.transaction() as cur:
        cur.execute(
            "INSERT INTO feed_events (session_id, at, kind, symbol, detail)"
            " SELECT %s, %s, CASE WHEN n %% 2 = 0 THEN 'late' ELSE 'duplicate' END, 'TST-USDT', 'x'"
            " FROM generate_series(1, 2000) AS n",
            (session.id, at(5)),
        )
    report = judge_record(history.database)
    assert outcomes(report)["data"] == "fail"
    assert "1000 candles were late, revised, lost or unreadable, 1.1% of all" in of(report, "data").missing
    assert any("duplicate 1000, late 1000" in note for note in report.notes)


def test_other_settings_begin_a_period_of_their_own(history):
    history.month([1.0] * 36)
    changed = history.session(3, "hard_stop.multiplier=2.0", begins=24 * 31)
    for number in range(3):
        history.trade(24 * 31 + 10 * number, -1.0)
    history.audit(changed, 24 * 31, 24 * 34, matched=3)
    report = judge_record(history.database)
    assert (report.since, report.evidence.trades) == (at(24 * 31), 3)
    assert report.verdict.outcome == "not_yet"


def test_a_session_taken_up_again_with_the_same_settings_goes_on_with_its_period(history):
    history.session(16)
    second = history.session(15, begins=24 * 16)
    report = judge_record(history.database)
    assert (report.since, report.until) == (at(0), at(24 * 31))
    assert outcomes(report)["days"] == "pass"
    assert second.id == 2


def test_trades_from_before_the_period_are_left_out_and_told(history):
    history.trade(-10, -50.0, held=20)  # adopted: opened before the session
    history.month()
    report = judge_record(history.database)
    assert report.evidence.trades == 36
    assert report.verdict.outcome == "pass"
    assert any("1 trade opened before the period" in note for note in report.notes)


def test_since_after_the_record_is_wrong_use(history):
    history.session(2)
    with pytest.raises(UsageError, match=r"--since 2026-02-14 00:00: paper of variant 'baseline' ends at 2026-01-07"):
        judge_record(history.database, since_ms=int(at(24 * 40).timestamp() * 1000))


# --- at a glance ------------------------------------------------------------------------------------------------------


def nothing(history):
    """No session at all."""


def a_lost_month(history):
    session = history.month((-1.2, 1.1, -1.6) * 12)
    history.equity(1, 1000.0)
    history.equity(24 * 30, 975.0)
    history.audit(session, 24 * 3, 24 * 4, matched=1, differing=1, unexplained=1)


def a_replay_of_two_days(history):
    history.minutes(history.session(0), 0, 48, late_s=10**6)
    history.trade(3, 1.0)


def other_settings_since_a_week(history):
    history.month()
    history.session(7, "hard_stop.multiplier=3.0", begins=24 * 31)
    history.trade(24 * 33, -1.0)


@pytest.mark.parametrize(
    "happened", [nothing, PaperHistory.month, a_lost_month, a_replay_of_two_days, other_settings_since_a_week]
)
def test_overview_and_api_say_what_the_gate_says_and_write_nothing_down(history, happened):
    happened(history)
    seen, read = overview(history.database), progress(history.database)
    assert seen.verdict is None
    assert read.verdict is None
    assert periods.verdicts(history.database, 1) == []
    told = judge_record(history.database).verdict
    assert seen.gate.outcome == told.outcome
    assert [(s.name, s.outcome, s.need, s.had, s.missing) for s in seen.gate.steps] == [
        (c.name, c.outcome, c.need, c.had, c.missing) for c in told.criteria
    ]
    assert read.met is (told.outcome == "pass")
    met = {"pass": True, "fail": False, "not_yet": None}
    assert [(s.name, s.met) for s in read.steps] == [(c.name, met[c.outcome]) for c in told.criteria]


def test_a_look_knows_the_minute_and_the_trade_that_came_since_the_last_one(history):
    session = history.session(1, ended=False)
    assert overview(history.database).gate.steps[0].had == "1.0 days"
    history.trade(20, -1.0)
    history.minutes(session, 24, 48)
    days, trades, pnl, *_ = overview(history.database).gate.steps
    assert (days.had, trades.had, pnl.had) == ("2.0 days", "1", "-$1.00")
    assert days.share == pytest.approx(2 / 30)


def test_a_session_that_has_not_reached_its_first_bar_is_not_yet_and_no_wrong_use(history):
    begins = round(at(1).timestamp() * 1000)
    session = Journal(history.database).begin(
        {}, ["TST-USDT"], begins, {}, feed="exchange", trades_from_ms=begins + 600_000
    )
    history.minutes(session, 1, 1.1)
    assert overview(history.database).gate.outcome == "not_yet"
    report = judge_record(history.database)
    assert (report.verdict.outcome, report.since) == ("not_yet", None)
    assert "traded a minute yet" in report.notes[0]


# --- who looks again and again ----------------------------------------------------------------------------------------

CHANGES = {
    "it was edited": "UPDATE micro_positions SET pnl_usd = pnl_usd - 7 WHERE id = 3",
    "one trade's P&L went to another": "UPDATE micro_positions SET pnl_usd = CASE id WHEN 3 THEN 2.5 WHEN 1 THEN -0.1 ELSE pnl_usd END",
    "it became another row": "UPDATE micro_positions SET id = id + 1000, pnl_usd = -pnl_usd WHERE id = 2",
    "it was made a copy": "UPDATE micro_positions SET status = 'superseded' WHERE id = 4",
    "it was deleted": "DELETE FROM micro_positions WHERE id = 5",
    "it turned out to be of an outage": "UPDATE micro_positions SET downtime = true WHERE id = 6",
    "all is gone": "DELETE FROM micro_positions",
}


def looked_at_once(history) -> None:
    """Look, and hold what is shown against what the gate judges."""
    seen, verdict = glance(history.database)
    judged = judge_record(history.database)
    assert (seen.trades, seen.pnl.value) == (judged.evidence.trades, judged.evidence.pnl.value)
    assert (seen.data, seen.win_rate_needed) == (judged.evidence.data, judged.evidence.win_rate_needed)
    assert [c.outcome for c in verdict.criteria] == list(outcomes(judged).values())


def test_a_glance_shows_a_position_that_closed_in_the_very_next_answer(history):
    session = history.session(31, ended=False)
    history.audit(session, 0, 24 * 31, matched=5)
    assert glance(history.database)[0].trades == 0
    for number in range(1, 6):
        history.trade(20 * number, 1.0)
        assert glance(history.database)[0].trades == number
        looked_at_once(history)


def test_a_glance_shows_what_was_changed_afterwards(history):
    history.month()
    looked_at_once(history)
    for what, change in CHANGES.items():
        before = glance(history.database)[0]
        with history.database.transaction() as cur:
            cur.execute(change)
        assert glance(history.database)[0] != before, what
        looked_at_once(history)


def test_a_glance_shows_what_was_committed_late_though_it_closed_long_before_others(history):
    history.month()
    looked_at_once(history)
    history.trade(1, -2.0, held=1.0)
    looked_at_once(history)
    other = Database(history.database.variant, history.database.address)
    with other.transaction() as cur:
        cur.execute("UPDATE micro_positions SET pnl_usd = 9 WHERE id = 1")  # an older transaction than the next one
        history.trade(700, 3.0)
        looked_at_once(history)
        assert glance(history.database)[0].pnl.value == pytest.approx(24 * 1.2 - 12 * 1.6 - 2 + 3)
    assert glance(history.database)[0].pnl.value == pytest.approx(24 * 1.2 - 12 * 1.6 - 2 + 3 - 1.2 + 9)
    looked_at_once(history)
    other.close()


def test_a_glance_follows_the_settings_and_the_minutes(history):
    first = history.session(20)
    history.trade(5, 1.0)
    looked_at_once(history)
    history.session(5, "guard.max_open_positions=2", begins=24 * 20)
    assert glance(history.database)[0].trades == 0
    history.trade(24 * 21, -1.0)
    assert glance(history.database)[0].trades == 1
    looked_at_once(history)
    assert first.id


def test_a_glance_brings_what_closed_from_the_database_only_when_it_changed(history, monkeypatch):
    history.month()
    glance(history.database)
    read = []
    whole = periods.marked_closed_positions
    monkeypatch.setattr(periods, "marked_closed_positions", lambda *asked: read.append(1) or whole(*asked))
    for _ in range(3):
        glance(history.database)
    assert not read
    history.trade(600, 1.0)
    for _ in range(3):
        glance(history.database)
    assert len(read) == 1


def test_the_mark_of_what_closed_is_that_of_the_rows_that_come_with_it(history):
    period = (at(0), at(24 * 31))
    assert periods.marked_closed_positions(history.database, *period) == (periods.NO_MARK, [])
    assert periods.closed_mark(history.database, *period) == periods.NO_MARK
    history.month()
    mark, found = periods.marked_closed_positions(history.database, *period)
    assert mark == periods.closed_mark(history.database, *period)
    assert found == periods.closed_positions(history.database, *period)
