"""Alerts: deliver what waits, alert once on what is wrong, try the channels.

Start at `deliver_once`. `sender_job` is what a scheduler calls every 10 s.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sigil_ext.db.connection import Database
from sigil_ext.db.incidents import Incident, Incidents
from sigil_ext.errors import DatabaseUnavailable, SettingsError, SigilError, UnknownVariant
from sigil_ext.notify.channel import Channel, Outcome, open_channels
from sigil_ext.notify.sender import Counts, Policy, Sender
from sigil_ext.rules import messages
from sigil_ext.services import outage
from sigil_ext.services.database import open_database
from sigil_ext.settings.alerts import EXAMPLE, URLS_KEY, alert_channels
from sigil_ext.settings.environment import database_name
from sigil_ext.settings.overlays import RESEARCH_ONLY
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.strategies import known_sessions

BUDGET_S = 30.0
logger = logging.getLogger("sigil.alerts")
_complaints: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of sending a test through one channel."""

    variant: str
    channel: str
    service: str
    outcome: Outcome


def deliver_once(
    variant: str, project: Project | None = None, *, budget_s: float = BUDGET_S, now: datetime | None = None
) -> Counts:
    """Send `variant`'s waiting alerts that are due and return what was done; takes `budget_s` at most.

    Raises:
        SettingsError: a channel in `.env` cannot be used. DatabaseUnavailable: call again, nothing is lost.
    """
    project = project or find_project()
    return _sender(variant, project).deliver(channels_of(variant, project), budget_s=budget_s, now=now)


def sender_job(
    variant: str, project: Project | None = None, budget_s: float = BUDGET_S, grace: timedelta = outage.GRACE
) -> None:
    """Deliver once, and never raise: for a scheduler. A complaint is logged when it changes, not every time.

    Pass the project where the process leaves its folder, as a paper session does. A database that is lost for longer
    than `grace` is told to the channels directly, and its return too.
    """
    try:
        project = project or find_project()
        _deliver_or_tell(variant, project, budget_s, grace)
        _complaints.pop(variant, None)
    except SigilError as error:
        if _complaints.get(variant) != str(error):
            logger.warning("alerts of %s are not delivered: %s", variant, error)
        _complaints[variant] = str(error)
    except Exception:
        # Whatever it was, of a channel or of ours: a session's end calls this too and must not be broken off by an alert, and
        # the next call of the scheduler may succeed. Nothing is lost, what was not sent waits in the outbox.
        logger.exception("the sender of %s failed; it is called again", variant)


def _deliver_or_tell(variant: str, project: Project, budget_s: float, grace: timedelta) -> None:
    try:
        deliver_once(variant, project, budget_s=budget_s)
        outage.database_back(project, _sender(variant, project).database, now=_utc_now(), grace=grace)
    except DatabaseUnavailable as lost:
        channels = channels_of(variant, project)
        outage.database_lost(project, variant, str(lost), channels, now=_utc_now(), grace=grace)
        raise


def channels_of(variant: str, project: Project) -> list[Channel]:
    """Return the channels that `.env` names for `variant`; it is read anew, so a change needs no restart.

    Raises:
        SettingsError: an address or a filter cannot be used.
    """
    return open_channels(alert_channels(project, variant))


def incident(
    database: Database, key: str, detail: str, event: str, title: str, body: str, now: datetime | None = None
) -> bool:
    """Note that `key` is wrong; alert and return True if that is new, however many processes see it at once."""
    return Incidents(database).open(key, detail=detail, event=event, title=title, body=body, now=now)


def resolve_incident(
    database: Database, key: str, event: str, title: str, body: str, now: datetime | None = None
) -> Incident | None:
    """Note that `key` is well again; alert and return what it was, None if nothing was wrong."""
    return Incidents(database).resolve(key, event=event, title=title, body=body, now=now)


def try_channels(variant: str, project: Project | None = None) -> list[Tried]:
    """Send a test through each channel of `variant`, past outbox and filters.

    Raises:
        SettingsError: no channel is configured, or one cannot be used.
    """
    project = project or find_project()
    if variant not in (known := known_sessions(project)):
        raise UnknownVariant(variant, [v for v in known if v not in RESEARCH_ONLY])
    database_name(variant)  # refuses one for research only
    channels = channels_of(variant, project)
    if not channels:
        raise SettingsError(
            f"no channel for variant '{variant}'; put {URLS_KEY}=... into {project.env_file}, for example {EXAMPLE}"
        )
    title, body = messages.test()
    return [
        Tried(variant, c.name, c.service, c.send(f"{variant}: {title}", body, "info", timeout_s=Policy().timeout_s))
        for c in channels
    ]


@lru_cache(maxsize=32)
def _sender(variant: str, project: Project) -> Sender:
    """One sender a variant and process: it remembers what a lost database could not be told."""
    return Sender(open_database(variant, project))


def _utc_now() -> datetime:
    return datetime.now(UTC)
