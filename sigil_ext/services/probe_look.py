"""The probe's look at one variant: read the heartbeat, judge it, trip the breaker, note it and have it told once.

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
from sigil_ext.db.outbox import Outbox
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.probe_log import ProbeLog
from sigil_ext.errors import DatabaseUnavailable, SettingsError, SigilError
from sigil_ext.rules import liveness
from sigil_ext.rules.liveness import Finding
from sigil_ext.rules.types import Breaker
from sigil_ext.services.probe_files import Outage
from sigil_ext.settings.environment import DatabaseAddress, database_name, load_environment
from sigil_ext.settings.project import Project

ACTOR = "probe"
DEADLINE_S = 45.0
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
    process: str = ""
    """Where something is stale: whether a process is still there."""
    breaker: Breaker | None = None
    tripped_now: bool = False
    told: tuple[str, ...] = ()
    """Titles of the alerts that this run wrote."""
    problems: tuple[str, ...] = ()
    """What the probe should have done and could not."""
    outage_settled: bool = False
    """The database answers again, and whatever its outage asked for is done."""


def look_at(
    variant: str, project: Project, *, trip: bool, outage: Outage | None, here: datetime, optional: bool = False
) -> Look | None:
    """Look at `variant` and do what its state asks for. None for an `optional` variant that never traded.

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
        look = _read(log, variant, outage, here)
        if optional and look.heartbeat is None:
            return None
        look = _tripped(log, look, trip=trip)
        return _noted(log, look, outage, began)
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
    return Database(
        variant, DatabaseAddress(server.host, server.port, server.user, server.password, name, EMBEDDED)
    )


def _read(log: ProbeLog, variant: str, outage: Outage | None, here: datetime) -> Look:
    with log.bounded():
        row = Heartbeat(log.database).read()
        now = row.now if row else log.clock()
        previous = log.last_run()
        connected = log.session_connected()
        breaker = PostgresStore(log.database).breaker()
    found = liveness.findings(row, now)
    extra = [
        liveness.clock_skew(now, here),
        liveness.probe_gap(previous, now),
        liveness.outage(outage.since, here) if outage else None,
    ]
    process = _process(row, connected=connected) if found else ""
    everything = (*found, *(f for f in extra if f is not None))
    return Look(variant, log.database.address.place, everything, heartbeat=row, process=process, breaker=breaker)


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


def _noted(log: ProbeLog, look: Look, outage: Outage | None, began: float) -> Look:
    """Write the trace, open and close incidents, and put what has to be told into the outbox: all or nothing."""
    try:
        with log.bounded():
            now = log.clock()
            told = [
                *_incident(log, look, "stale", [f for f in look.findings if f.kind not in _APART], now),
                *_incident(log, look, "clock_skew", [f for f in look.findings if f.kind == "clock_skew"], now),
                *_gap(log, look, now),
                *(_back(log, look, outage, now) if outage else ()),
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


def _incident(log: ProbeLog, look: Look, name: str, found: Sequence[Finding], now: datetime) -> list[str]:
    key = f"probe:{name}"
    if found:
        opened = log.open_incident(key, "; ".join(f.detail for f in found))
        if opened is None:
            return []
        body = "\n".join([*(f.detail for f in found), *([look.process] if look.process else []), _after(look)])
        return _tell(log, f"{look.variant}: {found[0].detail}", body, f"{key}:{opened.isoformat()}", now)
    if (closed := log.close_incident(key)) is None:
        return []
    opened, detail = closed
    body = f"Since {opened:%Y-%m-%d %H:%M} UTC it was: {detail}\n{_after(look)}"
    return _tell(log, f"{look.variant}: well again", body, f"{key}:{opened.isoformat()}:back", now)


def _gap(log: ProbeLog, look: Look, now: datetime) -> list[str]:
    told: list[str] = []
    for gap in (f for f in look.findings if f.kind == "probe_gap"):
        previous = log.last_run()
        key = f"probe:gap:{previous.isoformat() if previous else ''}"
        told += _tell(log, f"{look.variant}: {gap.detail}", "It runs again. See whether its timer does.", key, now)
    return told


def _back(log: ProbeLog, look: Look, outage: Outage, now: datetime) -> list[str]:
    told: list[str] = []
    if not outage.told:  # nobody could be told directly while it lasted
        told += _tell(log, f"{look.variant}: database does not answer", outage.detail, outage.key(), outage.since)
    body = f"It did not answer since {outage.since:%Y-%m-%d %H:%M} UTC: {outage.detail}\n{_after(look)}"
    return told + _tell(log, f"{look.variant}: database answers again", body, f"{outage.key()}:back", now)


def _after(look: Look) -> str:
    if look.problems:
        return "; ".join(look.problems)
    if look.breaker and look.breaker.tripped:
        way_out = f"sigil breaker reset --variant {look.variant} --reason '...'"
        return f"The breaker has tripped: no entries until a person lets them through with {way_out}"
    return "The breaker has not tripped."


def _tell(log: ProbeLog, title: str, body: str, key: str, at: datetime) -> list[str]:
    return [title] if Outbox(log.database).put("probe", at=at, title=title, body=body, key=key) else []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

