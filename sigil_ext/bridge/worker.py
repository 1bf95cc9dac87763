"""Simulations in processes of their own: one host process imports Jesse once and forks a child for each run.

The host is a plain subprocess, outside the project folder, because Jesse opens a database when it is imported inside one,
and outside pytest, because Jesse behaves otherwise under it. Start at `run_all`, which a service calls; the lower half of
the file runs in the host.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from multiprocessing import connection, get_context
from typing import IO, TYPE_CHECKING, Any, cast

from sigil_ext.bridge.records import Message
from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult, simulate
from sigil_ext.errors import SigilError, SimulationFailed, UsageError
from sigil_ext.settings.temporary import temporary_folder

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def run_all(
    requests: Sequence[SimulationRequest],
    workers: int,
    on_progress: Callable[[int, float], None] = lambda index, share: None,
) -> list[SimulationResult]:
    """Run every request, at most `workers` at a time, and return the results in the order of the requests.

    Args:
        on_progress: called with the index of a request and its share done, 0..1.
    Raises:
        SigilError: the first run that failed, with its own sentence; the others are ended.
        SimulationFailed: the host or a child died.
    """
    results: dict[int, SimulationResult] = {}
    with contextlib.closing(run_each(requests, workers, on_progress)) as runs:
        for index, outcome in runs:
            if isinstance(outcome, SigilError):
                raise outcome
            results[index] = outcome
    return [results[index] for index in range(len(requests))]


def run_each(
    requests: Sequence[SimulationRequest],
    workers: int,
    on_progress: Callable[[int, float], None] = lambda index, share: None,
) -> Generator[tuple[int, SimulationResult | SigilError], None, None]:
    """Yield (index, result) as runs end; a run that failed yields its error, the others go on. Closing it ends them all.

    Args:
        on_progress: called with the index of a request and its share done, 0..1.
    Raises:
        SimulationFailed: the host died.
    """
    ended = 0
    with temporary_folder("run") as folder, (folder / "log").open("w+") as log:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
        host = subprocess.Popen(
            [sys.executable, "-m", __spec__.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        assert host.stdin is not None
        assert host.stdout is not None
        try:
            pickle.dump((list(requests), workers), host.stdin)
            host.stdin.flush()
            while ended < len(requests):
                message = _read(host.stdout)
                if message is None:
                    raise SimulationFailed(f"the simulation process died: {_last_line(log)}")
                if message.kind == "progress":
                    on_progress(message.index, message.payload)
                    continue
                ended += 1
                if message.kind == "done":
                    on_progress(message.index, 1.0)
                    yield message.index, message.payload
                else:
                    yield message.index, error_of(message)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(host.pid, signal.SIGKILL)  # the children are in its group
            host.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                host.stdin.close()
            host.wait()


def error_of(message: Message) -> SigilError:
    """Return the error that a "failed" message tells of, the traceback as its cause."""
    wrong_use, sentence, trace = message.payload
    error = UsageError(sentence) if wrong_use else SimulationFailed(sentence)
    error.__cause__ = SimulationFailed(trace)
    return error


def outcome_of(
    index: int, request: SimulationRequest, progress: Callable[[float], None] = lambda share: None
) -> Message:
    """Run `request` in this process and return a "done" or "failed" message: nothing is raised across its border."""
    try:
        return Message(index, "done", simulate(request, progress))
    except SigilError as error:
        return Message(index, "failed", (isinstance(error, UsageError), str(error), traceback.format_exc()))
    except Exception as error:  # noqa: BLE001 (the border of a process: what is not said here is lost)
        sentence = f"{request.label}: {type(error).__name__}: {error}; --debug shows where"
        return Message(index, "failed", (False, sentence, traceback.format_exc()))


def _read(stream: IO[bytes]) -> Message | None:
    try:
        message: Message = pickle.load(stream)
    except EOFError:
        return None
    return message


def _last_line(log: IO[str]) -> str:
    log.flush()
    log.seek(0)
    lines = [line.strip() for line in log if line.strip()]
    return lines[-1] if lines else "it left no message"


# --- in the host ------------------------------------------------------------------------------------------------


def _host() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever Jesse prints belongs to the log, not between the messages
    importlib.import_module("jesse.research")  # once: five seconds that every child inherits

    requests, workers = pickle.load(sys.stdin.buffer)
    context = get_context("fork")
    waiting = list(enumerate(requests))
    running: dict[Any, tuple[int, Any]] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            index, request = waiting.pop(0)
            receiver, sender = context.Pipe(duplex=False)
            child = context.Process(target=_child, args=(index, request, sender), daemon=True)
            child.start()
            sender.close()
            running[receiver] = (index, child)
        for ready in connection.wait(list(running)):
            index, child = running[ready]
            try:
                message = cast("Connection[Any, Message]", ready).recv()
            except EOFError:
                child.join()
                del running[ready]
                if child.exitcode:
                    died = f"{requests[index].label}: the simulation process died (exit status {child.exitcode})"
                    _send(out, Message(index, "failed", (False, died, "")))
                continue
            _send(out, message)


def _send(out: IO[bytes], message: Message) -> None:
    pickle.dump(message, out, protocol=pickle.HIGHEST_PROTOCOL)
    out.flush()


def _child(index: int, request: SimulationRequest, sender: Any) -> None:
    told = 0.0

    def progress(share: float) -> None:
        nonlocal told
        if share - told >= 0.01:
            told = share
            sender.send(Message(index, "progress", share))

    sender.send(outcome_of(index, request, progress))
    sender.close()


if __name__ == "__main__":
    _host()
