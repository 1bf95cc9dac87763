"""The server itself: since when it runs, and which databases answer how quickly."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sigil_ext import __version__
from sigil_ext.db.connection import Database
from sigil_ext.db.panel import rows
from sigil_ext.entrypoints.panel.context import Answer, PanelContext

_STARTED = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """One variant's database: `code` and `message` say why it is away; `latency_ms` is that of this very question."""

    variant: str
    reachable: bool
    code: str | None
    message: str | None
    schema_version: int | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class SystemView:
    """The server: `beside_jesse` says that Jesse's dashboard is served at the same address."""

    version: str
    started_at: datetime
    beside_jesse: bool
    acts_enabled: bool
    databases: tuple[DatabaseView, ...]


async def system_view(context: PanelContext) -> SystemView:
    """Return how the server stands."""
    answers = await context.ask_all(_timed)
    return SystemView(
        __version__,
        _STARTED,
        context.beside_jesse,
        context.acts_enabled,
        tuple(_view(a) for a in answers.values()),
    )


def _timed(database: Database) -> tuple[int, float]:
    began = time.perf_counter()
    version = rows(database, "schema")[0][0]
    return version, (time.perf_counter() - began) * 1000


def _view(answer: Answer[tuple[int, float]]) -> DatabaseView:
    if answer.value is None:
        away = answer.away
        return DatabaseView(answer.variant, False, away.kind if away else None, away.said if away else None, None, None)
    version, latency_ms = answer.value
    return DatabaseView(answer.variant, True, None, None, version, round(latency_ms, 3))
