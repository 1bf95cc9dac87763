"""Sessions of which nothing is expected any more: a recording that ended, a name that a person retired.

The four variants that trade are never among them. A later beat ends the rest by itself. Start at `resting`.
"""

from __future__ import annotations

from sigil_ext.db import state
from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import HeartbeatRow
from sigil_ext.db.queries import one
from sigil_ext.rules import liveness
from sigil_ext.rules.types import OperatorAct
from sigil_ext.settings.overlays import TRADED_VARIANTS


def resting(database: Database, beat: HeartbeatRow | None, *, connected: bool) -> str | None:
    """Return why nothing is expected of the session in `database`, None when it has to be alive.

    Args:
        beat: its heartbeat. connected: a process holds its lock.
    """
    if beat is None or database.variant in TRADED_VARIANTS:
        return None
    with database.transaction() as cur:
        cur.execute(
            "SELECT (SELECT max(at) FROM operator_acts WHERE act = 'retire'),"
            " EXISTS (SELECT FROM paper_sessions WHERE feed <> 'replay')"
        )
        retired_at, traded_live = one(cur)
    return liveness.rest(beat, connected=connected, retired_at=retired_at, traded_live=traded_live)


def retire(database: Database, *, actor: str, reason: str) -> None:
    """Note that a person expects nothing of the session, by the database's clock, which heartbeats are written by."""
    with database.transaction() as cur:
        cur.execute("SELECT clock_timestamp()")
        state.insert_act(cur, OperatorAct(one(cur)[0], actor, "retire", None, reason))
