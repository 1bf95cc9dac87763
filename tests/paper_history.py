"""A paper history made by hand: sessions, minutes, trades, audits, written as a session writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.rules.ports import BanPolicy
from sigil_ext.rules.types import Entry, Exit
from sigil_ext.settings.models import BanSettings
from sigil_ext.settings.overlays import flatten, load_variant

FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
NO_BANS: BanPolicy = BanSettings(after=0, window="7d", base_hours=24, max_hours=168)


class PaperHistory:
    """The record of one variant; hours are counted from `FIRST_DAY`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = PostgresStore(database)
        self._symbols = 0

    def session(self, days: float, *overrides: str, begins: float = 0.0, ended: bool = True) -> RecordedSession:
        """Begin a session at hour `begins`; without minutes."""
        settings = flatten(load_variant("baseline", overrides).settings)
        start_ms = _ms(begins)
        session = Journal(self.database).begin(settings, ["TST-USDT", "NFP-USDT"], start_ms, {}, feed="exchange")
        self.minutes(session, begins, begins + 24 * days)
        if ended:
            Journal(self.database).end(session)
        return session

    def minutes(
        self, session: RecordedSession, begins: float, ends: float, *, late_s: int = 2, downtime: bool = False
    ) -> None:
        """Record the minutes of these hours, each written `late_s` seconds after its end."""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO paper_minutes (session_id, open_ms, candles, downtime, written_at)"
                " SELECT %s, ms, '', %s, to_timestamp(ms / 1000.0 + 60 + %s)"
                " FROM generate_series(%s::bigint, %s::bigint, 60000) AS ms",
                (session.id, downtime, late_s, _ms(begins), _ms(ends) - 60_000),
            )

    def trade(
        self, hour: float, pnl_usd: float, *, held: float = 2.0, symbol: str | None = None, fee: float = 0.15,
        risk_usd: float = 1.5, reason: str | None = None, downtime: bool = False,
    ) -> None:  # fmt: skip
        """Enter at `hour` and leave after `held` hours."""
        self._symbols += symbol is None
        symbol = symbol or f"C{self._symbols}-USDT"
        opened, closed = at(hour), at(hour + held)
        entered = self.store.enter(
            Entry(
                symbol=symbol, at=opened, price=1.0, qty=50.0, notional_usd=50.0, stop_price=0.97, stop_pct=3.0,
                atr_at_entry=0.02, risk_usd=risk_usd, cap_bound=True, universe_id=None, cooldown_until=None,
                max_open_positions=1000, signal=None,
            )
        )  # fmt: skip
        reason = reason or ("atr_trail" if pnl_usd > 0 else "hard_stop")
        self.store.close(Exit(entered.position_id, symbol, closed, 1.0, reason, fee, pnl_usd), NO_BANS)
        if downtime:
            self.store.note_downtime(entered.position_id)

    def equity(self, hour: float, usd: float) -> None:
        with self.database.transaction() as cur:
            cur.execute("INSERT INTO equity_snapshots VALUES (%s, %s, 0, %s, 0)", (at(hour), usd, usd))

    def audit(
        self, session: RecordedSession, begins: float, ends: float, *, matched: int, differing: int = 0,
        unexplained: int = 0, differences: str = "[]",
    ) -> None:  # fmt: skip
        """Store what an audit of these hours found; `differences` is JSON."""
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO audits (session_id, since, until, matched, paper_only, backtest_only, differing, unexplained,"
                " report) VALUES (%s, %s, %s, %s, 0, 0, %s, %s, jsonb_build_object('differences', %s::jsonb))",
                (session.id, at(begins), at(ends), matched, differing, unexplained, differences),
            )

    def month(self, outcomes: Sequence[float] = (1.2, 1.2, -1.6) * 12) -> RecordedSession:
        """31 days seen live and audited, with a trade every twenty hours; as it stands, it passes."""
        session = self.session(31)
        for number, pnl in enumerate(outcomes):
            self.trade(20 * number + 5, pnl)
        self.audit(session, 0, 24 * 31, matched=len(outcomes))
        return session


def at(hour: float) -> datetime:
    """Return an hour of the history as a time."""
    return FIRST_DAY + hour * HOUR


def _ms(hour: float) -> int:
    return round(at(hour).timestamp() * 1000)
