"""One process that keeps several paper sessions going: starts them, restarts one that dies, stops them together.

Each session is a process of its own (`sigil run paper --variant V`), because Jesse's state is process-wide and because one
that dies must not take the others with it. Start at `supervise`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigil_ext.errors import LockHeld
from sigil_ext.settings.project import Project

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
HEALTHY_S = 300.0  # a session that lived this long died of something new: the waits begin anew
STOP_PATIENCE_S = 60.0
STOP_SAID_S = 5.0  # a session that ends its minute takes less
WRONG_USE = 2
ASKED_TO_END = (-signal.SIGTERM, 128 + signal.SIGTERM)
ONCE = ("--fresh", "--restart")
LINE_LIMIT = 64 * 1024 * 1024  # a report of a long session is one line


@dataclass(slots=True)
class Child:
    """One session as its supervisor sees it."""

    variant: str
    restarts: int = 0
    share: float | None = None
    last: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] | None = None
    status: int | None = None


def supervise(
    project: Project,
    variants: Sequence[str],
    arguments: Sequence[str],
    *,
    say: Callable[[str], None],
    progress: Callable[[Child], None] = lambda child: None,
) -> list[Child]:
    """Run a session for each of `variants` until all have ended by themselves, or SIGTERM or Ctrl-C stops them.

    A session that ends with an error is started again, after 1 s, 2 s, 4 s and so on up to a minute; one that was used
    wrongly (exit status 2) is not, since it would say the same again.

    Args:
        arguments: of `sigil run paper` besides the variant. say: is told in one line what happens to a session.
    Raises:
        LockHeld: another supervisor runs in this project.
    """
    with _alone(project):
        return asyncio.run(_supervise(project, variants, arguments, say, progress))


async def _supervise(
    project: Project, variants: Sequence[str], arguments: Sequence[str], say: Callable[[str], None],
    progress: Callable[[Child], None],
) -> list[Child]:  # fmt: skip
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    children = [Child(variant) for variant in variants]
    try:
        await asyncio.gather(*(_keep(project, child, arguments, stop, say, progress) for child in children))
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return children


async def _keep(
    project: Project, child: Child, arguments: Sequence[str], stop: asyncio.Event, say: Callable[[str], None],
    progress: Callable[[Child], None],
) -> None:  # fmt: skip
    wait_s = FIRST_WAIT_S
    while not stop.is_set():
        began = time.monotonic()
        # Beginning anew is meant once: a session that died goes on.
        again = [a for a in arguments if a not in ONCE] if child.restarts else arguments
        child.status, last_words = await _run(project, child, again, stop, say, progress)
        if stop.is_set() and child.status in ASKED_TO_END:
            child.status = 0  # it had not begun yet
        if child.status == 0 or stop.is_set():
            return
        if child.status == WRONG_USE:
            say(f"{child.variant}: {last_words}; not started again")
            return
        if time.monotonic() - began > HEALTHY_S:
            wait_s = FIRST_WAIT_S
        how = f"killed by {signal.Signals(-child.status).name}" if child.status < 0 else f"exit status {child.status}"
        say(f"{child.variant}: died ({how}{': ' + last_words if last_words else ''}), started again in {wait_s:.0f} s")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
        wait_s = min(LONGEST_WAIT_S, wait_s * 2)
        child.restarts += 1


async def _run(
    project: Project, child: Child, arguments: Sequence[str], stop: asyncio.Event, say: Callable[[str], None],
    progress: Callable[[Child], None],
) -> tuple[int, str]:  # fmt: skip
    """Run the session once; return its exit status and the last line it said on stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sigil_ext", "run", "paper", "--variant", child.variant, "--report-lines", *arguments,
        env={**os.environ, "SIGIL_HOME": str(project.root)}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=LINE_LIMIT,
        start_new_session=True,  # Ctrl-C reaches this process, which stops the sessions itself
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    words = asyncio.create_task(_last_words(process.stderr))
    heard = asyncio.create_task(_hear(process.stdout, child, progress))
    stopping = asyncio.create_task(stop.wait())
    ended = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await _end(process, ended, child.variant, say)
        status = await ended
        await heard
        return status, await words
    finally:
        stopping.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _end(
    process: asyncio.subprocess.Process, ended: asyncio.Task[int], variant: str, say: Callable[[str], None], *,
    said_s: float = STOP_SAID_S, patience_s: float = STOP_PATIENCE_S,
) -> None:  # fmt: skip
    """Ask a session to end, and kill one that does not within `patience_s`; after `said_s` a person is told of the wait."""
    process.terminate()
    done, _ = await asyncio.wait({ended}, timeout=said_s)
    if done:
        return
    say(f"{variant}: has not ended yet (process {process.pid}); it is killed {patience_s:.0f} s after it was asked to")
    done, _ = await asyncio.wait({ended}, timeout=patience_s - said_s)
    if not done:
        process.kill()
        say(f"{variant}: did not end within {patience_s:.0f} s and was killed; it goes on with the same command")


async def _hear(stream: asyncio.StreamReader, child: Child, progress: Callable[[Child], None]) -> None:
    async for line in stream:
        if (message := _message(line)) is None:
            print(f"{child.variant}: {line.decode(errors='replace').rstrip()}", file=sys.stderr, flush=True)
            continue
        if message["event"] == "report":
            child.report = message
        else:
            child.last, child.share = message, message.get("share")
        progress(child)


def _message(line: bytes) -> dict[str, Any] | None:
    """Return what a session tells its supervisor; None: something in its process printed a line of its own."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "event" in message else None


async def _last_words(stream: asyncio.StreamReader) -> str:
    last = ""
    async for line in stream:
        text = line.decode(errors="replace").rstrip()
        if text.startswith("{"):
            print(text, file=sys.stderr, flush=True)  # a structured log line, passed on as it is
        elif text:
            last = text
    return last


@contextlib.contextmanager
def _alone(project: Project) -> Iterator[None]:
    path = project.storage / "paper" / "supervisor.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LockHeld(
                f"a supervisor runs already (process {file.read().strip() or 'unknown'}); stop it first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
