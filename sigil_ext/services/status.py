"""All variants side by side: alive or not, what they own, what bars them, what is wrong. Start at `statuses`.

Reads only and never waits long: each variant is asked in a thread of its own, and one whose database is down or hangs has
a row that says so. Never starts a server, never creates or migrates a database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import psycopg2

from sigil_ext.db import embedded, migrate, reading
from sigil_ext.db.connection import Database, exists
from sigil_ext.db.standing import Standing, read_standing
from sigil_ext.errors import DatabaseUnavailable, SigilError, UnknownVariant, UsageError
from sigil_ext.rules import liveness
from sigil_ext.settings.overlays import RESEARCH_ONLY, TRADED_VARIANTS
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.strategies import known_sessions, strategy_sessions

LIMIT_S = 8.0
ALERT_OVERDUE = timedelta(minutes=15)
Life = Literal["alive", "stale", "dead", "stopped", "ended", "retired", "never started", "not known"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VariantStatus:
    """One variant: how it lives, every problem in a sentence, and its figures where the database could be read."""

    variant: str
    place: str
    life: Life
    problems: tuple[str, ...]
    standing: Standing | None


def statuses(variants: Sequence[str] = (), project: Project | None = None) -> list[VariantStatus]:
    """Return the status of `variants`; without any, of all that trade, those of the user's own once they have begun.

    Raises:
        UsageError: a variant is unknown or for research only.
    """
    project = project or find_project()
    names = _targets(variants, project)
    found = side_by_side(names, lambda variant: _status(variant, project), LIMIT_S)
    rows = [
        found.get(v)
        or VariantStatus(
            v, f"database of {v}", "not known", (f"its database did not answer within {LIMIT_S:g} s",), None
        )
        for v in names
    ]
    return [
        row for row in rows if row.variant in variants or row.variant in TRADED_VARIANTS or row.standing is not None
    ]


def side_by_side(names: Sequence[str], ask: Callable[[str], T], limit_s: float) -> dict[str, T]:
    """Return what `ask` says of each name, all asked at once; a name that took longer than `limit_s` is left out."""
    answers: dict[str, T] = {}
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            answers[name] = ask(name)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that is heard
            failures.append(error)

    # Daemons: a thread that waits for a server that never answers must not keep this process from its end.
    threads = [threading.Thread(target=work, args=(name,), name=name, daemon=True) for name in names]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if failures:
        raise failures[0]
    return dict(answers)


def begins(variant: str, *, own: bool = False) -> str:
    """Return a command that begins a first session of `variant`, as it can be typed; of an `own` strategy, to be filled."""
    if own:
        return f"sigil run paper --strategy MODULE:CLASS --name {variant} --symbols A-USDT,B-USDT --candles FOLDER"
    return f"sigil run paper --variant {variant} --candles sample"


def readable(variant: str, project: Project) -> Database:
    """Return `variant`'s database as it is there, with the newest schema.

    Raises:
        SigilError: it is not there, does not answer, or waits for a migration; the sentence says what to do.
    """
    database = reading.find_database(project, variant)
    way = begins(variant, own=variant in strategy_sessions(project))
    if database is None:
        if not embedded.status(project).initialised:
            raise DatabaseUnavailable(f"nothing ran yet; {way} makes the database")
        raise DatabaseUnavailable("the embedded server does not run; start it with: sigil db start")
    if database.embedded and not exists(database.address):
        raise DatabaseUnavailable(f"it has no database yet; {way} makes it")
    found = migrate.state(database, project.migrations)
    if found.pending:
        newest = found.pending[-1].version
        raise DatabaseUnavailable(
            f"the {database.address.place} is at schema {found.version:03d}, newest is {newest:03d}; "
            f"run: sigil migrate up --variant {variant}"
        )
    return database


def _targets(variants: Sequence[str], project: Project) -> list[str]:
    known = [v for v in known_sessions(project) if v not in RESEARCH_ONLY]
    for name in variants:
        if name in RESEARCH_ONLY:
            raise UsageError(f"variant '{name}' is for research only: nothing of it runs")
        if name not in known:
            raise UnknownVariant(name, known)
    return list(dict.fromkeys(variants)) or known


def _status(variant: str, project: Project) -> VariantStatus:
    place = f"database of {variant}"
    try:
        database = readable(variant, project)
        place = database.address.place
        try:
            standing = read_standing(database)
        finally:
            database.close()
    except SigilError as error:
        return VariantStatus(variant, place, "not known", (str(error),), None)
    except psycopg2.Error as error:
        said = " ".join(str(error).split())[:200]
        return VariantStatus(variant, place, "not known", (f"the {place} cannot be read: {said}",), None)
    life, problems = judged(standing)
    return VariantStatus(variant, place, life, problems, standing)


def judged(standing: Standing) -> tuple[Life, tuple[str, ...]]:
    """Return how a variant lives, and every problem in a sentence."""
    life = _life(standing)
    return life, tuple(_problems(standing, life))


def _life(s: Standing) -> Life:
    beat = s.heartbeat
    if beat is None:
        return "never started"
    if s.rests and beat.state != "ended":
        return "retired"
    if beat.state in ("ended", "stopped") and not s.connected:
        return "ended" if beat.state == "ended" else "stopped"
    if not s.connected:
        return "dead"
    return "stale" if liveness.findings(beat, s.now) else "alive"


def _problems(s: Standing, life: Life) -> list[str]:
    silent = liveness.findings(s.heartbeat, s.now)
    found = [finding.detail for finding in (liveness.without_silence(silent) if s.rests else silent)]
    if life == "dead":
        found.insert(0, "no process holds the session's lock: it died, or was killed")
    if s.open_positions and life not in ("alive", "stale"):
        found.append(f"{s.open_positions} open positions are watched by nobody")
    if s.breaker.tripped:
        found.append(f"the breaker has tripped{_since(s.breaker.tripped_at)}: {s.breaker.reason or 'no reason stored'}")
    if s.breaker.paused:
        found.append(f"entries are paused{_since(s.breaker.paused_at)}: {s.breaker.pause_reason or 'no reason stored'}")
    found += [f"{i.key} since {i.opened_at:%Y-%m-%d %H:%M} UTC: {i.detail}" for i in s.incidents]
    if s.alerts_waiting_since is not None and s.now - s.alerts_waiting_since > ALERT_OVERDUE:
        found.append(
            f"{s.alerts_waiting} alerts are not delivered, the first since {s.alerts_waiting_since:%Y-%m-%d %H:%M} UTC"
        )
    if s.alerts_given_up:
        found.append(f"{s.alerts_given_up} alerts of the last day were given up; see sigil alerts list")
    if s.audit is not None and s.audit.unexplained:
        found.append(f"the audit of {s.audit.at:%Y-%m-%d %H:%M} UTC left {s.audit.unexplained} differences unexplained")
    if life in ("alive", "stale", "dead") and (gap := liveness.probe_gap(s.probed_at, s.now)):
        found.append(gap.detail)
    return found


def _since(at: datetime | None) -> str:
    return f" {at:%Y-%m-%d %H:%M} UTC" if at else ""
