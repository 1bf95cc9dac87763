"""What Sigil needs around it, line by line: fine, worth knowing, or what to do. `CHECKS` is the index; start at `examine`.

Changes nothing, starts nothing. Without a network it says so.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psycopg2

from sigil_ext.bridge.contract import WRITTEN_AGAINST, jesse_contract
from sigil_ext.db import embedded, migrate, reading
from sigil_ext.db.connection import Database, exists
from sigil_ext.errors import SettingsError, SigilError
from sigil_ext.rules import liveness
from sigil_ext.services.database import made_by_sigil
from sigil_ext.services.status import side_by_side
from sigil_ext.settings.check import warnings_of
from sigil_ext.settings.environment import Environment, environment_warnings, load_environment
from sigil_ext.settings.overlays import RESEARCH_ONLY, TRADED_VARIANTS, known_variants, load_variant
from sigil_ext.settings.project import Project, find_project

Level = Literal["ok", "note", "problem"]
PYTHONS = ((3, 11), (3, 12))
SERVERS = range(15, 18)
GLIBC = (2, 34)
LEAST_DISK_BYTES = 1 * 10**9
ENOUGH_DISK_BYTES = 5 * 10**9
LEAST_MEMORY_BYTES = 500 * 10**6
LIMIT_S = 10.0
CLOCK_NOTED_S = 2.0
CLOCK_WRONG_S = 30.0
UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
TIMEX_BYTES = 256


@dataclass(frozen=True, slots=True)
class Line:
    """What one check found; `to_do` is empty where nothing has to be done. Only a problem needs something."""

    check: str
    level: Level
    found: str
    to_do: str = ""


@dataclass(slots=True)
class Examination:
    """What the checks share. `live` is set by the databases: whether a variant's session follows a live feed."""

    project: Project
    exchange: str
    exchange_url: str | None
    offline: bool
    environment: Environment | None = None
    refused: str = ""
    live: list[str] = field(default_factory=list)


def examine(
    *, exchange: str = "binance", exchange_url: str | None = None, offline: bool = False, project: Project | None = None
) -> list[Line]:
    """Return a line or more of every check, in the order of `CHECKS`."""
    seen = Examination(project or find_project(), exchange, exchange_url, offline)
    try:
        seen.environment = load_environment(seen.project)
    except SettingsError as error:
        seen.refused = str(error)
    return [line for name in CHECKS for line in _looked(name, seen)]


def _looked(name: str, seen: Examination) -> list[Line]:
    """Run a check; that it could not look is a finding too, and no reason to leave out the others."""
    try:
        return list(CHECKS[name](seen))
    except SigilError as error:
        found, _, way_out = str(error).rpartition("; ")
        return [Line(name, "problem", found or str(error), way_out if found else "look there")]
    except OSError as error:
        return [Line(name, "problem", f"cannot look at {error.filename}: {error.strerror}", "give yourself the right")]


# --- the program ------------------------------------------------------------------------------------------------------


def _python(seen: Examination) -> list[Line]:
    version = platform.python_version()
    if sys.version_info[:2] not in PYTHONS:
        return [Line("python", "problem", f"Python {version}", "use Python 3.11 or 3.12")]
    return [Line("python", "ok", f"Python {version}")]


def _platform(seen: Examination) -> list[Line]:
    name, libc = platform.libc_ver()
    here = f"{platform.system()} {platform.machine()}, {name or 'libc'} {libc or 'not known'}, {os.cpu_count()} cores"
    if platform.system() != "Linux" or platform.machine() != "x86_64" or name != "glibc":
        return [Line("platform", "note", here, "only Linux on x86_64 with glibc was tried")]
    if tuple(int(part) for part in libc.split(".")[:2]) < GLIBC:
        return [Line("platform", "problem", here, "the embedded PostgreSQL needs glibc 2.34; name a server in .env")]
    return [Line("platform", "ok", here)]


def _jesse(seen: Examination) -> list[Line]:
    found = jesse_contract()
    if found.version is None:
        return [Line("jesse", "problem", "not installed", "run: make setup")]
    if found.changed:
        names = ", ".join(found.changed)
        return [
            Line("jesse", "problem", f"{found.version}; changed: {names}", f"install jesse=={WRITTEN_AGAINST} again")
        ]
    if found.version != WRITTEN_AGAINST:
        return [
            Line("jesse", "problem", found.version, f"Sigil was written against {WRITTEN_AGAINST}; install that one")
        ]
    return [Line("jesse", "ok", f"{found.version}, and the private functions that the bridge uses are the known ones")]


# --- databases --------------------------------------------------------------------------------------------------------


def _embedded(seen: Examination) -> list[Line]:
    found = embedded.status(seen.project)
    if seen.environment is not None and all(_own(seen.environment, v) for v in TRADED_VARIANTS):
        return [Line("embedded server", "ok", "not in use: .env names servers")]
    if found.running:
        return [Line("embedded server", "ok", f"PostgreSQL {found.version} runs on {found.host}:{found.port}")]
    state = "stopped" if found.initialised else "not made yet"
    return [Line("embedded server", "ok", f"PostgreSQL {found.version}, {state}; a command that needs it starts it")]


def _databases(seen: Examination) -> list[Line]:
    if seen.environment is None:
        return []
    names = [v for v in known_variants(seen.project) if v not in RESEARCH_ONLY]
    found = side_by_side(names, lambda variant: _database(variant, seen), LIMIT_S)
    slow = f"no answer within {LIMIT_S:g} s"
    return [
        line
        for v in names
        for line in found.get(v, [Line(f"database of {v}", "problem", slow, "look at the server and the way to it")])
    ]


def _database(variant: str, seen: Examination) -> list[Line]:
    check = f"database of {variant}"
    try:
        database = reading.find_database(seen.project, variant)
        if database is None:
            return [Line(check, "ok", "on the embedded server, which does not run")]
        if not exists(database.address):
            if database.embedded:
                return [Line(check, "ok", "not made yet; the first command that needs it does")]
            return [
                Line(check, "note", f"there is no {database.address.place}", f"sigil migrate up --variant {variant}")
            ]
        try:
            return _read_database(check, database, seen)
        finally:
            database.close()
    except SigilError as error:
        found, _, way_out = str(error).rpartition("; ")
        return [Line(check, "problem", found or str(error), way_out if found else "")]
    except psycopg2.Error as error:
        return [Line(check, "problem", " ".join(str(error).split())[:200], "look at the server's log")]


def _read_database(check: str, database: Database, seen: Examination) -> list[Line]:
    standing = migrate.state(database, seen.project.migrations)
    with database.transaction() as cur:
        cur.execute("SET LOCAL statement_timeout = '5s'")
        before = datetime.now(UTC)
        cur.execute(
            "SELECT clock_timestamp(), current_setting('server_version_num')::int, pg_database_size(current_database())"
        )
        row = cur.fetchone()
        after = datetime.now(UTC)
        assert row is not None
        now, version, size = row
        if not standing.pending:
            cur.execute("SELECT feed FROM paper_sessions WHERE ended_at IS NULL")
            seen.live += [database.variant for (feed,) in cur.fetchall() if feed in liveness.LIVE_FEEDS]
    here = before + (after - before) / 2
    found = f"{database.address.place}, PostgreSQL {version // 10000}.{version % 10000}, {size / 1e6:.0f} MB"
    lines = [_schema(check, found, database, standing)]
    if version // 10000 not in SERVERS:
        lines = [Line(check, "problem", found, "use PostgreSQL 15, 16 or 17")]
    apart_s = abs((now - here).total_seconds())
    if apart_s > CLOCK_NOTED_S:
        level: Level = "problem" if liveness.clock_skew(now, here) else "note"
        said = f"{apart_s:.0f} s {'ahead of' if now > here else 'behind'} this machine's"
        lines.append(Line(f"clock of {check}", level, said, "keep both machines' clocks by NTP"))
    return lines


def _schema(check: str, found: str, database: Database, standing: migrate.State) -> Line:
    said = f"{found}, schema {standing.version:03d}"
    if not standing.pending:
        return Line(check, "ok", said)
    newest = standing.pending[-1].version
    if database.embedded or made_by_sigil(standing):
        return Line(check, "note", f"{said}, newest is {newest:03d}", "the next command that needs it migrates it")
    way_out = f"back it up, then: sigil migrate up --variant {database.variant}"
    return Line(check, "problem", f"{said}, newest is {newest:03d}", way_out)


def _own(environment: Environment, variant: str) -> bool:
    try:
        return environment.database(variant) is not None
    except SettingsError:
        return True  # an address that cannot be read is one; the variant's own line says what is wrong


# --- the network ------------------------------------------------------------------------------------------------------


def _redis(seen: Examination) -> list[Line]:
    if seen.environment is None:
        return []
    try:
        address = seen.environment.redis()
    except SettingsError as error:
        return [Line("redis", "problem", str(error), "correct it in .env")]
    if address is None:
        return [Line("redis", "ok", "none configured; the redis feed brings its own")]
    import redis

    try:
        with redis.Redis.from_url(
            address.url.get_secret_value(), socket_timeout=3, socket_connect_timeout=3, retry=None
        ) as client:
            version = client.info("server").get("redis_version", "of unknown version")
    except (redis.RedisError, OSError) as error:
        said = " ".join(str(error).split())[:150].replace(address.url.get_secret_value(), "***")
        return [Line("redis", "problem", f"{address.place}: {said}", "start it, or correct SIGIL_REDIS_URL")]
    return [Line("redis", "ok", f"{address.place}, version {version}")]


def _feed(seen: Examination) -> list[Line]:
    check = f"feed of {seen.exchange}"
    if seen.offline:
        return [Line(check, "ok", "not asked: --offline")]
    from sigil_ext.paper.feeds import reachable  # ccxt takes its time to load

    answers, sentence, skew_ms = asyncio.run(reachable(seen.exchange, base_url=seen.exchange_url))
    who = f"; followed live by {', '.join(seen.live)}" if seen.live else ""
    if not answers:
        needed: Level = "problem" if seen.live else "note"
        return [Line(check, needed, sentence, who.removeprefix("; ") if who else "only live feeds need it")]
    if skew_ms is not None and abs(skew_ms) > CLOCK_NOTED_S * 1000:
        level: Level = "problem" if abs(skew_ms) > CLOCK_WRONG_S * 1000 else "note"
        return [Line(check, level, sentence, "keep this machine's clock by NTP")]
    return [Line(check, "ok", f"{sentence}{who}")]


# --- the machine ------------------------------------------------------------------------------------------------------


def _disk(seen: Examination) -> list[Line]:
    folders = {"storage": seen.project.storage, "database's folder": embedded.status(seen.project).data}
    lines: list[Line] = []
    devices: set[int] = set()
    for name, folder in folders.items():
        place = _existing(folder)
        if (device := place.stat().st_dev) in devices:
            continue
        devices.add(device)
        free = shutil.disk_usage(place).free
        level: Level = "problem" if free < LEAST_DISK_BYTES else "note" if free < ENOUGH_DISK_BYTES else "ok"
        to_do = "" if level == "ok" else f"make room there, {ENOUGH_DISK_BYTES / 1e9:g} GB are comfortable"
        lines.append(Line(f"disk of {name}", level, f"{free / 1e9:.1f} GB free in {folder}", to_do))
    if not os.access(_existing(seen.project.storage), os.W_OK):
        lines.append(Line("storage", "problem", f"{seen.project.storage} cannot be written", "give yourself the right"))
    return lines


def _memory(seen: Examination) -> list[Line]:
    free = _available_memory()
    if free is None:
        return [Line("memory", "note", "not known on this platform")]
    if free < LEAST_MEMORY_BYTES:
        return [
            Line("memory", "problem", f"{free / 1e6:.0f} MB available", "end something, or run fewer variants here")
        ]
    return [Line("memory", "ok", f"{free / 1e9:.1f} GB available")]


def _available_memory() -> int | None:
    """Return what processes may still take, in bytes: of the machine, or less where a container allows less."""
    free = _machine_memory()
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, taken = _number_in(limit), _number_in(used)
        if free is not None and most is not None and taken is not None:
            free = min(free, most - taken)
    return free


def _machine_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _number_in(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # "max": no limit
        return None


def _clock(seen: Examination) -> list[Line]:
    zone = time.strftime("%Z")
    said = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; this machine's time zone is {zone}, Sigil counts in UTC"
    if _synchronised() is False:
        return [
            Line("clock", "note", f"{said}; not kept by NTP, says the kernel", "install chrony or systemd-timesyncd")
        ]
    return [Line("clock", "ok", said)]


def _synchronised() -> bool | None:
    """Return whether the kernel's clock is kept in step by NTP; None where that cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state = adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))  # modes 0: reads only
    return None if state < 0 else state != UNSYNCHRONISED


# --- what a person wrote ----------------------------------------------------------------------------------------------


def _settings(seen: Examination) -> list[Line]:
    lines = []
    for variant in known_variants(seen.project):
        check = f"settings of {variant}"
        try:
            warnings = warnings_of(load_variant(variant, project=seen.project).settings)
        except SettingsError as error:
            lines.append(Line(check, "problem", str(error), f"correct overlays/{variant}.yaml or base.yaml"))
            continue
        said = f"{len(warnings)} remark{'s' if len(warnings) > 1 else ''}"
        to_do = f"read: sigil config check --variant {variant}"
        lines.append(Line(check, "note", said, to_do) if warnings else Line(check, "ok", "no remarks"))
    return lines


def _env_file(seen: Examination) -> list[Line]:
    if seen.refused:
        return [Line(".env", "problem", seen.refused, "correct it; nothing that needs it was checked")]
    if not seen.project.env_file.exists():
        return [Line(".env", "ok", f"none at {seen.project.env_file}: the embedded server, no alerts")]
    if warnings := environment_warnings(seen.project):
        found, _, way_out = warnings[0].rpartition("; ")
        return [Line(".env", "problem", found, way_out)]
    return [Line(".env", "ok", f"{seen.project.env_file}, readable by you alone")]


def _alerts(seen: Examination) -> list[Line]:
    from sigil_ext.settings.alerts import alert_channels

    if seen.environment is None:
        return []
    silent, counts = [], []
    for variant in TRADED_VARIANTS:
        try:
            count = len(alert_channels(seen.project, variant))
        except SettingsError as error:
            return [Line("alerts", "problem", str(error), "correct it in .env")]
        counts.append(f"{variant} {count}")
        silent += [] if count else [variant]
    if silent:
        said = f"nobody is told what happens to {', '.join(silent)}"
        return [Line("alerts", "note", said, "set SIGIL_ALERT_URLS in .env, then: sigil alerts test")]
    return [Line("alerts", "ok", f"channels: {', '.join(counts)}")]


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())


CHECKS: dict[str, Callable[[Examination], Sequence[Line]]] = {
    "python": _python,
    "platform": _platform,
    "jesse": _jesse,
    "embedded server": _embedded,
    "databases": _databases,
    "redis": _redis,
    "feed": _feed,
    "disk": _disk,
    "memory": _memory,
    "clock": _clock,
    "settings": _settings,
    ".env": _env_file,
    "alerts": _alerts,
}
