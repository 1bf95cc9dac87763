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
