"""Files of results in SQLite: several commands may write one at the same time, and a killed one leaves it whole.

Start at `open_file`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path


def open_file(path: Path, table: str) -> sqlite3.Connection:
    """Open the file, made with its folder and with `table` (CREATE TABLE IF NOT EXISTS ...) if it is not there.

    Raises:
        OSError, sqlite3.Error: it cannot be used; `why` says it to a person.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):  # SQLite's own words for it are "unable to open database file"
        raise PermissionError(errno.EACCES, "its folder cannot be written")
    link = sqlite3.connect(path, timeout=60, isolation_level=None)
    link.execute("PRAGMA journal_mode = WAL")
    link.execute("PRAGMA synchronous = NORMAL")  # after a power cut the last rows are missing
    link.execute(table)
    return link


def why(error: Exception) -> str:
    """Return the cause alone, without the number and the path that an OSError puts around it."""
    return getattr(error, "strerror", None) or str(error)
