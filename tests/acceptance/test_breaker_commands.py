"""`sigil breaker`, `pause` and `resume` as a person uses them, and uses them wrongly."""

from __future__ import annotations

import getpass
import json

import pytest

from sigil_ext.services.database import open_store


@pytest.fixture
def said(sigil, server):
    def run(*arguments: str, status: int = 0):
        ran = sigil(*arguments, "--json", project=server)
        assert ran.status == status, ran
        return json.loads(ran.out)

    return run


@pytest.fixture
def refused(sigil, server):
    def run(*arguments: str) -> str:
        ran = sigil(*arguments, project=server)
        assert (ran.status, ran.out) == (2, ""), ran
        assert len(ran.err.strip().splitlines()) == 1
        return ran.err

    return run


def test_a_trip_blocks_until_it_is_reset_and_keeps_its_first_reason(said, server):
    assert said("breaker", "status", "--variant", "moderate")["moderate"]["entries_blocked"] is False
    first = said("breaker", "trip", "--variant", "moderate", "--reason", "odd fills")["moderate"]
    assert (first["tripped"], first["reason"]) == (True, "odd fills")
    assert first["tripped_by"].startswith(getpass.getuser())
    assert said("breaker", "trip", "--variant", "moderate", "--reason", "later")["moderate"]["reason"] == "odd fills"
    assert said("breaker", "status", "--variant", "moderate", status=1)["moderate"]["tripped"] is True
    assert said("breaker", "reset", "--variant", "moderate", "--reason", "looked")["moderate"]["tripped"] is False
    assert [act.act for act in open_store("moderate", server).acts()][-1] == "reset"


def test_a_pause_of_all_is_ended_for_all(said):
    assert all(s["paused"] for s in said("pause", "--all", "--reason", "exchange maintenance").values())
    assert set(said("breaker", "status", "--all", status=1)) == {"baseline", "moderate", "aggressive", "unhinged"}
    assert not any(s["entries_blocked"] for s in said("resume", "--all", "--reason", "over").values())


ALL = ("baseline", "moderate", "aggressive", "unhinged")


@pytest.mark.parametrize(
    ("before", "act", "back", "key", "wanted", "note"),
    [
        (["pause"], ["pause"], ["resume"], "paused", True, "note: baseline is paused already"),
        (
            ["breaker", "trip"],
            ["breaker", "trip"],
            ["breaker", "reset"],
            "tripped",
            True,
            "note: baseline is tripped already",
        ),
    ],
)
def test_one_that_stands_so_already_keeps_none_of_the_others_from_the_act(
    said, sigil, server, before, act, back, key, wanted, note
):
    said(*before, "--variant", "baseline", "--reason", "first")
    ran = sigil(*act, "--all", "--reason", "all of them", project=server)
    assert (ran.status, note in ran.err) == (0, True), ran
    now = said("breaker", "status", "--all", status=1)
    assert [now[name][key] for name in ALL] == [wanted] * 4
    assert "first" in (now["baseline"]["reason"], now["baseline"]["pause_reason"])
    said(*back, "--variant", "moderate", "--reason", "this one first")
    ran = sigil(*back, "--all", "--reason", "the rest", project=server)
    assert (ran.status, "note: moderate" in ran.err) == (0, True), ran
    assert not any(state["entries_blocked"] for state in said("breaker", "status", "--all").values())
    assert sigil(*back, "--all", "--reason", "again", project=server).status == 0


def test_a_database_out_of_reach_keeps_none_of_the_others_from_the_act(sigil, server, monkeypatch):
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", "postgresql://nobody:secret@127.0.0.1:9")
    ran = sigil("pause", "--all", "--reason", "maintenance", "--json", project=server)
    assert ran.status == 1
    assert ran.err.startswith("error: 1 of 4 not paused: baseline: no server answers for the database 'sigil'"), ran.err
    assert {name: state["paused"] for name, state in json.loads(ran.out).items()} == dict.fromkeys(ALL[1:], True)
    assert sigil("breaker", "status", "--all", project=server).err.startswith("error: 1 of 4 not known: baseline")
    assert sigil("resume", "--all", "--reason", "over", project=server).status == 1
    monkeypatch.delenv("SIGIL_DATABASE_URL_BASELINE")
    assert sigil("breaker", "status", "--all", project=server).status == 0


def test_a_misspelt_variant_stops_the_act_before_it_begins(said, refused):
    assert "unhnged" in refused("pause", "--variant", "moderate", "--variant", "unhnged", "--reason", "x")
    assert said("breaker", "status", "--variant", "moderate")["moderate"]["paused"] is False


def test_a_pause_says_who(said, sigil, server):
    state = said("pause", "--variant", "aggressive", "--reason", "lunch")["aggressive"]
    assert state["paused_by"].startswith(f"{getpass.getuser()}@")
    shown = sigil("breaker", "status", "--variant", "aggressive", project=server).out
    assert f"{getpass.getuser()}@" in shown
    said("resume", "--variant", "aggressive", "--reason", "back")


def test_people_get_a_table(sigil, server):
    ran = sigil("breaker", "status", "--all", project=server)
    assert (ran.status, ran.err) == (0, "")
    for word in ("baseline", "unhinged", "open", "armed"):
        assert word in ran.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["breaker", "status"], "--variant"),
        (["breaker", "trip", "--variant", "baseline"], "--reason"),
        (["breaker", "trip", "--variant", "baseline", "--reason", "  "], "reason"),
        (["breaker", "reset", "--variant", "baseline", "--reason", "x"], "not tripped"),
        (["resume", "--variant", "baseline", "--reason", "x"], "not paused"),
        (["breaker", "trip", "--variant", "basline", "--reason", "x"], "baseline"),
        (["pause", "--variant", "legacy", "--reason", "x"], "research"),
    ],
)
def test_wrong_use_gets_one_sentence(refused, arguments, word):
    assert word in refused(*arguments)
