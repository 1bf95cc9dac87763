"""Cells already run, kept in SQLite files under storage/research/cells/: a grid that was broken off goes on, a wider one reuses.

One file for each engine, code and candles (hashes of all three are in its name), one row a cell and period. What a file
holds is never stale: other code or candles are another file. Start at `CellStore`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sigil_ext.errors import SigilError
from sigil_ext.research.kernel.trades import TRADE, CellTrades
from sigil_ext.services.market import Market
from sigil_ext.services.sqlite_files import open_file, why
from sigil_ext.services.tried import disown
from sigil_ext.settings.overlays import Variant
from sigil_ext.settings.project import PACKAGE, Project

TRADE_CODE: dict[str, tuple[str, ...]] = {
    "jesse": ("rules", "settings", "db/scripted_store.py", "db/memory_store.py", "bridge", "research/kernel/trades.py"),
    "kernel": ("rules", "settings", "research/kernel"),
}
TRADE_LIBRARIES = ("jesse", "numpy", "numba")


class CellStore:
    """The cells of one engine on one market's candles, over any part of its time. `maker` names the engine and its code."""

    def __init__(self, project: Project, engine: str, market: Market) -> None:
        folder = project.storage / "research" / "cells"
        self._project, self.maker = project, f"{engine}-{code_hash(engine)[:12]}"
        self.path = folder / f"{self.maker}-{candles_hash(market)[:12]}.sqlite"
        try:
            self._link = open_file(
                self.path,
                "CREATE TABLE IF NOT EXISTS cells (key TEXT, start_ms INTEGER, finish_ms INTEGER, final_equity REAL,"
                " refused TEXT, trades BLOB, PRIMARY KEY (key, start_ms, finish_ms)) WITHOUT ROWID",
            )
        except (OSError, sqlite3.Error) as error:
            raise _broken(self.path, error) from error

    def __enter__(self) -> CellStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def get(self, run: Variant, market: Market) -> CellTrades | None:
        """Return what was kept of `run` over the period of `market`, None where nothing was."""
        with self._told():
            row = self._link.execute(
                "SELECT final_equity, refused, trades FROM cells WHERE key = ? AND start_ms = ? AND finish_ms = ?",
                (settings_hash(run), *_period(market)),
            ).fetchone()
            return None if row is None else CellTrades(_unpacked(row[2]), row[0], json.loads(row[1]))

    def put(self, run: Variant, market: Market, cell: CellTrades) -> None:
        """Keep what `run` came to over the period of `market`."""
        row = (
            settings_hash(run),
            *_period(market),
            cell.final_equity,
            json.dumps(cell.signals_refused),
            _packed(cell.trades),
        )
        with self._told():
            self._link.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?)", row)

    def disown(self) -> None:
        """Drop everything that this engine's code made, of all candles: one wrong cell is reason to believe none.

        Rows go, not files: another grid may have a file open.
        """
        with self._told():
            self._link.execute("DELETE FROM cells")
        for path in set(self.path.parent.glob(f"{self.maker}-*.sqlite")) - {self.path}:
            # A broken file is of no use to any grid either; whoever opens it is told.
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(path, timeout=60)) as link,
                link,
            ):
                link.execute("DELETE FROM cells")
        disown(self._project, self.maker)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error, ValueError, KeyError) as error:
            raise _broken(self.path, error) from error


def _period(market: Market) -> tuple[int, int]:
    return market.start_ms, market.finish_ms


def settings_hash(run: Variant) -> str:
    """Return a hash of what decides the trades of `run`: its settings, not its name."""
    return hashlib.sha256(run.settings.model_dump_json().encode()).hexdigest()


def candles_hash(market: Market) -> str:
    """Return a hash of the candles of `market` and of where they came from."""
    total = hashlib.blake2b(market.exchange.encode(), digest_size=16)
    for symbol in market.symbols:
        total.update(symbol.encode())
        total.update(np.ascontiguousarray(market.candles[symbol]).data)
    return total.hexdigest()


def code_hash(engine: str) -> str:
    """Return a hash of the code that decides the trades of `engine`."""
    total = hashlib.sha256()
    for part in TRADE_CODE[engine]:
        place = PACKAGE / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            total.update(str(path.relative_to(PACKAGE)).encode())
            total.update(path.read_bytes())
    for library in TRADE_LIBRARIES:
        total.update(f"{library}={version(library)}".encode())
    return total.hexdigest()


def _packed(trades: NDArray[np.void]) -> bytes:
    """Return the trades column by column, which compresses to about a third of row by row."""
    return zlib.compress(b"".join(trades[name].tobytes() for name in TRADE.names or ()), 1)


def _unpacked(blob: bytes) -> NDArray[np.void]:
    """Return the trades; what their columns are is part of the code that a file's name is made of."""
    data = zlib.decompress(blob)
    trades = np.zeros(len(data) // TRADE.itemsize, dtype=TRADE)
    begin = 0
    for name in TRADE.names or ():
        kind = TRADE[name]
        trades[name] = np.frombuffer(data, kind, len(trades), begin)
        begin += kind.itemsize * len(trades)
    return trades


def _broken(path: Path, error: Exception) -> SigilError:
    if isinstance(error, OSError):
        return SigilError(
            f"cells cannot be kept in {path.parent} ({why(error)}); it must be a folder that can be written"
        )
    return SigilError(
        f"the cells kept in {path} cannot be used ({why(error)}); remove the file, the cells are then run again"
    )
