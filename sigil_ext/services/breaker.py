"""The breaker and the pause by a person's hand: they block entries and nothing else; every act is stored.

Start at `Breakers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sigil_ext.errors import UsageError
from sigil_ext.rules.ports import Store
from sigil_ext.rules.types import Breaker
from sigil_ext.services.protections import actor, utc_now


@dataclass(frozen=True, slots=True)
class Breakers:
    """The breaker of one variant. Each act needs a reason and says whether it changed anything."""

    store: Store
    now: Callable[[], datetime] = utc_now

    def state(self) -> Breaker:
        return self.store.breaker()

    def trip(self, reason: str) -> Breaker:
        """Block entries until a person resets the breaker. Latching: tripped already, the first reason stays."""
        return self.store.trip(at=self.now(), actor=actor(), reason=_demand(reason))

    def reset(self, reason: str) -> Breaker:
        """Let entries through again.

        Raises:
            UsageError: the breaker has not tripped, or no reason is given.
        """
        reason = _demand(reason)
        if not self.store.breaker().tripped:
            raise UsageError(f"the breaker of variant '{self.store.variant}' has not tripped: nothing to reset")
        return self.store.reset(at=self.now(), actor=actor(), reason=reason)

    def pause(self, reason: str) -> Breaker:
        """Block entries until a person resumes."""
        reason = _demand(reason)
        if self.store.breaker().paused:
            raise UsageError(f"variant '{self.store.variant}' is paused already; sigil resume ends it")
        return self.store.pause(at=self.now(), actor=actor(), reason=reason)

    def resume(self, reason: str) -> Breaker:
        """End a pause. A tripped breaker stays tripped."""
        reason = _demand(reason)
        if not self.store.breaker().paused:
            raise UsageError(f"variant '{self.store.variant}' is not paused: nothing to resume")
        return self.store.resume(at=self.now(), actor=actor(), reason=reason)


def _demand(reason: str) -> str:
    if not reason.strip():
        raise UsageError("this needs a reason, it is stored with the act: --reason '...'")
    return reason.strip()
