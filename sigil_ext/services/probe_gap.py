"""That the probe had not been running is a fact of the machine, and the database of each variant notices it: told once.

`storage/probe/gap.json` remembers which channels were told and when. A gap that is noticed sooner after that than one can
last is the same one. Start at `gap_telling`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sigil_ext.errors import SigilError
from sigil_ext.rules.liveness import DEFAULT_LIMITS
from sigil_ext.services.alerts import channels_of
from sigil_ext.services.probe_files import ProbeFiles
from sigil_ext.settings.project import Project

LOCK_LIMIT_S = 5.0


@dataclass(slots=True)
class GapTelling:
    """What was told of the gap so far, and by which channels the variant at hand would tell it."""

    files: ProbeFiles
    here: datetime
    wanted: frozenset[str]
    told: frozenset[str] | None = None
    """None: nobody was told."""
    problems: list[str] = field(default_factory=list)

    @property
    def due(self) -> bool:
        """Whether somebody is still to be told: the first variant tells, and one with channels that were not told."""
        return self.told is None or not self.wanted <= self.told

    def note(self) -> None:
        """Remember that the variant's channels are told; call it when that is committed."""
        try:
            self.files.note_gap(self.here, self.wanted | (self.told or frozenset()))
        except OSError as error:
            self.problems.append(_problem(self.files, error))


@contextlib.contextmanager
def gap_telling(project: Project, variant: str, here: datetime) -> Iterator[GapTelling]:
    """Keep other looks, and other probes of this machine, from telling of a gap meanwhile.

    Whoever cannot find out who was told tells: a repeat is better than silence.
    """
    files = ProbeFiles(project.storage)
    telling = GapTelling(files, here, _channels(project, variant))
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(files.locked("gap.lock", LOCK_LIMIT_S))
            last = files.gap_told()
            if last is not None and timedelta() <= here - last[0] <= DEFAULT_LIMITS.probe_gap:
                telling.told = last[1]
        except OSError as error:
            telling.problems.append(_problem(files, error))
        yield telling
    telling.problems += files.problems


def _channels(project: Project, variant: str) -> frozenset[str]:
    try:
        return frozenset(c.name for c in channels_of(variant, project) if c.wants("probe", None))
    except (SigilError, OSError):
        return frozenset({variant})  # said by the look itself, which cannot deliver; nobody else has this "channel"


def _problem(files: ProbeFiles, error: OSError) -> str:
    return f"who was told that the probe had not been running is not kept in {files.home}: {error.strerror or error}"
