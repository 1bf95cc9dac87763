"""The breaker and the pause by a person's hand: they block entries and nothing else; every act is stored.

Start at `Breakers` for one variant, at `act_on` for several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sigil_ext.db.common import storable
from sigil_ext.errors import DatabaseUnavailable, LockHeld, MigrationError, SettingsError, SigilError, UsageError
from sigil_ext.rules.ports import Store
from sigil_ext.rules.types import Breaker
from sigil_ext.services.database import open_store
from sigil_ext.services.protections import actor, utc_now

Act = Literal["trip", "reset", "pause", "resume"]


@dataclass(frozen=True, slots=True)
class Breakers:
    """The breaker of one variant. Each act needs a reason and says whether it changed anything."""

    store: Store
    now: Callable[[], datetime] = utc_now

    def state(self) -> Breaker:
        return self.store.breaker()

    def trip(self, reason: str) -> Breaker:
        """Block entries until a person resets the breaker. Latching: tripped already, the first reason stays."""
        return self.store.trip(at=self.now(), actor=actor(), reason=demand_reason(reason))

    def reset(self, reason: str) -> Breaker:
        """Let entries through again.

        Raises:
            UsageError: the breaker has not tripped, or no reason is given.
        """
        reason = demand_reason(reason)
        if not self.store.breaker().tripped:
            raise UsageError(f"the breaker of variant '{self.store.variant}' has not tripped: nothing to reset")
        return self.store.reset(at=self.now(), actor=actor(), reason=reason)

    def pause(self, reason: str) -> Breaker:
        """Block entries until a person resumes."""
        reason = demand_reason(reason)
        if self.store.breaker().paused:
            raise UsageError(f"variant '{self.store.variant}' is paused already; sigil resume ends it")
        return self.store.pause(at=self.now(), actor=actor(), reason=reason)

    def resume(self, reason: str) -> Breaker:
        """End a pause. A tripped breaker stays tripped."""
        reason = demand_reason(reason)
        if not self.store.breaker().paused:
            raise UsageError(f"variant '{self.store.variant}' is not paused: nothing to resume")
        return self.store.resume(at=self.now(), actor=actor(), reason=reason)


# act -> its method, whether it would change nothing, how that is said, how it is said of what could not be reached
_ACTS: dict[Act, tuple[Callable[[Breakers, str], Breaker], Callable[[Breaker], bool], str, str]] = {
    "trip": (Breakers.trip, lambda s: s.tripped, "is tripped already; its first reason stays", "tripped"),
    "reset": (Breakers.reset, lambda s: not s.tripped, "has not tripped: nothing to reset", "reset"),
    "pause": (Breakers.pause, lambda s: s.paused, "is paused already", "paused"),
    "resume": (Breakers.resume, lambda s: not s.paused, "is not paused: nothing to resume", "resumed"),
}


@dataclass(slots=True)
class Outcome:
    """How the variants stand, which were so before the act, and which could not be reached."""

    states: dict[str, Breaker] = field(default_factory=dict)
    already: dict[str, str] = field(default_factory=dict)
    failed: dict[str, SigilError] = field(default_factory=dict)

    def refusal(self, what: str) -> SigilError | None:
        """Return the error that the unreachable ones add up to, None without any. `what`: "paused"."""
        if not self.failed:
            return None
        if not self.states and len({str(error) for error in self.failed.values()}) == 1:
            return next(iter(self.failed.values()))
        told = "; ".join(f"{name}: {error}" for name, error in self.failed.items())
        return SigilError(f"{len(self.failed)} of {len(self.failed) + len(self.states)} not {what}: {told}")


_APART = (DatabaseUnavailable, MigrationError, SettingsError, LockHeld)  # of one database; the others can be acted on


def look_at(names: Sequence[str]) -> Outcome:
    """Return how `names` stand.

    Raises:
        UsageError: one of them is unknown or for research only.
    """
    return _each(names, lambda breakers, outcome: breakers.state())


def act_on(names: Sequence[str], act: Act, reason: str) -> Outcome:
    """Do `act` on each of `names`: one that stands so already, or cannot be reached, keeps none of the others from it.

    Raises:
        UsageError: one of them is unknown or for research only, or there is no reason: nothing was done; or a single one
            was named and stands so already.
    """
    reason = demand_reason(reason)
    run, stands, sentence, _ = _ACTS[act]

    def do(breakers: Breakers, outcome: Outcome) -> Breaker:
        state = breakers.state()
        if not stands(state) or (len(names) == 1 and act != "trip"):
            return run(breakers, reason)
        outcome.already[breakers.store.variant] = sentence
        return state

    return _each(names, do)


def said_of(act: Act) -> str:
    """Return the participle of `act`."""
    return _ACTS[act][3]


def _each(names: Sequence[str], do: Callable[[Breakers, Outcome], Breaker]) -> Outcome:
    outcome = Outcome()
    stores: dict[str, Store] = {}
    for name in names:  # all are opened before the first act: a misspelt one must not leave half of it done
        try:
            stores[name] = open_store(name)
        except _APART as error:
            outcome.failed[name] = error
    for name, store in stores.items():
        try:
            outcome.states[name] = do(Breakers(store), outcome)
        except _APART as error:
            outcome.failed[name] = error
    return outcome


def demand_reason(reason: str) -> str:
    """Return the reason as it can be stored.

    Raises:
        UsageError: there is none.
    """
    if not reason.strip():
        raise UsageError("this needs a reason, it is stored with the act: --reason '...'")
    return storable(reason)
