"""The scripts of benchmarks/chaos in a short form: a session is killed, loses its database, meets another; nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos import database, kills, live, load, people, races
from benchmarks.chaos.common import Verdict
from benchmarks.chaos.reference import Undisturbed, undisturbed

PERIOD = ["--start", "2025-06-18T00:00", "--finish", "2025-06-18T15:00"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A session that nobody touched: fifteen hours of the bundled candles."""
    found = undisturbed(tmp_path_factory.mktemp("chaos") / "alone", kills.parse(PERIOD))
    assert len(found.trades) >= 8
    assert len({trade["exit_reason"] for trade in found.trades}) >= 3
    return found


def test_a_session_killed_anywhere_makes_the_trades_and_rows_of_one_left_alone(left_alone, tmp_path):
    verdict = Verdict("kills")
    kills.disturb(kills.parse([*PERIOD, "--kills", "6", "--preloaded"]), tmp_path, left_alone, verdict)
    assert verdict.failed == []
    assert verdict.figures["kills"] == 6


def test_a_session_waits_for_its_database_however_it_went_away(left_alone, tmp_path):
    verdict = Verdict("database")
    # At a pace: as fast as it goes, fifteen hours are four commits, and over before the last restart.
    options = database.parse([*PERIOD, "--restarts", "4", "--outage", "2", "--speed", "3000"])
    database.disturb(options, tmp_path, left_alone, verdict)
    assert verdict.failed == []
    assert set(verdict.figures["restarts"]) == set(database.KINDS)


def test_a_live_session_goes_on_with_its_exits_while_the_database_is_away_and_enters_nothing(left_alone, tmp_path):
    verdict = Verdict("live")
    live.disturb(
        live.parse([*PERIOD, "--outages", "1", "--minutes", "60", "--speed", "3000"]), tmp_path, left_alone, verdict
    )
    assert verdict.failed == []


def test_of_two_sessions_of_a_variant_one_goes_on_whoever_was_first(left_alone, tmp_path):
    verdict = Verdict("races")
    races.disturb(races.parse([*PERIOD, "--starts", "1", "--short", "--preloaded"]), tmp_path, left_alone, verdict)
    assert verdict.failed == []


def test_what_people_do_to_a_session_that_dies_meanwhile_is_the_only_difference_to_the_backtest(tmp_path):
    verdict = Verdict("people")
    people.disturb(people.parse([*PERIOD, "--acts", "14", "--preloaded"]), tmp_path, verdict)
    assert verdict.failed == []
    assert sum(verdict.figures["acts"].values()) == 14


def test_the_load_script_measures_a_session(tmp_path, capsys):
    figures = tmp_path / "figures.json"
    load.main(
        ["latency", "--symbols", "12", "--minutes", "60", "--keep", str(tmp_path / "load"), "--json", str(figures)]
    )
    assert Path(figures).exists()
    assert '"hour closes (scan)"' in figures.read_text()
