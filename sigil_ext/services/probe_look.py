"""The probe's look at one variant: read the heartbeat, judge it, trip the breaker, note it, tell a person once.

Never creates, migrates or starts anything: a database that is not there is a finding. Start at `look_at`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg2

from sigil_ext.db import embedded
from sigil_ext.db.connection import EMBEDDED, Database, exists
from sigil_ext.db.heartbeat import Heartbeat, HeartbeatRow
from sigil_ext.db.incidents import Incidents
from sigil_ext.db.outbox import Outbox
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.probe_log import ProbeLog
from sigil_ext.db.resting import resting
from sigil_ext.errors import DatabaseUnavailable, SettingsError, SigilError
from sigil_ext.notify.sender import Sender
from sigil_ext.rules import liveness, messages
from sigil_ext.rules.liveness import Finding
from sigil_ext.rules.types import Breaker
from sigil_ext.services.alerts import channels_of
from sigil_ext.services.outage import database_back
from sigil_ext.services.probe_files import Outage
from sigil_ext.services.probe_gap import gap_telling
from sigil_ext.settings.environment import DatabaseAddress, database_name, load_environment
from sigil_ext.settings.project import Project

ACTOR = "probe"
DELIVERY_S = 20.0
DEADLINE_S = 75.0
"""More than all limits of one look together: whoever takes longer hangs in a way that no limit of PostgreSQL ends."""
_APART = frozenset({"clock_skew", "probe_gap", "was_unreachable"})
"""Findings that are told of on their own; all others of a variant are one incident, however many there are."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the probe saw of one variant and did about it."""

    variant: str
    place: str
    findings: tuple[Finding, ...]
    reached: bool = True
    heartbeat: HeartbeatRow | None = None
    rests: str | None = None
    """Why nothing is expected of it: its recording ended, or a person retired it."""
    process: str = ""
    """Where something is stale: whether a process is still there."""
    breaker: Breaker | None = None
    tripped_now: bool = False
    told: tuple[str, ...] = ()
    """Titles of the alerts that this run wrote."""
    channels: int | None = None
    """Alert channels of the variant; with none, nobody is told. None: not asked for."""
    problems: tuple[str, ...] = ()
    """What the probe should have done and could not."""
    outage_settled: bool = False
    """The database answers again, and whatever its outage asked for is done."""


def look_at(
    variant: str, project: Project, *, trip: bool, outage: Outage | None, here: datetime, optional: bool = False
) -> Look | None:
    """Look at `variant` and do what its state asks for. None for an `optional` variant that never traded; one that did
    may rest.

    Args:
        trip: trip the breaker where a finding asks for it. outage: what is known of the database not answering before.
        here: this machine's clock.
    """
    began = time.monotonic()
    place = f"database of {variant}"
    try:
        database = _find(project, variant)
        place = database.address.place
        if optional and not exists(database.address):
            return None
        log = ProbeLog(database)
        look = _read(log, variant, outage, here, may_rest=optional)
        if optional and look.heartbeat is None:
            return None
        look = _tripped(log, look, trip=trip)
        if any(f.kind == "probe_gap" for f in look.findings):
            with gap_telling(project, variant, here) as telling:
                before = look.problems
                look = _noted(log, look, outage, began, tell_gap=telling.due)
                if telling.due and look.problems == before:
                    telling.note()
            look = replace(look, problems=(*look.problems, *telling.problems))
        else:
            look = _noted(log, look, outage, began)
        return _delivered(database, project, look, here)
    except (DatabaseUnavailable, SettingsError) as error:
        return unreached(variant, place, str(error))
    except (psycopg2.errors.UndefinedColumn, psycopg2.errors.UndefinedTable):
        return unreached(variant, place, f"the {place} has an older schema; run: sigil migrate up --variant {variant}")
    except psycopg2.Error as error:
        return unreached(variant, place, f"the {place} cannot be read: {_one_line(error)}")


def unreached(variant: str, place: str, why: str) -> Look:
    """Return the look at a variant whose database cannot be read."""
    return Look(variant, place, (Finding("unreachable", why),), reached=False)


def _find(project: Project, variant: str) -> Database:
    """Return where the variant's database has to be; an embedded server that does not run is not started."""
    if address := load_environment(project).database(variant):
        return Database(variant, address)
    server = embedded.running_address(project)
    if server is None:
        raise DatabaseUnavailable("the embedded server does not run; sigil db start, or start the session")
    name = database_name(variant)
    return Database(variant, DatabaseAddress(server.host, server.port, server.user, server.password, name, EMBEDDED))


def _read(log: ProbeLog, variant: str, outage: Outage | None, here: datetime, *, may_rest: bool) -> Look:
    with log.bounded():
        row = Heartbeat(log.database).read()
        now = row.now if row else log.clock()
        previous = log.last_run()
        connected = log.session_connected()
        breaker = PostgresStore(log.database).breaker()
        rests = resting(log.database, row, connected=connected) if may_rest else None
    found = liveness.findings(row, now)
    if rests:
        found, outage = liveness.without_silence(found), None
    extra = [
        liveness.clock_skew(now, here),
        liveness.probe_gap(previous, now),
        liveness.outage(outage.since, here) if outage else None,
    ]
    process = _process(row, connected=connected) if found else ""
    everything = (*found, *(f for f in extra if f is not None))
    place = log.database.address.place
    return Look(variant, place, everything, heartbeat=row, rests=rests, process=process, breaker=breaker)


def _process(row: HeartbeatRow | None, *, connected: bool) -> str:
    if connected:
        where = f" (pid {row.pid} on {row.host})" if row and row.pid else ""
        return f"a process{where} still holds the session's lock: it hangs, or parts of it are dead"
    return "no process holds the session's lock: it is not running"


def _tripped(log: ProbeLog, look: Look, *, trip: bool) -> Look:
    reasons = [f.detail for f in look.findings if f.trips]
    if not reasons or not trip or (look.breaker and look.breaker.tripped):
        return look
    store = PostgresStore(log.database)
    try:
        with log.bounded():
            before = store.breaker()
            if before.tripped:
                return replace(look, breaker=before)
            after = store.trip(at=log.clock(), actor=ACTOR, reason="; ".join(reasons))
    except (SigilError, psycopg2.Error) as error:
        # A session that hangs in the middle of an entry holds the lock; told all the same, tried again next time.
        return replace(look, problems=(*look.problems, f"the breaker could not be tripped: {_one_line(error)}"))
    return replace(look, breaker=after, tripped_now=True)


def _noted(log: ProbeLog, look: Look, outage: Outage | None, began: float, *, tell_gap: bool = False) -> Look:
    """Write the trace, open and close incidents, and put what has to be told into the outbox: all or nothing."""
    try:
        with log.bounded():
            told = [
                *_incident(log, look, "probe:stale", [f for f in look.findings if f.kind not in _APART]),
                *_incident(log, look, "probe:clock_skew", [f for f in look.findings if f.kind == "clock_skew"]),
                *(_gap(log, look) if tell_gap else []),
            ]
            log.note_run(
                host=socket.gethostname(),
                findings=[{"kind": f.kind, "detail": f.detail} for f in look.findings],
                took_ms=int((time.monotonic() - began) * 1000),
            )
    except (SigilError, psycopg2.Error) as error:
        problem = f"the findings could not be noted in the database: {_one_line(error)}"
        return replace(look, problems=(*look.problems, problem))
    tripped = look.breaker is not None and look.breaker.tripped
    owed = any(f.kind == "was_unreachable" for f in look.findings) and not tripped
    return replace(look, told=tuple(told), outage_settled=outage is not None and not owed)


def _incident(log: ProbeLog, look: Look, key: str, found: Sequence[Finding]) -> list[str]:
    incidents = Incidents(log.database)
    tripped = look.breaker is not None and look.breaker.tripped
    details = [f.detail for f in found]
    if found:
        also = [*([look.process] if look.process and key == "probe:stale" else []), *look.problems]
        title, _ = messages.probe(findings=details, tripped=tripped)
        _, body = messages.probe(findings=[*details, *also], tripped=tripped)
        new = incidents.open(key, detail="; ".join(details), event="probe", title=title, body=body)
        return [title] if new else []
    was = next((i for i in incidents.all() if i.key == key), None)
    if was is None:
        return []
    rests = look.rests if key == "probe:stale" else None
    title = "probe: nothing is expected of it any more" if rests else "probe: well again"
    after = (
        "the breaker has tripped: entries are blocked until a person resets it"
        if tripped
        else "entries are not blocked"
    )
    body = f"since {was.opened_at:%Y-%m-%d %H:%M} UTC it was: {was.detail}\n{after}"
    if rests:
        body = f"{rests}\n{body}"
    return [title] if incidents.resolve(key, event="probe", title=title, body=body) else []


def _gap(log: ProbeLog, look: Look) -> list[str]:
    """Tell that the probe had not been running. It runs again by now, so this is over as it is told."""
    told: list[str] = []
    for gap in (f for f in look.findings if f.kind == "probe_gap"):
        previous = log.last_run()
        title, body = f"probe: {gap.detail}", "it runs again; nothing watched in between: see its timer and its machine"
        if previous and Outbox(log.database).put(
            "probe", at=log.clock(), title=title, body=body, key=f"probe:gap {previous.isoformat()}"
        ):
            told.append(title)
    return told


def _delivered(database: Database, project: Project, look: Look, here: datetime) -> Look:
    """Send what waits in the outbox. The session does it as well, but it is the one that may be dead."""
    try:
        if database_back(project, database, now=here):
            look = replace(look, told=(*look.told, "database is back"))
        channels = channels_of(look.variant, project)
        look = replace(look, channels=len(channels))
        counts = Sender(database).deliver(channels, budget_s=DELIVERY_S)
        errors = "; ".join(counts.errors)
    except (SigilError, psycopg2.Error) as error:
        errors = _one_line(error)
    except OSError as error:
        errors = f"{error.filename}: {error.strerror}"
    if not errors:
        return look
    return replace(look, problems=(*look.problems, f"alerts wait in the outbox, not delivered: {errors}"))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
