"""Up to where a table was read, and which numbers before that may still come.

Rows take their numbers when they are written and are seen when their transaction commits, in whatever order: a row may
appear behind one that was read long ago. So every number that was passed over is kept as a gap and asked for again, until
each transaction that may hold it has ended. Pure: no clock, no database. Start at `Mark`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

# A number is taken a moment before its transaction is one that the server counts as running.
SETTLED_AFTER_S = 10.0
MOST_GAPS = 1000


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers `first` to `last` that were passed over.

    `ended_by`: the server's transaction number of which all before must have ended until these are given up; None while
    that is not known yet. `since_s`: when that became known.
    """

    first: int
    last: int
    ended_by: int | None = None
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """Everything up to `last` was read, but for the gaps."""

    last: int
    gaps: tuple[Gap, ...] = ()

    def unread(self) -> str:
        """Return the numbers that were not read yet, as PostgreSQL writes an int8multirange."""
        return (
            "{"
            + ",".join(f"[{gap.first},{gap.last}]" for gap in self.gaps)
            + f"{',' if self.gaps else ''}[{self.last + 1},)}}"
        )

    def read(self, numbers: Iterable[int]) -> Mark:
        """Return the mark once rows of these `numbers` were read; what they pass over becomes a gap."""
        gaps, last = list(self.gaps), self.last
        for number in sorted(numbers):
            if number > last:
                if number > last + 1:
                    gaps.append(Gap(last + 1, number - 1))
                last = number
                continue
            gaps = [part for gap in gaps for part in _without(gap, number)]
        return Mark(last, tuple(gaps[-MOST_GAPS:]))

    def dated(self, next_transaction: int, now_s: float) -> Mark:
        """Return the mark with its new gaps dated: whoever holds their numbers began before `next_transaction`."""
        dated = (replace(g, ended_by=next_transaction, since_s=now_s) if g.ended_by is None else g for g in self.gaps)
        return Mark(self.last, tuple(dated))

    def settled(self, oldest_running: int, now_s: float) -> Mark:
        """Return the mark without the gaps that nobody can fill any more; to be called once they were read again."""
        kept = (
            g
            for g in self.gaps
            if g.ended_by is None or g.ended_by > oldest_running or now_s - g.since_s < SETTLED_AFTER_S
        )
        return Mark(self.last, tuple(kept))


def _without(gap: Gap, number: int) -> Iterable[Gap]:
    if not gap.first <= number <= gap.last:
        yield gap
        return
    if gap.first < number:
        yield replace(gap, last=number - 1)
    if number < gap.last:
        yield replace(gap, first=number + 1)
