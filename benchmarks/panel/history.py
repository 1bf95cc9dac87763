"""A month of history of four variants, made up: what the API is measured on. Start at `make`.

    python -m benchmarks.panel.history FOLDER

FOLDER becomes a project with an embedded server of its own. Twenty symbols, a candle each minute, the wallet each minute,
some 50 trades, 170 signals and a scan of the universe an hour a day and variant.
"""

from __future__ import annotations

import io
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from sigil_ext.db.connection import Database
from sigil_ext.services.database import open_database
from sigil_ext.settings.overlays import TRADED_VARIANTS, load_variant
from sigil_ext.settings.project import Project

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = [f"S{n:02d}-USDT" for n in range(20)]
DAYS = 30
MINUTES = DAYS * 1440
TOKEN, ACT_TOKEN = "reads", "acts"


def project_in(folder: Path) -> Project:
    """Return the project in `folder`, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("overlays", "migrations", "strategies", "sample"):
        link = folder / name
        if not link.exists():
            link.symlink_to(ROOT / name)
    (folder / ".env").write_text(f"PASSWORD=bench\nSIGIL_API_TOKEN={TOKEN}\nSIGIL_API_ACT_TOKEN={ACT_TOKEN}\n")
    (folder / ".env").chmod(0o600)
    return Project(folder.resolve(), folder.resolve() / "storage")


def make(folder: Path) -> Project:
    """Write the month into `folder`, once."""
    project = project_in(folder)
    start = (datetime.now(UTC) - timedelta(days=DAYS)).replace(minute=0, second=0, microsecond=0)
    for number, variant in enumerate(TRADED_VARIANTS):
        began = time.monotonic()
        database = open_database(variant, project)
        with database.transaction() as cur:
            cur.execute("SELECT count(*) FROM paper_minutes")
            if cur.fetchone()[0] >= MINUTES:  # type: ignore[index]
                continue
        _minutes(database, variant, start, seed=number)
        _rows(database, start)
        print(f"{variant}: {time.monotonic() - began:.0f} s", flush=True)
        database.close()
    return project


def _minutes(database: Database, variant: str, start: datetime, seed: int) -> None:
    from sigil_ext.db.journal import Journal
    from sigil_ext.settings.overlays import flatten

    settings = flatten(load_variant(variant).settings)
    first = int(start.timestamp() * 1000)
    session = Journal(database).begin(settings, SYMBOLS, first, {}, feed="exchange")
    rng = np.random.default_rng(seed)
    price = np.exp(rng.normal(0, 0.001, (MINUTES, len(SYMBOLS))).cumsum(axis=0))
    rows = np.empty((MINUTES, len(SYMBOLS), 6))
    rows[:, :, 0] = np.arange(len(SYMBOLS))
    rows[:, :, 1], rows[:, :, 2] = price, price * 1.0002
    rows[:, :, 3], rows[:, :, 4], rows[:, :, 5] = price * 1.001, price * 0.999, 1000.0
    copied = io.StringIO()
    for minute in range(MINUTES):
        copied.write(f"{session.id}\t{first + minute * 60_000}\t\\\\x{rows[minute].tobytes().hex()}\n")
    copied.seek(0)
    with database.transaction() as cur:
        cur.copy_expert("COPY paper_minutes (session_id, open_ms, candles) FROM STDIN", copied)


def _rows(database: Database, start: datetime) -> None:
    values = {"start": start, "variant": database.variant, "symbols": len(SYMBOLS), "days": DAYS}
    with database.transaction() as cur:
        for statement in _STATEMENTS:
            cur.execute(statement, values)
    with closing(database.connect()) as link:
        link.autocommit = True
        link.cursor().execute("VACUUM ANALYZE")


_STATEMENTS = (
    """INSERT INTO equity_snapshots SELECT %(start)s::timestamptz + n * interval '1 minute', 800, 200 + 40 * sin(n / 900.0),
       1000 + 40 * sin(n / 900.0), 4 FROM generate_series(0, %(days)s * 1440 - 1) AS n""",
    """INSERT INTO micro_positions (symbol, status, qty, entry_price, high_water, opened_at, exit_price, closed_at, exit_reason,
         fees_usd, pnl_usd, atr_at_entry, variant_id, stop_price, stop_pct, trail_armed, risk_usd, notional_usd, cap_bound)
       SELECT 'S' || lpad((n %% %(symbols)s)::text, 2, '0') || 'USDT', 'closed', 50, 1, 1.02, %(start)s::timestamptz + n * interval '29 minutes', 1.01,
         %(start)s::timestamptz + n * interval '29 minutes' + interval '3 hours',
         (ARRAY['atr_trail', 'atr_trail', 'atr_trail', 'hard_stop', 'flat_no_move'])[1 + n %% 5], 0.15,
         CASE WHEN n %% 5 = 3 THEN -3.1 ELSE 0.6 END, 0.02, %(variant)s, 0.97, 3, true, 1.5, 50, true
       FROM generate_series(0, %(days)s * 50 - 20) AS n""",
    """INSERT INTO micro_positions (symbol, status, qty, entry_price, high_water, opened_at, fees_usd, atr_at_entry, variant_id,
         stop_price, stop_pct, trail_armed, risk_usd, notional_usd, cap_bound)
       SELECT 'S' || lpad(n::text, 2, '0') || 'USDT', 'open', 50, 1, 1, now() - interval '2 hours', 0, 0.02, %(variant)s, 0.97, 3,
         false, 1.5, 50, true FROM generate_series(0, 4) AS n""",
    """INSERT INTO signals (symbol, rule, rsi, volume_ratio, acted, reject_reason, created_at, close, highest_high)
       SELECT 'S' || lpad((n %% %(symbols)s)::text, 2, '0') || 'USDT', 'breakout', 65, 2.5, n %% 3 = 0,
         CASE WHEN n %% 3 = 0 THEN NULL ELSE 'cooldown' END, %(start)s::timestamptz + n * interval '8 minutes', 1, 0.99
       FROM generate_series(0, %(days)s * 170) AS n""",
    """INSERT INTO refusals SELECT 'S' || lpad(n::text, 2, '0') || 'USDT', r, 100, 5, %(start)s, now()
       FROM generate_series(0, %(symbols)s - 1) AS n, unnest(ARRAY['cooldown', 'ban', 'position_open', 'not_in_universe']) AS r""",
    """INSERT INTO universe_scans (at) SELECT %(start)s::timestamptz + n * interval '1 hour' FROM generate_series(1, %(days)s * 24) AS n""",
    """INSERT INTO universe_rows SELECT s.id, n, 'S' || lpad(n::text, 2, '0') || 'USDT', n < 15, 'accepted', 1.0 / (n + 1), n + 1,
         '{"price": 1.0, "atr_pct": 2.0, "quote_volume_usd": 5000000}' FROM universe_scans AS s, generate_series(0, %(symbols)s - 1) AS n""",
    """INSERT INTO symbol_protections (symbol, expires_at, violation_count, reason)
       SELECT 'S' || lpad(n::text, 2, '0') || 'USDT', now() + interval '1 hour', 1, 'position opened' FROM generate_series(0, %(symbols)s - 1) AS n""",
    """INSERT INTO protection_events (symbol, at, kind, actor, reason, violation_count)
       SELECT 'S' || lpad((n %% %(symbols)s)::text, 2, '0') || 'USDT', %(start)s::timestamptz + n * interval '15 minutes', 'cooldown', 'sigil', 'position opened', 0
       FROM generate_series(0, %(days)s * 96) AS n""",
    """INSERT INTO operator_acts (at, actor, act, reason) SELECT %(start)s::timestamptz + n * interval '7 hours', 'eva@desk', 'pause', 'a visit'
       FROM generate_series(0, 99) AS n""",
    """INSERT INTO alerts (at, event, title, body, state) SELECT %(start)s::timestamptz + n * interval '15 minutes', 'entry', 'entered', 'a few words', 'sent'
       FROM generate_series(0, %(days)s * 96) AS n""",
    """INSERT INTO probe_runs (at, host, findings, took_ms) SELECT %(start)s::timestamptz + n * interval '5 minutes', 'host', '[]', 40
       FROM generate_series(0, %(days)s * 288) AS n""",
    """INSERT INTO audits (at, session_id, since, until, matched, paper_only, backtest_only, differing, unexplained, report)
       SELECT %(start)s::timestamptz + n * interval '1 day', 1, %(start)s, now(), 40 * n, 0, 0, 0, 0, '{"differences": []}' FROM generate_series(1, %(days)s) AS n""",
    """INSERT INTO scanner_heartbeat (variant_id, last_scan_start, last_scan_end, last_candle, last_write, session_id, feed, state)
       VALUES (%(variant)s, now(), now(), now(), now(), 1, 'exchange', 'running')""",
)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
