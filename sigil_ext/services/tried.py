"""What was tried on which candles: a ledger that outlives changes of code, either engine's tries in one.

Whoever looks at one cell after forty others has looked at forty-one. Kept cells cannot tell, because they are as short-lived
as the code that made them; here stays for each candles, period and settings the P&L by day. Start at `Tried`.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sigil_ext.errors import SigilError
from sigil_ext.research.grid.figures import day_count
from sigil_ext.services.market import Market
from sigil_ext.services.sqlite_files import open_file, why
from sigil_ext.settings.project import Project

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Earlier:
    """Cells tried before: how many, and the P&L (days, cells) of those of which it is known."""

    count: int
    daily: Floats


class Tried:
    """The tries on the candles of one market and over its period. Candles before the period are warm-up and no matter."""

    def __init__(self, project: Project, market: Market) -> None:
        self._path = ledger_of(project)
        self._link = _opened(self._path)
        self._data, self._days = data_hash(market), day_count(market.start_ms, market.finish_ms)
        self._period = (market.start_ms, market.finish_ms)

    def __enter__(self) -> Tried:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def note(self, settings: str, maker: str, daily: Floats) -> None:
        """Write down that the cell with the hash `settings` was tried; `maker` is the engine and code that ran it."""
        packed = zlib.compress(np.ascontiguousarray(daily, dtype="<f8").tobytes(), 1)
        with _told(self._path):
            self._link.execute(
                "INSERT OR REPLACE INTO tries VALUES (?, ?, ?, ?, ?, ?)",
                (self._data, *self._period, settings, maker, packed),
            )

    def others(self, than: Collection[str]) -> Earlier:
        """Return the tries whose settings are not among the hashes `than`."""
        known: list[Floats] = []
        count = 0
        with _told(self._path):
            rows = self._link.execute(
                "SELECT settings, daily FROM tries WHERE data = ? AND start_ms = ? AND finish_ms = ? ORDER BY settings",
                (self._data, *self._period),
            )
            for settings, packed in rows:
                if settings in than:
                    continue
                count += 1
                if packed is not None:
                    known.append(np.frombuffer(zlib.decompress(packed), "<f8"))
            return Earlier(count, np.column_stack(known) if known else np.empty((self._days, 0)))


def disown(project: Project, maker: str) -> None:
    """Forget what the cells that `maker` ran came to, since it was wrong. That they were tried stays."""
    path = ledger_of(project)
    with contextlib.closing(_opened(path)) as link, _told(path):
        link.execute("UPDATE tries SET daily = NULL WHERE maker = ?", (maker,))


def ledger_of(project: Project) -> Path:
    """Return the file; it lies beside the folder of kept cells, which may be removed at any time."""
    return project.storage / "research" / "tried.sqlite"


def data_hash(market: Market) -> str:
    """Return a hash of the candles within the period of `market`, and of where they came from."""
    total = hashlib.blake2b(market.exchange.encode(), digest_size=16)
    for symbol in market.symbols:
        rows = market.candles[symbol]
        first, last = np.searchsorted(rows[:, 0], (market.start_ms, market.finish_ms))
        if first < last:
            total.update(symbol.encode())
            total.update(np.ascontiguousarray(rows[first:last]).data)
    return total.hexdigest()


def _opened(path: Path) -> sqlite3.Connection:
    with _told(path):
        return open_file(
            path,
            "CREATE TABLE IF NOT EXISTS tries (data TEXT, start_ms INTEGER, finish_ms INTEGER, settings TEXT, maker TEXT,"
            " daily BLOB, PRIMARY KEY (data, start_ms, finish_ms, settings)) WITHOUT ROWID",
        )


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SigilError(
            f"the ledger of cells tried, {path}, cannot be kept ({why(error)}); its folder must be one that can be written"
        ) from error
    except (sqlite3.Error, zlib.error, ValueError) as error:
        raise SigilError(
            f"the ledger of cells tried, {path}, cannot be used ({why(error)}); move it away, what was tried before then counts no more"
        ) from error
