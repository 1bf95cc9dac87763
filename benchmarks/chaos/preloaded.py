"""Start commands without the seconds that Python and Jesse take to import: fork them from a process that has done it.

What is started is a process of its own that runs the same code as `sigil ...`; it can be killed like any other. Start at
`Preloaded.start`. Run as a program, this file is the process that forks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Forked:
    """A process that the preloaded one forked; as much of `subprocess.Popen` as the scripts use."""

    def __init__(self, parent: Preloaded, pid: int) -> None:
        self._parent, self.pid = parent, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        if self.returncode is None:
            self.returncode = self._parent.ask({"poll": self.pid})
        return self.returncode

    def wait(self) -> int:
        """Wait for its end and return the exit status."""
        while self.returncode is None:
            self.returncode = self._parent.ask({"wait": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Preloaded:
    """The process that has imported everything; `close` ends it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())], cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start(self, arguments: list[str], said: Path) -> Forked:
        """Start `sigil arguments`; what it says goes to the file `said`."""
        return Forked(self, self.ask({"start": arguments, "folder": str(self.folder), "said": str(said)}))

    def ask(self, question: dict[str, Any]) -> Any:
        """Ask the process something and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate("")


def serve() -> None:
    """Import what a session needs, then fork and reap as asked on stdin."""
    sys.path.insert(0, str(ROOT))
    here = Path.cwd()
    with (
        tempfile.TemporaryDirectory() as elsewhere
    ):  # Jesse opens a database of its own when it is imported in a project
        os.chdir(elsewhere)
        import sigil_ext.bridge.paper_host
        import sigil_ext.bridge.strategy
        import sigil_ext.entrypoints.cli.main
        import sigil_ext.services.paper
        import sigil_ext.services.paper_feeds  # noqa: F401

        os.chdir(here)
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer: int | None = os.fork() or _become(question)
        else:
            answer = _reaped(question.get("poll") or question["wait"], wait="wait" in question)
        print(json.dumps(answer), flush=True)


def _become(question: dict[str, Any]) -> int:
    """Be the command, in the child; does not return."""
    status = 70
    try:
        said = os.open(question["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, source in enumerate((nothing, said, said)):
            os.dup2(source, number)
        os.chdir(question["folder"])
        sys.argv = ["sigil", *question["start"]]
        from sigil_ext.entrypoints.cli.main import main

        main()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _reaped(pid: int, *, wait: bool) -> int | None:
    found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve()
