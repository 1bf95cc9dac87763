"""A memory that begins as a paper session found its database, and in which people do again what they did then.

For the audit: a backtest on it decides under the same breaker, pause and protections as paper did. Start at `ScriptedStore`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sigil_ext.db.memory_store import MemoryStore
from sigil_ext.rules.types import Breaker, OperatorAct, Protection, ProtectionEvent


@dataclass(frozen=True, slots=True)
class Script:
    """State at the start, and (ms, act), those of one `ms` in their order: each is in force from the bar that closes then on."""

    breaker: Breaker = field(default_factory=Breaker)
    protections: tuple[Protection, ...] = ()
    acts: Sequence[tuple[int, OperatorAct | ProtectionEvent]] = ()


class ScriptedStore(MemoryStore):
    """One variant's memory for the length of an audit."""

    def __init__(self, variant: str, script: Script) -> None:
        super().__init__(variant)
        self._breaker = script.breaker
        self._protections = {p.symbol: p for p in script.protections}
        # Stable: of a pause and a resume before the same minute the resume is the last word.
        self._waiting = deque(sorted(script.acts, key=lambda entry: entry[0]))

    def advance(self, now_ms: int) -> None:
        """Do what was done up to `now_ms`."""
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, act = self._waiting.popleft()
            if isinstance(act, ProtectionEvent):
                self._do_protection(act)
            else:
                self._do(act)

    def _do(self, act: OperatorAct) -> None:
        match act.act:
            case "trip":
                self.trip(at=act.at, actor=act.actor, reason=act.reason)
            case "reset":
                self.reset(at=act.at, actor=act.actor, reason=act.reason)
            case "pause":
                self.pause(at=act.at, actor=act.actor, reason=act.reason)
            case "resume":
                self.resume(at=act.at, actor=act.actor, reason=act.reason)

    def _do_protection(self, event: ProtectionEvent) -> None:
        who = {"at": event.at, "actor": event.actor, "reason": event.reason}
        if event.kind == "lift":
            self.lift(event.symbol, **who)  # type: ignore[arg-type]
        elif event.kind == "manual_ban" and event.ban_until is not None:
            self.add_ban(event.symbol, until=event.ban_until, **who)  # type: ignore[arg-type]
        elif event.kind == "manual_cooldown" and event.expires_at is not None:
            self.add_cooldown(event.symbol, until=event.expires_at, **who)  # type: ignore[arg-type]
