"""What Sigil needs around it, line by line: fine, worth knowing, or what to do. `CHECKS` is the index; start at `examine`.

Changes nothing, starts nothing. Without a network it says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sigil_ext.bridge.contract import WRITTEN_AGAINST, jesse_contract
from sigil_ext.errors import SettingsError, SigilError
from sigil_ext.services import doctor_databases as databases
from sigil_ext.services import doctor_machine as machine
from sigil_ext.services.examination import CLOCK_NOTED_S, Examination, Level, Line
from sigil_ext.settings.check import warnings_of
from sigil_ext.settings.environment import environment_warnings, load_environment
from sigil_ext.settings.overlays import TRADED_VARIANTS, known_variants, load_variant
from sigil_ext.settings.project import Project, find_project

CLOCK_WRONG_S = 30.0


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


CHECKS: dict[str, Callable[[Examination], Sequence[Line]]] = {
    "python": machine.python,
    "platform": machine.system,
    "jesse": _jesse,
    "embedded server": databases.embedded_server,
    "databases": databases.of_variants,
    "redis": _redis,
    "feed": _feed,
    "disk": machine.disk,
    "memory": machine.memory,
    "clock": machine.clock,
    "settings": _settings,
    ".env": _env_file,
    "alerts": _alerts,
}
