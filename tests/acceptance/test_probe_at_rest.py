"""Sessions of which nothing is expected: a recording of one's own that ended, a name that a person retired. All else stays
a finding."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sigil_ext.db import migrate
from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat, SessionState
from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.queries import fetch
from sigil_ext.settings.overlays import TRADED_VARIANTS
from sigil_ext.settings.project import Project

ROOT = Path(__file__).resolve().parents[2]
LONG_AGO = timedelta(minutes=40)


class Shop:
    """The four that trade, alive, in one database, and `mine`, a session of a person's own, in another."""

    def __init__(self, project: Project, four: Database, mine: Database, sigil: Callable[..., Any]) -> None:
        self.project = project
        self.four = four
        self.database = mine
        self.store = PostgresStore(self.database)
        self._sigil = sigil
        for database in (four, mine):
            with database.transaction() as cur:
                cur.execute(
                    "INSERT INTO paper_sessions (started_at, settings, symbols, start_ms, warmup)"
                    " VALUES (now() - interval '1 hour', '{}', '{}', 0, '')"
                )
        for name in TRADED_VARIANTS:
            self.leave(name, "running", "replay")

    def leave(self, name: str, state: SessionState, feed: str, ago: timedelta = timedelta()) -> None:
        """Let the session `name` have done its last work on `feed` so long ago, and be in `state` since."""
        database = self.database if name == "mine" else Database(name, self.four.address)
        heart = Heartbeat(database)
        heart.scan_started()
        heart.scan_ended()
        heart.progress(0, session_id=1, feed=feed)
        heart.state(state, session_id=1, feed=feed)
        with database.transaction() as cur:
            cur.execute(
                "UPDATE scanner_heartbeat SET last_scan_start = last_scan_start - %(a)s, last_scan_end = last_scan_end - %(a)s,"
                " updated_at = updated_at - %(a)s, last_write = last_write - %(a)s WHERE variant_id = %(name)s",
                {"a": ago, "name": name},
            )

    def run(self, *arguments: str) -> Any:
        return self._sigil(*arguments, project=self.project)

    def look(self, name: str = "mine", *options: str, status: int) -> dict[str, Any]:
        """Run the probe; return what it says of `name`."""
        ran = self.run("probe", "--json", *options)
        assert ran.status == status, ran.out
        return dict(json.loads(ran.out)["variants"][name])

    def execute(self, statement: str, arguments: Any = None) -> None:
        with self.database.transaction() as cur:
            cur.execute(statement, arguments)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return fetch(self.database, query)

    def alerts(self) -> list[str]:
        return [title for (title,) in self.rows("SELECT title FROM alerts ORDER BY id")]


@pytest.fixture
def shop(
    database: Database,
    new_database: Callable[..., Database],
    sigil: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Shop]:
    home = tmp_path / "own"
    shutil.copytree(ROOT / "overlays", home / "overlays")
    (home / "overlays" / "mine.yaml").write_text("hard_stop:\n  multiplier: 2.0\n")
    (home / "migrations").symlink_to(ROOT / "migrations")
    mine = new_database("mine")
    migrate.up(mine, ROOT / "migrations")
    for name in TRADED_VARIANTS:
        monkeypatch.setenv(f"SIGIL_DATABASE_URL_{name.upper()}", database.address.url().get_secret_value())
    monkeypatch.setenv("SIGIL_DATABASE_URL_MINE", mine.address.url().get_secret_value())
    yield Shop(Project(home, home / "storage"), database, mine, sigil)
    mine.close()


def kinds(look: dict[str, Any]) -> list[str]:
    return [finding["kind"] for finding in look["findings"]]


def test_a_recording_of_ones_own_that_ended_is_shown_and_is_no_finding(shop: Shop) -> None:
    shop.leave("mine", "ended", "replay", LONG_AGO)
    look = shop.look(status=0)
    assert look["rests"].startswith("its recording ended at ")
    assert (look["alive"], look["findings"], look["breaker"]["tripped"]) == (False, [], False)
    assert shop.alerts() == []
    table = shop.run("probe")
    assert table.status == 0
    assert "rests" in table.out
    assert "mine: its recording ended at" in table.out
    status = shop.run("status", "--variant", "mine", "--json")
    assert status.status == 0, status.out
    assert '"life": "ended"' in status.out


def test_it_is_a_finding_to_who_asks_for_it_by_name_and_the_incident_ends_without_a_word_of_well(shop: Shop) -> None:
    shop.leave("mine", "ended", "replay", LONG_AGO)
    named = shop.look("mine", "--variant", "mine", "--no-trip", status=1)
    assert kinds(named) == ["stopped"]
    assert shop.look(status=0)["told"] == ["probe: nothing is expected of it any more"]
    assert shop.look(status=0)["told"] == []


@pytest.mark.parametrize(
    ("name", "state", "feed", "found"),
    [
        ("mine", "ended", "exchange", ["stopped"]),
        ("mine", "ended", "redis", ["stopped"]),
        ("mine", "stopped", "replay", ["stopped"]),
        ("mine", "running", "replay", ["scan_stale", "progress_stale"]),
        ("baseline", "ended", "replay", ["stopped"]),
    ],
)
def test_whatever_else_is_silent_stays_a_finding(
    shop: Shop, name: str, state: SessionState, feed: str, found: list[str]
) -> None:
    shop.leave(name, state, feed, LONG_AGO)
    look = shop.look(name, status=1)
    assert (kinds(look), look["rests"], look["breaker"]["tripped_now"]) == (found, None, True)


def test_a_name_that_was_ever_on_a_live_feed_is_expected_back_after_a_recording(shop: Shop) -> None:
    shop.execute("UPDATE paper_sessions SET feed = 'exchange'")
    shop.leave("mine", "ended", "replay", LONG_AGO)
    assert kinds(shop.look(status=1)) == ["stopped"]


def test_an_ended_recording_written_in_the_future_is_a_moved_clock_all_the_same(shop: Shop) -> None:
    shop.leave("mine", "ended", "replay", -LONG_AGO)
    assert kinds(shop.look(status=1)) == ["clock"]


@pytest.mark.parametrize("state", ["stopped", "ended", "running"])
def test_a_person_retires_a_live_name_and_it_is_expected_again_once_it_beats(shop: Shop, state: SessionState) -> None:
    shop.leave("mine", state, "exchange", LONG_AGO)
    shop.look("mine", "--no-trip", status=1)
    done = shop.run("probe", "--retire", "mine", "--reason", "it lost to the others")
    assert done.status == 0, done.err
    (act,) = shop.store.acts()
    assert (act.act, act.reason) == ("retire", "it lost to the others")
    look = shop.look(status=0)
    assert look["rests"].startswith("retired at ")
    assert look["told"] == ["probe: nothing is expected of it any more"]
    status = shop.run("status", "--variant", "mine", "--json")
    assert (status.status, '"problems": []' in status.out) == (0, True), status.out
    shop.leave("mine", "running", "exchange")
    shop.execute("UPDATE operator_acts SET at = at - interval '2 hours'")
    shop.leave("mine", "running", "exchange", LONG_AGO)
    assert kinds(shop.look(status=1)) == ["scan_stale", "progress_stale"]


def test_what_runs_holds_positions_or_trades_by_right_cannot_be_retired(shop: Shop) -> None:
    def refused(name: str, *more: str) -> str:
        ran = shop.run("probe", "--retire", name, *(more or ("--reason", "enough")))
        assert ran.status == 2
        return str(ran.err)

    assert "always expects a session" in refused("baseline")
    assert "did you mean 'mine'" in refused("mime")
    assert "never began" in refused("mine")
    shop.leave("mine", "stopped", "exchange", LONG_AGO)
    assert "this needs a reason" in refused("mine", "--reason", " ")
    assert "does not look" in refused("mine", "--reason", "enough", "--json")
    shop.execute("INSERT INTO micro_positions (symbol, qty, entry_price, variant_id) VALUES ('TSTUSDT', 1, 1, 'mine')")
    assert "sigil flatten --variant mine" in refused("mine")
    link = Journal(shop.database).lock()
    try:
        assert "stop it first" in refused("mine")
    finally:
        link.close()
    assert shop.store.acts() == ()
    assert "belongs to --retire" in str(shop.run("probe", "--reason", "enough").err)
