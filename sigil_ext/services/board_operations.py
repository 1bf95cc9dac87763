"""What the panel's operations page shows of one variant's database, in one question to it. Start at `operations_page`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sigil_ext.db import board
from sigil_ext.db.board import ActRow, ChannelRow, ProbeRun
from sigil_ext.db.connection import Database
from sigil_ext.db.outbox import Outbox, StoredAlert
from sigil_ext.db.paper_periods import StoredAudit
from sigil_ext.services.board import Head, head

PROBES_SHOWN = 72
ALERTS_SHOWN = 40
AUDITS_SHOWN = 10
ACTS_SHOWN = 60


@dataclass(frozen=True, slots=True)
class OperationsPage:
    """What people and processes did around one variant."""

    head: Head
    place: str
    probes: tuple[ProbeRun, ...]
    alerts: tuple[StoredAlert, ...]
    channels: tuple[ChannelRow, ...]
    audits: tuple[StoredAudit, ...]
    migrations: tuple[tuple[int, str, datetime], ...]
    jobs: tuple[tuple[str, datetime | None], ...]
    acts: tuple[ActRow, ...]


def operations_page(database: Database) -> OperationsPage:
    """Return the part of the variant of `database`."""
    return OperationsPage(
        head=head(database),
        place=database.address.place,
        probes=tuple(board.probe_runs(database, PROBES_SHOWN)),
        alerts=tuple(Outbox(database).list(limit=ALERTS_SHOWN)),
        channels=tuple(board.channels(database)),
        audits=tuple(board.audits(database, AUDITS_SHOWN)),
        migrations=tuple(board.migrations(database)),
        jobs=tuple(board.jobs(database)),
        acts=tuple(board.acts(database, ACTS_SHOWN)),
    )
