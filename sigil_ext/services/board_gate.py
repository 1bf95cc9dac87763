"""How far a variant is from graduation, for the panel and the API: what `sigil gate` would say now, criterion by criterion.

Nothing is judged here: `services/gate.py` does, by `rules/graduation.py`. Start at `progress_of`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sigil_ext.db.connection import Database
from sigil_ext.rules.graduation import Criterion, Evidence, Outcome, Thresholds
from sigil_ext.services.gate import glance

_MET = {"pass": True, "fail": False, "not_yet": None}


@dataclass(frozen=True, slots=True)
class GateStep:
    """One criterion of the gate. `share` 0..1 of the way there, of what grows by itself; None of the others."""

    name: str
    outcome: Outcome
    need: str
    had: str
    missing: str
    share: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether it passes, None: not yet."""
        return _MET[self.outcome]

    @property
    def said(self) -> str:
        return f"{self.name.replace('_', ' ')}: {self.had}; needed: {self.need}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The verdict that the gate would give now. Only one that `sigil gate` wrote down counts."""

    outcome: Outcome
    steps: tuple[GateStep, ...]


def progress_of(database: Database) -> Progress:
    """Return how far the variant of `database` is from graduation."""
    evidence, verdict = glance(database)
    return Progress(verdict.outcome, tuple(_step(c, evidence) for c in verdict.criteria))


def _step(criterion: Criterion, evidence: Evidence) -> GateStep:
    need = Thresholds()
    shares = {"days": evidence.days / need.days, "trades": evidence.trades / need.trades}
    share = min(1.0, shares[criterion.name]) if criterion.name in shares else None
    return GateStep(criterion.name, criterion.outcome, criterion.need, criterion.had, criterion.missing, share)
