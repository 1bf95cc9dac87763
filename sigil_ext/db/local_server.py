"""What the embedded servers (PostgreSQL, Redis) have in common: a port on this machine, files that only we can read, a
process that outlives the command that started it. Knows neither of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
# Outside the kernel's range for outgoing connections (32768 and up) and away from 5432 and 6379, so nobody else's by chance.
PORTS = range(21_000, 31_000)
LETTING_GO_S = 3.0  # a server that was killed keeps its port until the kernel has buried it


def is_free(port: int) -> bool:
    """Return whether nobody listens on `port` of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def choose_port(remembered: Path) -> int | None:
    """Return the port that the file `remembered` holds, or another one, noted there, where a stranger took it.

    None if not one of two hundred tried is free.
    """
    with contextlib.suppress(OSError, ValueError):
        port = int(remembered.read_text())
        until = time.monotonic() + LETTING_GO_S
        while not (free := is_free(port)) and time.monotonic() < until:
            time.sleep(0.05)
        if free:
            return port
    for _ in range(200):
        port = secrets.choice(PORTS)
        if is_free(port):
            write_private(remembered, f"{port}\n")
            return port
    return None


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock `path`, waiting for it; it is free again when this process ends, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def private(path: str, flags: int) -> int:
    """Open a file that only we can read; an opener for `open`."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "w", opener=private) as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def start_detached(
    command: Sequence[str], log: Path, ended: str, environment: Mapping[str, str], identity: Mapping[str, Any]
) -> int:
    """Start `command` as nobody's child; when it ends, the log says `ended` and its status.

    Returns:
        Where in the log its words begin.
    """
    with open(log, "a", opener=private) as out:
        said_before = out.tell()
        # The first shell ends at once, so the server is nobody's child here; the second stays and waits for the
        # server, which therefore never lingers as a zombie where PID 1 reaps late, and notes its end in the log.
        subprocess.run(
            ["/bin/sh", "-c", f'( "$@"; echo "{ended} $?" ) &', "sigil-server", *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
            check=True,
            **identity,
        )
    return said_before


def said_since(log: Path, offset: int) -> str:
    """Return what `log` holds from `offset` on; a negative one counts from its end."""
    try:
        with open(log, "rb") as said:
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size + offset) if offset < 0 else offset)
            return said.read().decode(errors="replace")
    except OSError:
        return ""
