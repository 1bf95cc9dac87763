"""Jesse's candle table, in plain SQL: what is imported here is what Jesse's own dashboard and backtests read.

The table is made exactly as Jesse 3.5.3 makes it (a test compares), prices as `real`: seven digits survive, so a long
volume or the price of BTC comes back rounded, here as in Jesse. It holds one-minute rows only; a bar longer than a minute is
stored as its one observed minute. Never imports Jesse. Start at `import_candles` and `read_candles`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import psycopg2
from psycopg2 import errors as pg
from psycopg2 import sql
from psycopg2.extensions import connection

from sigil_ext.bridge.candle_checks import COLUMNS, MINUTE_MS, TIMESTAMP, Array, at_ms, check_candles, describe_time
from sigil_ext.bridge.candle_files import INTERVALS, CandleSet
from sigil_ext.errors import CandleError, DatabaseUnavailable, UnknownSymbol, UsageError, hint
from sigil_ext.rules.symbols import to_jesse

DEFAULT_SCHEMA = "jesse"
DEFAULT_EXCHANGE = "Binance Spot"
# The names that Jesse's dashboard offers and its backtests accept; a test compares them with Jesse's own list.
EXCHANGES = (
    "Apex Omni Perpetual", "Apex Omni Perpetual Testnet", "Binance Perpetual Futures",
    "Binance Perpetual Futures Testnet", "Binance Spot", "Binance US Spot", "Bitfinex Spot", "Bitget Spot",
    "Bitget USDT Perpetual", "Bitget USDT Perpetual Testnet", "Bybit Spot", "Bybit Spot Testnet",
    "Bybit USDC Perpetual", "Bybit USDC Perpetual Testnet", "Bybit USDT Perpetual",
    "Bybit USDT Perpetual Testnet", "Coinbase Spot", "Custom Data", "Dydx Perpetual", "Dydx Perpetual Testnet",
    "FTX Perpetual Futures", "FTX Spot", "FTX US Spot", "Gate Spot", "Gate USDT Perpetual",
    "Hyperliquid Perpetual", "Hyperliquid Perpetual Testnet", "Kraken Pro Futures", "Kraken Pro Futures Testnet",
    "Kraken Pro Spot", "KuCoin Spot", "KuCoin USDT Perpetual", "Lighter Perpetual", "Lighter Perpetual Testnet",
    "Massive Currencies", "Massive Futures", "Massive Indices", "Massive Stocks",
)  # fmt: skip

CREATE_TABLE = (
    'CREATE TABLE IF NOT EXISTS {table} ("id" UUID NOT NULL PRIMARY KEY, "timestamp" BIGINT NOT NULL, '
    '"open" REAL NOT NULL, "close" REAL NOT NULL, "high" REAL NOT NULL, "low" REAL NOT NULL, "volume" REAL NOT NULL, '
    '"exchange" VARCHAR(255) NOT NULL, "symbol" VARCHAR(255) NOT NULL, "timeframe" VARCHAR(255) NOT NULL)'
)
CREATE_INDEX = (
    'CREATE UNIQUE INDEX IF NOT EXISTS "candle_exchange_symbol_timeframe_timestamp" ON {table} '
    '("exchange", "symbol", "timeframe", "timestamp")'
)

_CHUNK_ROWS = 20_000
_ONE_MINUTE = "(c.timeframe = '1m' OR c.timeframe IS NULL)"  # rows of an older Jesse have no timeframe


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """One symbol in the table. [start, finish) is the period: open time of the first row, end of the last."""

    exchange: str
    symbol: str
    rows: int
    start: datetime
    finish: datetime


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: rows written now, rows that were there already, rows that had to go (`replace`)."""

    stored: int
    already: int
    removed: int


def known_exchange(exchange: str) -> None:
    """Refuse an exchange that Jesse does not know.

    Raises:
        UsageError: with the nearest name.
    """
    if exchange not in EXCHANGES:
        raise UsageError(f"Jesse knows no exchange '{exchange}'; {hint(exchange, EXCHANGES)}")


def create_candle_table(link: connection, schema: str = DEFAULT_SCHEMA) -> None:
    """Make schema and table unless they are there. Safe when several do it at once.

    Raises:
        DatabaseUnavailable: the server was lost, or the user may not create them.
    """
    with _transaction(link) as cur:
        if _exists(cur, schema):
            return
        # CREATE ... IF NOT EXISTS alone is not safe: two that find nothing both create, and the second fails.
        cur.execute("SELECT pg_advisory_xact_lock(hashtextextended('sigil:candle:create', 0))")
        cur.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        cur.execute(sql.SQL(CREATE_TABLE).format(table=_table(schema)))
        cur.execute(sql.SQL(CREATE_INDEX).format(table=_table(schema)))


def import_candles(
    link: connection,
    candle_set: CandleSet,
    exchange: str = DEFAULT_EXCHANGE,
    *,
    schema: str = DEFAULT_SCHEMA,
    replace: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Write a series in one transaction: all of it or nothing; rows that are there already are kept.

    Rows that are there with *other values* are not mixed with: one-minute rows and bars of five minutes would count volume
    twice. `replace` removes what the table holds in the period of the series first.

    Args:
        progress: called with the number of rows done since the last call.
    Raises:
        CandleError: the table holds other values for one of the minutes; a value does not fit into Jesse's columns.
        UsageError: Jesse knows no such exchange.
        DatabaseUnavailable: the server was lost.
    """
    known_exchange(exchange)
    create_candle_table(link, schema)
    series = {"exchange": exchange, "symbol": candle_set.symbol}
    stored = removed = 0
    with _transaction(link) as cur:
        # One writer a series, so that what is compared here cannot change before it is written.
        cur.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"sigil:candle:{exchange}:{series['symbol']}",)
        )
        cur.execute(
            sql.SQL("CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
                _columns(), _table(schema)
            )
        )
        if replace:
            period = {"first": candle_set.start_ms, "finish": candle_set.finish_ms}
            cur.execute(
                _query(
                    "DELETE FROM {table} c WHERE {series} AND timestamp >= %(first)s AND timestamp < %(finish)s", schema
                ),
                series | period,
            )
            removed = cur.rowcount
        for first in range(0, len(candle_set.candles), _CHUNK_ROWS):
            chunk = candle_set.candles[first : first + _CHUNK_ROWS]
            cur.execute("TRUNCATE incoming")
            _copy_in(cur, chunk, candle_set)
            _refuse_other_values(cur, chunk, candle_set, exchange, schema)
            cur.execute(
                _query(
                    "INSERT INTO {table} (id, exchange, symbol, timeframe, {columns}) "
                    "SELECT gen_random_uuid(), %(exchange)s, %(symbol)s, '1m', {columns} FROM incoming ORDER BY timestamp "
                    "ON CONFLICT DO NOTHING",
                    schema,
                ),
                series,
            )
            stored += cur.rowcount
            if progress is not None:
                progress(len(chunk))
    return Imported(stored, len(candle_set.candles) - stored, removed)


def stored_series(link: connection, schema: str = DEFAULT_SCHEMA) -> list[StoredSeries]:
    """Return what the table holds, by exchange and symbol; nothing where there is no table yet.

    Raises:
        DatabaseUnavailable: the server was lost.
    """
    with _transaction(link) as cur:
        if not _exists(cur, schema):
            return []
        cur.execute(
            _query(
                "SELECT c.exchange, c.symbol, count(*), min(c.timestamp), max(c.timestamp) FROM {table} c "
                "WHERE {one_minute} GROUP BY c.exchange, c.symbol ORDER BY c.exchange, c.symbol",
                schema,
            )
        )
        return [
            StoredSeries(exchange, symbol, rows, at_ms(first), at_ms(last + MINUTE_MS))
            for exchange, symbol, rows, first, last in cur.fetchall()
        ]


def read_candles(
    link: connection,
    exchange: str = DEFAULT_EXCHANGE,
    symbols: Sequence[str] | None = None,
    start_ms: int | None = None,
    finish_ms: int | None = None,
    *,
    schema: str = DEFAULT_SCHEMA,
) -> dict[str, CandleSet]:
    """Return candles of the table by symbol, sorted by symbol, checked, to the float what Jesse itself reads.

    Args:
        symbols: which ones, in any spelling; None for all of the exchange. One without a row in the period is left out,
            one that was asked for by name is refused.
        start_ms, finish_ms: keep rows with start_ms <= timestamp < finish_ms.
    Raises:
        CandleError: no row of the exchange, or none in the period; a row is bad.
        UnknownSymbol: the exchange has no row of one of `symbols`.
        DatabaseUnavailable: the server was lost.
    """
    place = f"table {schema}.candle"
    found: dict[str, CandleSet] = {}
    with _transaction(link) as cur:
        held = _symbols(cur, exchange, schema)
        if not held:
            raise CandleError(f"{place} holds no candles of {exchange}; import some with: sigil candles import DIR")
        wanted = held if symbols is None else sorted({_known(symbol, held) for symbol in symbols})
        for symbol in wanted:
            candles = _copy_out(cur, exchange, symbol, start_ms, finish_ms, schema)
            if len(candles):
                check_candles(candles, 1, f"{place}, {symbol} of {exchange}")
                found[symbol] = CandleSet(symbol, guess_interval(candles), candles, place)
            elif symbols is not None:
                break
    if not found or (symbols is not None and len(found) < len(wanted)):
        missing = None if symbols is None else next(symbol for symbol in wanted if symbol not in found)
        there = [
            s
            for s in stored_series(link, schema)
            if s.exchange == exchange and (missing is None or s.symbol == missing)
        ]
        first, last = min(s.start for s in there), max(s.finish for s in there)
        raise CandleError(
            f"{place} holds no candle of {missing or exchange} in the period asked for; "
            f"there is {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
        )
    return found


def guess_interval(candles: Array) -> int:
    """Return how many minutes each row stands for: rows that were all imported from longer bars show it by their times."""
    minutes = candles[:, TIMESTAMP].astype(np.int64) // MINUTE_MS
    if len(minutes) < 3:
        return 1
    step = int(np.gcd.reduce(np.diff(minutes)))
    fitting = [n for n in INTERVALS.values() if step % n == 0 and ((minutes + 1) % n == 0).all()]
    return max(fitting)


def _known(text: str, held: Sequence[str]) -> str:
    try:
        symbol = to_jesse(text)
    except ValueError:
        raise UnknownSymbol(text, held) from None
    if symbol not in held:
        raise UnknownSymbol(symbol, held)
    return symbol


def _symbols(cur: Any, exchange: str, schema: str) -> list[str]:
    if not _exists(cur, schema):
        return []
    # From one symbol to the next by the index: a table of millions of rows is not counted to name a few dozen.
    cur.execute(
        _query(
            "WITH RECURSIVE names AS (SELECT min(c.symbol) AS name FROM {table} c WHERE c.exchange = %(exchange)s UNION ALL "
            "SELECT (SELECT min(c.symbol) FROM {table} c WHERE c.exchange = %(exchange)s AND c.symbol > names.name) "
            "FROM names WHERE names.name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL",
            schema,
        ),
        {"exchange": exchange},
    )
    return sorted(name for (name,) in cur.fetchall())


def _refuse_other_values(cur: Any, chunk: Array, candle_set: CandleSet, exchange: str, schema: str) -> None:
    # No LIMIT 1: it tempts the planner into a nested loop over both sides, minutes instead of milliseconds.
    cur.execute("ANALYZE incoming")
    cur.execute(
        _query(
            "SELECT i.timestamp, c.close, i.close, c.volume, i.volume FROM incoming i JOIN {table} c "
            "ON c.timestamp = i.timestamp AND {series} AND c.timestamp BETWEEN %(first)s AND %(last)s "
            "WHERE (i.open, i.close, i.high, i.low, i.volume) IS DISTINCT FROM (c.open, c.close, c.high, c.low, c.volume) "
            "ORDER BY i.timestamp",
            schema,
        ),
        {
            "exchange": exchange,
            "symbol": candle_set.symbol,
            "first": int(chunk[0, TIMESTAMP]),
            "last": int(chunk[-1, TIMESTAMP]),
        },
    )
    if (row := cur.fetchone()) is not None:
        timestamp, old_close, new_close, old_volume, new_volume = row
        raise CandleError(
            f"{candle_set.source}: the table already holds other candles of {candle_set.symbol} on {exchange}: at "
            f"{describe_time(timestamp)} close {old_close:g}, volume {old_volume:g}, in the file {new_close:g}, {new_volume:g}; "
            "nothing was written. Put the file in their place with --replace, or name another --exchange"
        )


def _copy_in(cur: Any, chunk: Array, candle_set: CandleSet) -> None:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    columns = [chunk[:, i].astype(np.int64) if i == TIMESTAMP else chunk[:, i] for i in range(len(COLUMNS))]
    text = io.BytesIO()
    pa_csv.write_csv(pa.table(columns, names=list(COLUMNS)), text, pa_csv.WriteOptions(include_header=False))
    text.seek(0)
    try:
        cur.copy_expert(sql.SQL("COPY incoming ({}) FROM STDIN (FORMAT csv)").format(_columns()), text)
    except pg.NumericValueOutOfRange as error:
        said = " ".join(str(error).split())
        raise CandleError(f"{candle_set.source}: a value does not fit into Jesse's columns: {said}") from error


def _copy_out(cur: Any, exchange: str, symbol: str, start_ms: int | None, finish_ms: int | None, schema: str) -> Array:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    # Text, not binary: PostgreSQL writes a `real` with the digits that were stored (0.04005), as Jesse reads it; widened
    # from its four bytes the same price would be 0.04005000...69.
    query = _query(
        "COPY (SELECT {columns} FROM {table} c WHERE {series} AND {one_minute} "
        "AND timestamp >= %(first)s AND timestamp < %(finish)s ORDER BY timestamp) TO STDOUT (FORMAT csv)",
        schema,
    )
    first = -(2**62) if start_ms is None else start_ms
    finish = 2**62 if finish_ms is None else finish_ms
    text = io.BytesIO()
    cur.copy_expert(
        cur.mogrify(query, {"exchange": exchange, "symbol": symbol, "first": first, "finish": finish}).decode(), text
    )
    if not text.tell():
        return np.empty((0, len(COLUMNS)))
    table = pa_csv.read_csv(
        pa.BufferReader(text.getvalue()),
        read_options=pa_csv.ReadOptions(column_names=list(COLUMNS)),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.float64())),
    )
    candles = np.empty((table.num_rows, len(COLUMNS)))
    for i, name in enumerate(COLUMNS):
        candles[:, i] = table.column(name).to_numpy()
    return candles


def _table(schema: str) -> sql.Identifier:
    return sql.Identifier(schema, "candle")


def _columns() -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, COLUMNS))


def _query(text: str, schema: str) -> sql.Composed:
    return sql.SQL(text).format(
        table=_table(schema),
        columns=_columns(),
        series=sql.SQL("c.exchange = %(exchange)s AND c.symbol = %(symbol)s AND " + _ONE_MINUTE),
        one_minute=sql.SQL(_ONE_MINUTE),
    )


def _exists(cur: Any, schema: str) -> bool:
    cur.execute("SELECT to_regclass(%s) IS NOT NULL", (f'"{schema}".candle',))
    return bool(cur.fetchone()[0])


@contextlib.contextmanager
def _transaction(link: connection) -> Iterator[Any]:
    try:
        with link, link.cursor() as cur:
            yield cur
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise DatabaseUnavailable(f"lost the database: {' '.join(str(error).split())}") from error
    except pg.InsufficientPrivilege as error:
        raise DatabaseUnavailable(
            f"the database refuses: {' '.join(str(error).split())}; grant the user the right"
        ) from error
