"""One variant's database: its address, its connections, transactions that speak plainly when the server is lost.

Start at `Database.transaction`. Migrations are run by `migrate.py`, never by opening a connection.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
from psycopg2 import errorcodes, errors, sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection, cursor
from pydantic import SecretStr

from sigil_ext.db import embedded
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.settings.environment import DatabaseAddress, database_name, load_environment
from sigil_ext.settings.project import Project

CONNECT_TIMEOUT_S = 5
IDLE_CHECKED_AFTER_S = 1.0
MAX_IDLE = 4

_SETTINGS = "SET TIME ZONE 'UTC'; SET search_path = public; SET lock_timeout = '15s'"


class Database:
    """Connections to the database of one variant. Safe between threads, and in a forked child, which opens its own."""

    def __init__(self, variant: str, address: DatabaseAddress) -> None:
        self.variant = variant
        self.address = address
        self._idle: list[tuple[float, connection]] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._held = threading.local()

    @property
    def embedded(self) -> bool:
        """True for a database on the server that Sigil itself started."""
        return self.address.source == EMBEDDED

    def connect(self) -> connection:
        """Return a new connection in UTC, for a session that keeps it (locks, listening). The caller closes it.

        Raises:
            DatabaseUnavailable: no server there, wrong password, no such database; never with the password.
        """
        return _connect(self.address)

    @contextlib.contextmanager
    def one_transaction(self, link: connection | None = None, *, savepoints: bool = True) -> Iterator[cursor]:
        """Run the block in one transaction that every `transaction()` within it, on this thread, becomes a part of.

        An error inside an inner block undoes that block (a savepoint); an error that leaves this one undoes everything.

        Args:
            link: run it on this connection and no other, say because it holds a lock; the caller goes on owning it.
            savepoints: False saves two journeys a block, and then only `transaction(savepoint=True)` can be undone alone.
        """
        outer = self.transaction() if link is None else self._transaction_on(link)
        with outer as cur:
            self._held.cursor, self._held.savepoints = cur, savepoints
            try:
                yield cur
            finally:
                self._held.cursor = None

    def open_transaction(self, link: connection) -> cursor:
        """Return a cursor for `part_of`: what runs there is a transaction that stays open until `commit`, or is undone.

        Raises:
            DatabaseUnavailable: the server was lost.
        """
        with self.explained(link):
            return link.cursor()

    @contextlib.contextmanager
    def part_of(self, cur: cursor) -> Iterator[None]:
        """Make every `transaction()` within the block, on this thread, a part of the one of `cur`, without savepoints.

        After an error the caller has to undo it (`link.rollback()`).
        """
        self._held.cursor, self._held.savepoints = cur, False
        try:
            yield
        finally:
            self._held.cursor = None

    def commit(self, link: connection) -> None:
        """Commit what `open_transaction` began.

        Raises:
            DatabaseUnavailable: the server was lost; the outcome is unknown.
        """
        with self.explained(link):
            link.commit()

    @contextlib.contextmanager
    def _transaction_on(self, link: connection) -> Iterator[cursor]:
        with self.explained(link), link, link.cursor() as cur:
            yield cur

    @contextlib.contextmanager
    def _savepoint(self, cur: cursor) -> Iterator[cursor]:
        cur.execute("SAVEPOINT inner_block")
        try:
            yield cur
        except BaseException:
            if not cur.connection.closed:
                cur.execute("ROLLBACK TO SAVEPOINT inner_block")
            raise
        cur.execute("RELEASE SAVEPOINT inner_block")

    @contextlib.contextmanager
    def transaction(self, *, savepoint: bool = False) -> Iterator[cursor]:
        """Run the block in one transaction: committed at its end, undone by any error.

        Args:
            savepoint: within `one_transaction`, an error undoes this block alone whatever was said there.
        Raises:
            DatabaseUnavailable: the server was lost or has no room. Lost during the commit itself, the outcome is
                unknown; what is written here must therefore be safe to write again.
        """
        if (held := getattr(self._held, "cursor", None)) is not None:
            undoable = savepoint or self._held.savepoints
            with (
                self.explained(held.connection),
                self._savepoint(held) if undoable else contextlib.nullcontext(held) as cur,
            ):
                yield cur
            return
        link = self._take()
        try:
            with self._transaction_on(link) as cur:
                yield cur
        finally:
            self._give_back(link)

    @contextlib.contextmanager
    def explained(self, link: connection) -> Iterator[None]:
        """Turn what the driver says of a lost, closed or damaged database into DatabaseUnavailable."""
        try:
            yield
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            if link.closed or error.pgcode is None or _is_outage(error.pgcode):
                _close(link)
                raise DatabaseUnavailable(f"lost the {self.address.place}: {_one_line(error)}") from error
            raise
        except (errors.DataCorrupted, errors.IndexCorrupted) as error:
            raise DatabaseUnavailable(
                f"the {self.address.place} is damaged: {_one_line(error)[:200]}; restore a backup: sigil db restore --replace"
            ) from error
        except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction, errors.UndefinedTable) as error:
            way_out = "run: sigil migrate up" if isinstance(error, errors.UndefinedTable) else "ask its administrator"
            raise DatabaseUnavailable(
                f"the {self.address.place} cannot be used: {_one_line(error)[:200]}; {way_out}"
            ) from error

    def close(self) -> None:
        """Close the idle connections; the object can be used again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, link in idle:
            _close(link)

    def _take(self) -> connection:
        while True:
            with self._lock:
                if self._pid != os.getpid():  # a fork: these sockets are the parent's
                    self._idle, self._pid = [], os.getpid()
                since, link = self._idle.pop() if self._idle else (0.0, None)
            if link is None:
                return self.connect()
            if time.monotonic() - since < IDLE_CHECKED_AFTER_S or _answers(link):
                return link
            _close(link)

    def _give_back(self, link: connection) -> None:
        if link.closed or link.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            _close(link)
            return
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append((time.monotonic(), link))
                return
        _close(link)


EMBEDDED = "the embedded server"


def resolve_address(project: Project, variant: str) -> DatabaseAddress:
    """Return where `variant`'s database is: as `.env` says, else on the embedded server, which is started.

    Raises:
        UsageError: the variant is for research only, or a setting is refused.
        DatabaseUnavailable: the embedded server cannot be started.
    """
    if address := load_environment(project).database(variant):
        return address
    server = embedded.ensure_running(project)
    return DatabaseAddress(server.host, server.port, server.user, server.password, database_name(variant), EMBEDDED)


def create_if_missing(address: DatabaseAddress) -> bool:
    """Create the database that `address` names unless it is there; return whether it was created now.

    Raises:
        DatabaseUnavailable: the server cannot be reached or entered, or the user may not create databases.
    """
    try:
        _connect(address).close()
        return False
    except _NoSuchDatabase as missing:
        with contextlib.closing(_maintenance(address, missing)) as link:
            link.autocommit = True
            try:
                with link.cursor() as cur:
                    cur.execute(
                        sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(
                            sql.Identifier(address.name)
                        )
                    )
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                return False  # somebody else was quicker
            except errors.InsufficientPrivilege:
                raise DatabaseUnavailable(
                    f"there is no {address.place} and user '{address.user}' may not create it; "
                    f'run as an administrator: CREATE DATABASE "{address.name}" OWNER "{address.user}"'
                ) from None
            except psycopg2.Error as error:
                raise DatabaseUnavailable(f"cannot create the {address.place}: {_one_line(error)}") from None
        return True


def rename_database(address: DatabaseAddress, name: str) -> None:
    """Give the database another name; nothing in it changes. Idle connections of Sigil's to it are cut.

    Raises:
        DatabaseUnavailable: somebody is connected to it, or the user may not rename it.
    """
    with contextlib.closing(
        _maintenance(address, _NoSuchDatabase(f"there is no maintenance database at {address.place}"))
    ) as link:
        link.autocommit = True
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(address.name), sql.Identifier(name))
        try:
            with link.cursor() as cur:
                # Sigil's own connections that wait for work; whoever holds one takes another.
                cur.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = %s AND application_name LIKE 'sigil%%' AND state = 'idle'",
                    (address.name,),
                )
                cur.execute(rename)
        except psycopg2.Error as error:
            raise DatabaseUnavailable(f"cannot rename the {address.place}: {_one_line(error)}") from None


def exists(address: DatabaseAddress) -> bool:
    """Return whether the server has the database that `address` names.

    Raises:
        DatabaseUnavailable: the server cannot be reached or entered.
    """
    try:
        _connect(address).close()
    except _NoSuchDatabase:
        return False
    return True


class _NoSuchDatabase(DatabaseUnavailable):
    """The server answered that it has no database of this name."""


def _maintenance(address: DatabaseAddress, missing: _NoSuchDatabase) -> connection:
    for name in ("postgres", "template1"):
        with contextlib.suppress(_NoSuchDatabase):
            return _connect(address, name)
    raise missing


def _connect(address: DatabaseAddress, name: str | None = None) -> connection:
    name = name or address.name
    where = f"database '{name}' on {address.host}:{address.port}"
    options: dict[str, Any] = dict(embedded.CLIENT_OPTIONS if address.source == EMBEDDED else address.options)
    try:
        link: connection = psycopg2.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.get_secret_value(),
            dbname=name,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="sigil",
            keepalives_idle=60,
            keepalives_interval=10,
            keepalives_count=5,
            tcp_user_timeout=30_000,
            **options,
        )
    except psycopg2.OperationalError as error:
        raise _explain_connect(error, address, name, where) from None
    try:
        with link.cursor() as cur:
            cur.execute(_SETTINGS)
        link.commit()
    except psycopg2.Error as error:
        _close(link)
        raise DatabaseUnavailable(f"lost the {where}: {_one_line(error)}") from None
    return link


def _explain_connect(error: Exception, address: DatabaseAddress, name: str, where: str) -> DatabaseUnavailable:
    said = _without(address.password, _one_line(error))
    setting = f"({address.source})"
    if "password authentication failed" in said or "no password supplied" in said:
        return DatabaseUnavailable(
            f"wrong password or user '{address.user}' for the {where} {setting}; correct it in .env"
        )
    # The server's own words, which follow its language; the code does not come with a failed connection.
    if "does not exist" in said and f'database "{name}"' in said:
        return _NoSuchDatabase(f"there is no {where} {setting}; run: sigil migrate up")
    if "Connection refused" in said:
        return DatabaseUnavailable(f"no server answers for the {where} {setting}; start it or correct the address")
    if "could not translate host name" in said:
        return DatabaseUnavailable(f"host '{address.host}' is not known {setting}; correct the address")
    if "timeout expired" in said:
        return DatabaseUnavailable(
            f"no answer from {address.host}:{address.port} within {CONNECT_TIMEOUT_S} s {setting}"
        )
    return DatabaseUnavailable(f"cannot enter the {where} {setting}: {said}")


def _is_outage(code: str) -> bool:
    return code[:2] in ("08", "53", "58") or code in (
        errorcodes.ADMIN_SHUTDOWN,
        errorcodes.CRASH_SHUTDOWN,
        errorcodes.CANNOT_CONNECT_NOW,
        errorcodes.DATABASE_DROPPED,
    )


def _answers(link: connection) -> bool:
    try:
        with link, link.cursor() as cur:
            cur.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


def _close(link: connection) -> None:
    with contextlib.suppress(psycopg2.Error):
        link.close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _without(secret: SecretStr, text: str) -> str:
    value = secret.get_secret_value()
    return text.replace(value, "***") if value else text
