"""Laws of the stores under any sequence of operations, and the same answers from both."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigil_ext.db.connection import Database
from sigil_ext.db.locks import lock_key
from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import UsageError
from sigil_ext.rules.ports import Store
from sigil_ext.rules.types import EXIT_REASONS, Entered, Entry, Exit, Signal
from sigil_ext.settings.models import BanSettings

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SYMBOLS = ("TST-USDT", "DOGS-USDT", "1000SATS-USDT", "AT-USD")
TABLES = (
    "signals, paper_positions, micro_positions, symbol_protections, system_state, protection_events, operator_acts, "
    "universe_scans, universe_rows, refusals, superseded_positions"
)

hours = st.integers(0, 400).map(lambda quarters: timedelta(minutes=15 * quarters))
prices = st.floats(1e-8, 1e5, allow_nan=False)
symbols = st.sampled_from(SYMBOLS)
bans = st.builds(
    lambda after, window, base, more: BanSettings.model_validate(
        {"after": after, "window": timedelta(hours=window), "base_hours": base, "max_hours": base + more}
    ),
    st.integers(0, 3), st.integers(1, 200), st.integers(1, 48), st.integers(0, 200),
)  # fmt: skip

enters = st.tuples(
    st.just("enter"), symbols, prices, st.floats(1e-6, 1e6), st.none() | hours, st.integers(1, 4), st.booleans()
)
leaves = st.tuples(
    st.just("leave"), st.integers(1, 6), symbols, prices, st.sampled_from(EXIT_REASONS), st.none() | hours
)
stops = st.tuples(st.just("move"), st.integers(1, 6), prices, prices)
increases = st.tuples(st.just("increase"), st.integers(1, 6), prices, st.floats(1e-6, 1e6))
acts = st.tuples(st.sampled_from(["add_cooldown", "add_ban"]), symbols, hours)
lifts = st.tuples(st.just("lift"), symbols)
switches = st.tuples(st.sampled_from(["trip", "reset", "reset", "pause", "resume", "resume"]))
refusals = st.tuples(st.just("count"), symbols, st.sampled_from(["cooldown", "ban"]), st.booleans())
operations = st.tuples(
    hours, st.one_of(enters, enters, leaves, leaves, stops, increases, acts, lifts, switches, refusals)
)


class Replayed:
    """Applies drawn operations to a store; positions are named by the order in which they were opened."""

    def __init__(self, store: Store, ban: BanSettings) -> None:
        self.store = store
        self.ban = ban
        self.numbers: list[int] = []

    def __call__(self, at: datetime, operation: tuple[Any, ...]) -> Any:
        try:
            return self._apply(at, *operation)
        except UsageError:
            return "refused in words"

    def _apply(self, at: datetime, name: str, *args: Any) -> Any:
        who = {"at": at, "actor": "eva", "reason": "law"}
        if name == "enter":
            symbol, price, qty, cooldown, most, signal = args
            entry = Entry(
                symbol, at, price, qty, price * qty, price * 0.97, 3.0, None, 1.5, False, 4,
                at + cooldown if cooldown is not None else None, most,
                Signal(symbol, at, "breakout", price, price, 2.0, 60.0) if signal else None,
            )  # fmt: skip
            outcome = self.store.enter(entry)
            if isinstance(outcome, Entered):
                self.numbers.append(outcome.position_id)
                return "entered"
            return outcome
        if name == "leave":
            which, symbol, price, reason, cooldown = args
            until = at + cooldown if cooldown is not None else None
            return self.store.close(Exit(self._number(which), symbol, at, price, reason, 0.1, -1.0), self.ban, until)
        if name == "move":
            which, stop, high = args
            return self.store.move_stop(self._number(which), at=at, stop_price=stop, high_water=high)
        if name == "increase":
            which, price, qty = args
            return self.store.increase(self._number(which), at=at, price=price, qty=qty, stop_price=price / 2)
        if name == "count":
            symbol, reason, signal = args
            return self.store.count_refusal(symbol, reason, at=at, signal=signal)
        if name in ("add_cooldown", "add_ban"):
            symbol, length = args
            return getattr(self.store, name)(symbol, until=at + length, **who)
        return getattr(self.store, name)(*args, **who)

    def _number(self, which: int) -> int:
        return self.numbers[which - 1] if which <= len(self.numbers) else 10**6

    def everything(self) -> dict[str, Any]:
        store = self.store
        order = {number: place for place, number in enumerate(self.numbers)}
        return {
            "open": sorted((replace(p, id=order[p.id]) for p in store.open_positions()), key=lambda p: p.id),
            "on": [store.open_position(s) is not None for s in SYMBOLS],
            "protections": store.protections(),
            "each": [store.protection(s) for s in SYMBOLS],
            "history": [list(store.protection_history(s)) for s in SYMBOLS],
            "breaker": store.breaker(),
            "acts": list(store.acts()),
            "signals": sorted(store.signals(), key=lambda row: (row[0].at, row[0].symbol)),
            "refusals": store.refusals(),
            "known": store.known_symbols(),
        }


def clean(database: Database) -> PostgresStore:
    with database.transaction() as cur:
        cur.execute(f"TRUNCATE {TABLES}")
    return PostgresStore(database)


several = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@several
@given(bans, st.lists(operations, min_size=1, max_size=25))
def test_any_sequence_of_operations_gives_the_same_answers_from_both_stores(database, ban, drawn):
    ours, theirs = Replayed(MemoryStore("baseline"), ban), Replayed(clean(database), ban)
    at = NOON
    for passed, operation in drawn:
        at += passed
        assert ours(at, operation) == theirs(at, operation), operation
    assert ours.everything() == theirs.everything()


@pytest.mark.parametrize("kind", ["memory", "postgres"])
@several
@given(bans, st.lists(operations, min_size=1, max_size=25))
def test_no_write_but_a_lift_shortens_a_bar_and_only_a_hard_stop_touches_the_count(database, kind, ban, drawn):
    replayed = Replayed(MemoryStore("baseline") if kind == "memory" else clean(database), ban)
    at = NOON
    for passed, operation in drawn:
        at += passed
        before = {p.symbol: p for p in replayed.store.protections()}
        replayed(at, operation)
        after = {p.symbol: p for p in replayed.store.protections()}
        assert before.keys() <= after.keys()
        for symbol, old in before.items():
            new = after[symbol]
            assert new.created_at == old.created_at
            if operation[0] != "lift":
                assert old.expires_at is None or (new.expires_at is not None and new.expires_at >= old.expires_at)
                assert old.ban_until is None or (new.ban_until is not None and new.ban_until >= old.ban_until)
            if operation[0] != "leave":
                assert (new.violation_count, new.last_violation_at) == (old.violation_count, old.last_violation_at)
            assert new.violation_count > 0 or old.violation_count == 0
        held = replayed.store.open_positions()
        assert len({p.symbol for p in held}) == len(held)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_lock_key_is_64_bits_and_tells_variants_and_symbols_apart(variant, symbol, other_variant, other_symbol):
    key = lock_key(variant, symbol)
    assert -(2**63) <= key < 2**63
    assert key == lock_key(variant, symbol)
    if "\0" not in variant + symbol + other_variant + other_symbol and (variant, symbol) != (
        other_variant,
        other_symbol,
    ):
        assert key != lock_key(other_variant, other_symbol)


def test_a_lock_key_is_the_same_in_every_process_and_version():
    assert lock_key("baseline", "TSTUSDT") == -7334420321110811047
    assert lock_key("baseline") == -1457587676054587634
