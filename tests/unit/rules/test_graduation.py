from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.rules.graduation import (
    CRITERIA,
    AuditFigures,
    DataFigures,
    Evidence,
    Interval,
    Thresholds,
    judge,
)

GOOD = Evidence(
    days=31.0,
    trades=40,
    pnl=Interval(12.0, 3.0, 20.0),
    marked_usd=11.0,
    win_rate=Interval(0.7, 0.55, 0.82),
    win_rate_needed=0.6,
    audits=AuditFigures(matched=40, covered_share=1.0),
    data=DataFigures(observed_share=0.99, longest_hole_hours=0.5, candles=400_000),
)


def outcomes(evidence: Evidence) -> dict[str, str]:
    return {c.name: c.outcome for c in judge(evidence).criteria}


def test_evidence_that_holds_in_everything_passes_and_is_sure():
    verdict = judge(GOOD)
    assert (verdict.outcome, verdict.sure, verdict.missing) == ("pass", True, ())
    assert [c.name for c in verdict.criteria] == list(CRITERIA)


@pytest.mark.parametrize(
    ("changed", "criterion", "outcome"),
    [
        ({"days": 29.99}, "days", "not_yet"),
        ({"trades": 29}, "trades", "not_yet"),
        ({"pnl": Interval(0.0, -5.0, 5.0)}, "pnl", "fail"),
        ({"marked_usd": 0.0}, "pnl", "fail"),
        ({"win_rate": Interval(0.5, 0.4, 0.6)}, "win_rate", "fail"),
        ({"win_rate": None}, "win_rate", "not_yet"),
        ({"audits": AuditFigures(matched=40, covered_share=0.94)}, "audits", "not_yet"),
        ({"audits": AuditFigures(matched=40, covered_share=1.0, failed=(3,))}, "audits", "fail"),
        ({"audits": AuditFigures(matched=94, differing=6, covered_share=1.0)}, "drift", "fail"),
        ({"audits": AuditFigures(covered_share=1.0)}, "drift", "not_yet"),
        ({"audits": AuditFigures(matched=40, covered_share=1.0, drift_usd=12.0)}, "pnl", "fail"),
        ({"data": replace(GOOD.data, observed_share=0.949)}, "data", "fail"),
        ({"data": replace(GOOD.data, longest_hole_hours=24.1)}, "data", "fail"),
        ({"data": replace(GOOD.data, downtime_trades=3)}, "data", "fail"),
        ({"data": replace(GOOD.data, faulty=4001)}, "data", "fail"),
    ],
)
def test_one_thing_that_is_not_there_alone_keeps_a_variant_back_and_is_named(changed, criterion, outcome):
    evidence = replace(GOOD, **changed)
    assert outcomes(evidence)[criterion] == outcome
    assert {n for n, o in outcomes(evidence).items() if o != "pass"} == {criterion}
    verdict = judge(evidence)
    assert verdict.outcome == outcome
    assert len(verdict.missing) == 1
    assert verdict.missing[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"days": 30.0},
        {"trades": 30},
        {"pnl": Interval(0.01, -5.0, 5.0)},
        {"win_rate": Interval(0.501, 0.3, 0.7)},
        {"audits": AuditFigures(matched=95, differing=5, covered_share=0.95)},
        {"data": DataFigures(0.95, 24.0, 2, 4000, 400_000)},
        {"marked_usd": None},
    ],
)
def test_exactly_enough_is_enough(changed):
    assert judge(replace(GOOD, **changed)).outcome == "pass"


def test_what_falls_short_before_the_days_are_there_may_still_change():
    early = replace(GOOD, days=12.0, pnl=Interval(-3.0), win_rate=Interval(0.3), marked_usd=-3.0)
    assert judge(early).outcome == "not_yet"
    assert judge(replace(early, days=30.0)).outcome == "fail"


def test_a_failed_audit_fails_on_the_first_day():
    first = replace(GOOD, days=1.0, trades=1, audits=AuditFigures(matched=1, failed=(1,), covered_share=1.0))
    assert judge(first).outcome == "fail"


@given(
    days=st.floats(0, 400), trades=st.integers(0, 5000), pnl=st.floats(-1e4, 1e4), marked=st.floats(-1e4, 1e4),
    rate=st.floats(0, 1), covered=st.floats(0, 1), matched=st.integers(0, 500), differing=st.integers(0, 500),
    failed=st.booleans(), observed=st.floats(0, 1), drift=st.floats(-100, 100),
)  # fmt: skip
def test_a_pass_means_that_every_threshold_of_the_page_is_met(
    days, trades, pnl, marked, rate, covered, matched, differing, failed, observed, drift
):
    audits = AuditFigures(matched, differing, (1,) if failed else (), covered, drift)
    evidence = Evidence(
        days, trades, Interval(pnl), marked, Interval(rate), None, audits, replace(GOOD.data, observed_share=observed)
    )
    if judge(evidence).outcome == "pass":
        need = Thresholds()
        assert not failed
        assert days >= 30
        assert trades >= 30
        assert min(pnl, marked) > 0
        assert pnl - max(0.0, drift) > 0
        assert rate > 0.5
        assert covered >= need.audited_share
        assert differing <= need.drift_share * (matched + differing)
        assert observed >= need.observed_share


@given(st.floats(0, 60), st.floats(0, 60))
def test_more_days_never_turn_a_pass_into_something_else(days, more):
    if judge(replace(GOOD, days=days)).outcome == "pass":
        assert judge(replace(GOOD, days=days + more)).outcome == "pass"
