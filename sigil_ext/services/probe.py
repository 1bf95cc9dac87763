"""The probe: one run over all variants, from outside of them. One that cannot be reached keeps it from no other.

    exit status  0  every variant is alive, or nothing is expected of it
                 1  a variant is stale, hung, stuck or stopped, or clocks differ
                 2  wrong use (the command line's own)
                 3  a database cannot be read
                 4  all are alive, but the probe itself had not been running
                 5  the probe could not do its duty: a breaker not tripped, a person not told, no trace left

The highest of 5, 3, 1, 4 that applies. Start at `probe`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sigil_ext.db import resting
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.probe_log import ProbeLog
from sigil_ext.errors import SigilError, UnknownVariant, UsageError
from sigil_ext.rules.liveness import Finding, probe_gap
from sigil_ext.services.alerts import channels_of
from sigil_ext.services.breaker import demand_reason
from sigil_ext.services.outage import database_lost
from sigil_ext.services.probe_files import Outage, ProbeFiles
from sigil_ext.services.probe_look import DEADLINE_S, Look, look_at, unreached
from sigil_ext.services.protections import actor, utc_now
from sigil_ext.services.status import readable
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.overlays import RESEARCH_ONLY, TRADED_VARIANTS
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.strategies import known_sessions

FINE, STALE, UNREACHABLE, WAS_ASLEEP, UNABLE = 0, 1, 3, 4, 5

TELLING_S = 45.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """One run of the probe."""

    at: datetime
    host: str
    took_ms: int
    looks: tuple[Look, ...]
    gap: Finding | None
    """The probe was not running on this machine before this run."""
    problems: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        if self.problems or any(look.problems for look in self.looks):
            return UNABLE
        if any(not look.reached for look in self.looks):
            return UNREACHABLE
        kinds = {f.kind for look in self.looks for f in look.findings}
        if kinds - {"probe_gap"}:
            return STALE
        return WAS_ASLEEP if kinds or self.gap else FINE

    def document(self) -> dict[str, Any]:
        """Return the run for JSON and for the trace."""
        return {
            "at": self.at.isoformat(),
            "host": self.host,
            "took_ms": self.took_ms,
            "exit_status": self.exit_status,
            "probe_was_not_running": self.gap.detail if self.gap else None,
            "problems": list(self.problems),
            "variants": {look.variant: _document(look) for look in self.looks},
        }


def probe(
    variants: Sequence[str] = (),
    project: Project | None = None,
    *,
    trip: bool = True,
    here: Callable[[], datetime] = utc_now,
) -> ProbeRun:
    """Look at `variants` (default: all that trade), trip breakers, tell of it, leave a trace.

    Raises:
        UsageError: a variant is unknown or for research only; `.env` cannot be read.
    """
    project = project or find_project()
    targets = _targets(variants, project)
    load_environment(project)  # refused for all of them at once, not as four databases that cannot be found
    began, at = time.monotonic(), here()
    files = ProbeFiles(project.storage)
    problems: list[str] = []
    gap, outages = _remembered(files, at, problems)
    looks = _look_at_all(targets, project, outages, at, trip=trip, problems=problems)
    _keep_outages(files, looks, at, problems)
    looks = _tell_of_outages(project, looks, at)
    took_ms = int((time.monotonic() - began) * 1000)
    problems += files.problems
    run = ProbeRun(at, socket.gethostname(), took_ms, tuple(looks), gap, tuple(problems))
    try:
        files.note_run(run.document())
    except OSError as error:
        problem = f"no trace of this run could be left in {files.home}: {error.strerror or error}"
        run = replace(run, problems=(*run.problems, problem))
    return run


def retire(variant: str, reason: str, project: Project | None = None) -> None:
    """Expect nothing of a session of the user's own until it beats again; a row says who did it and why.

    Raises:
        UsageError: one of the four that trade, which are always expected, or an unknown one; it never began; it runs, or
            holds positions that somebody has to watch.
    """
    project = project or find_project()
    reason = demand_reason(reason)
    _targets([variant], project)
    if variant in TRADED_VARIANTS:
        raise UsageError(
            f"'{variant}' is one of the four that trade, of which the probe always expects a session; where fewer of them "
            "run, name those to it: sigil probe --variant NAME"
        )
    database = readable(variant, project)
    if ProbeLog(database).session_connected():
        raise UsageError(f"the session '{variant}' runs; stop it first")
    if Heartbeat(database).read() is None:
        raise UsageError(f"the session '{variant}' never began, and the probe does not ask for it")
    if held := len(PostgresStore(database).open_positions()):
        raise UsageError(
            f"'{variant}' holds open positions ({held}); close them first: sigil flatten --variant {variant} --reason '...'"
        )
    resting.retire(database, actor=actor(), reason=reason)


def _targets(variants: Sequence[str], project: Project) -> dict[str, bool]:
    """Return variant -> whether it may be left out silently: the user's own ones, as long as they never traded."""
    known = known_sessions(project)
    for name in variants:
        if name not in known:
            raise UnknownVariant(name, [v for v in known if v not in RESEARCH_ONLY])
        if name in RESEARCH_ONLY:
            raise UsageError(f"variant '{name}' is for research only: nothing of it runs that could be probed")
    if variants:
        return dict.fromkeys(variants, False)
    return {v: v not in TRADED_VARIANTS for v in known if v not in RESEARCH_ONLY}


def _remembered(files: ProbeFiles, at: datetime, problems: list[str]) -> tuple[Finding | None, dict[str, Outage]]:
    try:
        return probe_gap(files.last_run(), at), files.outages()
    except OSError as error:
        problems.append(f"the probe's files in {files.home} cannot be read: {error.strerror or error}")
        return None, {}


def _look_at_all(
    targets: dict[str, bool], project: Project, outages: dict[str, Outage], at: datetime, *, trip: bool,
    problems: list[str],
) -> list[Look]:  # fmt: skip
    def look(variant: str) -> Look | None:
        outage, optional = outages.get(variant), targets[variant]
        return look_at(variant, project, trip=trip, outage=outage, here=at, optional=optional)

    answers, late = _all_at_once(targets, look, DEADLINE_S)
    looks: list[Look] = []
    for variant in targets:
        if variant in late:
            why = f"the database did not answer within {DEADLINE_S:.0f} s"
            looks.append(unreached(variant, f"database of {variant}", why))
        elif variant not in answers:
            problems.append(f"the look at {variant} failed in an unforeseen way, see the messages above")
        elif (seen := answers[variant]) is not None:
            looks.append(seen)
    return looks


def _all_at_once(names: Iterable[str], work: Callable[[str], T], limit_s: float) -> tuple[dict[str, T], set[str]]:
    """Return what `work` says of each name, and the names that it is not done with after `limit_s`.

    A name in neither failed; Python says on stderr how. One that hangs or fails keeps nobody from the others.
    """
    answers: dict[str, T] = {}

    def note(name: str) -> None:
        answers[name] = work(name)

    # Daemons: a thread that waits for a server that never answers must not keep this process from its end.
    threads = {name: threading.Thread(target=note, args=(name,), name=name, daemon=True) for name in names}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {name for name, thread in threads.items() if thread.is_alive()}
    return dict(answers), late


def _keep_outages(files: ProbeFiles, looks: Sequence[Look], at: datetime, problems: list[str]) -> None:
    """Note since when databases do not answer; forget those that do again and owe nothing."""
    try:
        with files.locked() as mine:
            if not mine:
                problems.append("another probe has held the state of the outages for long; it was left alone")
                return
            before = files.outages()
            after = dict(before)
            for look in looks:
                if not look.reached:
                    since = before[look.variant].since if look.variant in before else at
                    after[look.variant] = Outage(since, at, look.findings[0].detail)
                elif look.outage_settled:
                    after.pop(look.variant, None)
            if after != before:
                files.keep_outages(after)
    except OSError as error:
        problems.append(f"outages could not be noted in {files.home}: {error.strerror or error}")


def _tell_of_outages(project: Project, looks: Sequence[Look], at: datetime) -> list[Look]:
    """Tell of databases that do not answer, each channel once for an outage, past the database."""

    def tell(variant: str) -> Look:
        look = lost[variant]
        try:
            channels = channels_of(variant, project)
            told = database_lost(project, variant, look.findings[0].detail, channels, now=at, grace=timedelta())
        except SigilError as error:
            return replace(look, problems=(*look.problems, f"nobody could be told: {error}"))
        except OSError as error:
            problem = f"nobody could be told: {error.filename}: {error.strerror}"
            return replace(look, problems=(*look.problems, problem))
        return replace(look, channels=len(channels), told=tuple(f"database lost ({name})" for name in told))

    lost = {look.variant: look for look in looks if not look.reached}
    answers, late = _all_at_once(lost, tell, TELLING_S)
    for variant in set(lost) - set(answers):
        why = "took too long" if variant in late else "failed in an unforeseen way"
        answers[variant] = replace(lost[variant], problems=(*lost[variant].problems, f"telling of it {why}"))
    return [answers.get(look.variant, look) for look in looks]


def _document(look: Look) -> dict[str, Any]:
    beat, breaker = look.heartbeat, look.breaker
    times = ("last_scan_start", "last_scan_end", "last_candle", "last_write", "now")
    return {
        "place": look.place,
        "alive": not look.rests and not any(f.kind != "probe_gap" for f in look.findings),
        "rests": look.rests,
        "findings": [{"kind": f.kind, "detail": f.detail, "trips": f.trips} for f in look.findings],
        "process": look.process or None,
        "heartbeat": None if beat is None else {
            **{name: _iso(getattr(beat, name)) for name in times},
            **{name: getattr(beat, name) for name in ("state", "feed", "session_id", "pid", "host")},
        },
        "breaker": None if breaker is None else {
            "tripped": breaker.tripped, "reason": breaker.reason, "tripped_now": look.tripped_now,
        },
        "told": list(look.told),
        "channels": look.channels,
        "problems": list(look.problems),
    }  # fmt: skip


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
