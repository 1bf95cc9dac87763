"""A lost database cannot keep an alert about itself: a small file does, and the message goes to the channels at once.

One file a variant under storage/alerts/, whoever writes it (session, probe, a command); it is there as long as the
outage lasts. Start at `database_lost`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sigil_ext.db.connection import Database
from sigil_ext.db.outbox import Outbox
from sigil_ext.notify.backoff import Backoff
from sigil_ext.notify.channel import Channel
from sigil_ext.rules import messages
from sigil_ext.settings.project import Project

GRACE = timedelta(seconds=60)
TIMEOUT_S = 10.0


def database_lost(
    project: Project,
    variant: str,
    detail: str,
    channels: Sequence[Channel],
    *,
    now: datetime,
    grace: timedelta = GRACE,
    backoff: Backoff | None = None,
) -> list[str]:
    """Note that `variant`'s database does not answer; once that lasts `grace`, tell every channel, each once.

    Returns the channels that were told by this call. Call it again and again while it lasts: a channel that failed is
    tried again, and nothing is said about an outage shorter than `grace`.
    """
    path = _path(project, variant)
    with _held(path) as mine:
        if not mine:
            return []  # another process is at it
        outage = _read(path) or {"since": now.isoformat(), "detail": detail, "told": [], "failed": {}}
        _write(path, outage)
        if now - datetime.fromisoformat(outage["since"]) < grace:
            return []
        told = []
        for channel in channels:
            if channel.wants("database_lost", None) and _tell(variant, outage, channel, now, backoff or Backoff()):
                told.append(channel.name)
            _write(path, outage)
        return told


def database_back(project: Project, database: Database, *, now: datetime, grace: timedelta = GRACE) -> bool:
    """Note that the database answers: alert if its outage lasted, through the outbox; True if an alert was written."""
    path = _path(project, database.variant)
    if not path.exists():
        return False
    with _held(path) as mine:
        outage = _read(path) if mine else None
        if outage is None:
            return False
        since = datetime.fromisoformat(outage["since"])
        lasted = bool(outage["told"]) or now - since >= grace
        if lasted:
            title, body = messages.database_back(since=since, until=now, detail=outage["detail"])
            lasted = Outbox(database).put(
                "database_back", at=now, title=title, body=body, key=f"database_lost {outage['since']} over"
            )
        path.unlink()  # after the alert is durable: killed in between, the key keeps it from being written twice
        return lasted


def _tell(variant: str, outage: dict[str, Any], channel: Channel, now: datetime, backoff: Backoff) -> bool:
    """Send to `channel` unless it was told, or failed and has to rest; what came of it is put into `outage`."""
    failures, not_before, doubtful = outage["failed"].get(channel.name, (0, outage["since"], False))
    if channel.name in outage["told"] or now < datetime.fromisoformat(not_before):
        return False
    title, body = messages.database_lost(detail=outage["detail"])
    since = f"since {datetime.fromisoformat(outage['since']):%Y-%m-%d %H:%M} UTC"
    repeat = ", may be a repeat: an earlier attempt got no answer" if doubtful else ""
    outcome = channel.send(f"{variant}: {title}", f"{body}\n{since}{repeat}", "failure", timeout_s=TIMEOUT_S)
    if outcome.state == "sent":
        outage["told"].append(channel.name)
        return True
    rest = backoff.delay(failures + 1, random.random())
    outage["failed"][channel.name] = (failures + 1, (now + rest).isoformat(), doubtful or outcome.doubtful)
    return False


def _path(project: Project, variant: str) -> Path:
    return project.storage / "alerts" / f"{variant}.database_lost.json"


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold the file's lock; yields False at once when another process has it. It ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none, or torn by a full disk: begin anew
        return None
    return found


def _write(path: Path, outage: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(outage), encoding="utf-8")
    fresh.replace(path)
