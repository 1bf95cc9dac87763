"""What people did is done again in an audit in the order in which they did it, however many acts share a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.db.scripted_store import Script, ScriptedStore
from sigil_ext.rules.types import OperatorAct, ProtectionEvent

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=2)
SYMBOLS = ("TST-USDT", "DOGS-USDT")

breaker_acts = st.sampled_from(("trip", "reset", "pause", "resume"))
protection_acts = st.tuples(st.sampled_from(("lift", "manual_ban", "manual_cooldown")), st.sampled_from(SYMBOLS))
scripts = st.lists(st.tuples(st.integers(0, 3), breaker_acts | protection_acts), max_size=12)


def entry(minute: int, act) -> tuple[int, OperatorAct | ProtectionEvent]:
    at = NOON + timedelta(minutes=minute)
    if isinstance(act, str):
        return minute, OperatorAct(at, "me", act, None, "because")
    kind, symbol = act
    return minute, ProtectionEvent(symbol, at, kind, "me", "because", LATER, LATER, 0)


def do(store: MemoryStore, minute: int, act) -> None:
    how = {"at": NOON + timedelta(minutes=minute), "actor": "me", "reason": "because"}
    if isinstance(act, str):
        getattr(store, act)(**how)
        return
    kind, symbol = act
    if kind == "lift":
        store.lift(symbol, **how)
    elif kind == "manual_ban":
        store.add_ban(symbol, until=LATER, **how)
    else:
        store.add_cooldown(symbol, until=LATER, **how)


@given(scripts)
def test_a_script_leaves_what_its_acts_left_when_they_were_done(drawn) -> None:
    by_hand = MemoryStore("unhinged")
    for minute, act in sorted(drawn, key=lambda one: one[0]):
        do(by_hand, minute, act)
    scripted = ScriptedStore("unhinged", Script(acts=[entry(*one) for one in drawn]))
    for minute in range(4):
        scripted.advance(minute)
    assert scripted.breaker() == by_hand.breaker()
    assert scripted.protections() == by_hand.protections()


def test_a_pause_and_a_resume_before_the_same_minute_leave_entries_open() -> None:
    scripted = ScriptedStore("unhinged", Script(acts=[entry(1, "pause"), entry(1, "resume")]))
    scripted.advance(0)
    assert not scripted.breaker().paused
    scripted.advance(1)
    assert not scripted.breaker().paused
