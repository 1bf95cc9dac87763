"""What the overview read last of each variant, so that one whose database is away is shown as it was, dimmed, and not lost.

Kept in this process, for as long as its context lives. Start at `remembered`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sigil_ext.entrypoints.panel.context import Answer, Away, PanelContext
from sigil_ext.services.board import Overview

_LAST: WeakKeyDictionary[PanelContext, dict[str, tuple[Overview, float]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Shown:
    """A variant on the overview: what was read of it, how long ago, and why nothing can be read now."""

    value: Overview | None
    away: Away | None
    age: timedelta

    @property
    def begun(self) -> bool:
        """False where nothing ran yet, which is no fault."""
        return self.away is None or self.away.kind != "absent"

    @property
    def now(self) -> datetime | None:
        """The clock of its database, gone on since it was read."""
        return self.value.head.standing.now + self.age if self.value else None


def remembered(context: PanelContext, answers: Mapping[str, Answer[Overview]]) -> dict[str, Shown]:
    """Return each variant as it is, or as it was when it was read last."""
    last, now = _LAST.setdefault(context, {}), time.monotonic()
    shown = {}
    for name, answer in answers.items():
        if answer.value is not None:
            last[name] = (answer.value, now)
        elif answer.away is not None and answer.away.kind == "absent":
            last.pop(name, None)
        value, read_at = last.get(name, (None, now))
        shown[name] = Shown(value, answer.away, timedelta(seconds=now - read_at))
    return shown
