"""Minutes of a recording that share a transaction: it is open from the first one on, and commits them all or none.

Never decides a minute and never writes one; that is done in it. Start at `MinuteGroup.part`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg2
from psycopg2.extensions import connection, cursor

from sigil_ext.db.connection import Database
from sigil_ext.paper.recorder import MinuteRecord

GROUP_S = 0.25  # what a kill sends a session back by at most


class MinuteGroup:
    """The minutes that were processed and not committed yet."""

    def __init__(self, database: Database, most: int) -> None:
        """Args: most: minutes that may share a transaction; 1: none does."""
        self._database = database
        self.most = most
        self.ahead = False
        """Minutes were processed that were not committed and never will be: the host has gone further than the record."""
        self._records: list[MinuteRecord] = []
        self._began = 0.0
        self._cursor: cursor

    def __len__(self) -> int:
        return len(self._records)

    def forget(self) -> None:
        """Begin anew, with a host that stands where the record ends."""
        self._records, self.ahead = [], False

    @contextlib.contextmanager
    def part(self, link: connection) -> Iterator[None]:
        """Make the block a part of the transaction, which begins with the first; an error in it undoes the whole group."""
        if not self._records:
            self._began = time.monotonic()
            self._cursor = self._database.open_transaction(link)
        with self._undone_by_errors(link), self._database.part_of(self._cursor):
            yield

    def add(self, record: MinuteRecord) -> bool:
        """Add a minute that was decided in `part`, and return whether it is time to commit."""
        self._records.append(record)
        late = time.monotonic() - self._began > GROUP_S
        return record.urgent or late or len(self._records) >= self.most

    def commit(self, link: connection, write: Callable[[Sequence[MinuteRecord]], None]) -> int:
        """Write the minutes and commit them; return how many there were.

        Raises:
            DatabaseUnavailable: none of them is known to be committed.
        """
        with self._undone_by_errors(link):
            with self._database.part_of(self._cursor):
                write(self._records)
            self._database.commit(link)
        count, self._records = len(self._records), []
        return count

    @contextlib.contextmanager
    def _undone_by_errors(self, link: connection) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # Unless it was the first minute, the host has seen others that are given up with it.
            self.ahead, self._records = bool(self._records), []
            if not link.closed:
                with contextlib.suppress(psycopg2.Error):
                    link.rollback()
            raise
