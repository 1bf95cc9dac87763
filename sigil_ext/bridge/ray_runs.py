"""Simulations as tasks of a Ray cluster, one that runs already or one started here. Candles go into the object store once.

The object store hands them to every task of a node as the same pages of memory; nothing is copied per run but what Jesse
itself copies. The cluster's machines need this package and its dependencies. Start at `run_each_on_ray`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.records import Message
from sigil_ext.bridge.simulate import SimulationRequest, SimulationResult
from sigil_ext.bridge.worker import error_of, outcome_of
from sigil_ext.errors import SigilError, SimulationFailed, UsageError

LOCAL = "local"
CONNECT_S = 3.0
IMPORT_S, HEALTH_S = 90.0, 8.0
STARTS = 3
# Ray must be set before it is imported: no telemetry, no chatter, no look for graphics cards. A worker process that is not up
# in 60 s is ended and started again: on a machine that is too busy for that, for ever and without a word.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_register_timeout_seconds": "900",
}

Candles = Mapping[str, NDArray[np.float64]]


def run_each_on_ray(
    address: str, candles: Candles, requests: Sequence[SimulationRequest], workers: int | None
) -> Generator[tuple[int, SimulationResult | SigilError], None, None]:
    """Yield (index, result) as tasks end; a run that failed yields its error, the others go on.

    Args:
        address: host:port of a cluster that `demand_cluster` found, or `local` to start one for this call.
        candles: of every request; those of the requests themselves are not looked at.
        workers: processors of a local cluster, tasks at once on an existing one; None: all there are.
    Raises:
        SimulationFailed: Ray cannot be used.
    """
    with _quiet():
        ray = importlib.import_module("ray")
        with _connected(ray, address, candles, workers):
            yield from _run(ray, candles, requests, workers)


def demand_cluster(address: str) -> None:
    """Refuse an address (not `local`) at which no Ray cluster answers, in seconds: Ray itself would try for minutes.

    Raises:
        UsageError: with the address and the way out; the cluster asks for a token and none was given.
    """
    if address == LOCAL:
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(
            f"--ray '{address}' is not HOST:PORT; give the address of a cluster like 10.0.0.5:6379, or local"
        )
    refusal = UsageError(
        f"no Ray cluster answers at {address}; start one there (ray start --head --port {port}), or use --ray local"
    )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except OSError:
        raise refusal from None
    said = _health(address)
    if b"InvalidAuthToken" in said:
        raise UsageError(
            f"the Ray cluster at {address} asks for a token; set RAY_AUTH_MODE=token here too (Ray then reads ~/.ray/auth_token)"
        )
    if b"it answers" not in said:
        raise refusal


def _health(address: str) -> bytes:
    """Return what Ray says of the cluster at `address`, where something listens: `it answers`, an error, or not a word.

    It is asked in a process that can be ended, because the question has no time limit of its own. The limit begins when
    Ray is imported: that takes long on a busy machine and says nothing about the cluster.
    """
    code = (
        "import sys; from ray.scripts.scripts import healthcheck; print('ready', flush=True)\n"
        "try: healthcheck.main(['--address', sys.argv[1], '--skip-version-check'], standalone_mode=False)\n"
        "except SystemExit as end: print('' if end.code else 'it answers')"
    )
    asked = subprocess.Popen(
        [sys.executable, "-c", code, address], env=os.environ | QUIET, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert asked.stdout is not None
    try:
        ready, _, _ = select.select([asked.stdout], [], [], IMPORT_S)
        first = asked.stdout.readline() if ready else b""
        asked.wait(HEALTH_S if ready else 0)
        return first + asked.stdout.read()
    except subprocess.TimeoutExpired:
        return b""
    finally:
        asked.kill()
        asked.stdout.close()
        asked.wait()


def _run(
    ray: Any, candles: Candles, requests: Sequence[SimulationRequest], workers: int | None
) -> Iterator[tuple[int, SimulationResult | SigilError]]:
    shared = ray.put(dict(candles))  # once: tasks get a reference, a node fetches it once
    # A worker process runs one cell after the other: Jesse's state is made anew by each run, and its import takes seconds.
    task = ray.remote(num_cpus=1, max_retries=1)(_simulated)
    at_once = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting = list(enumerate(replace(request, candles={}) for request in requests))
    running: dict[Any, int] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            index, request = waiting.pop(0)
            running[task.remote(index, request, shared)] = index
        ready, _ = ray.wait(list(running), num_returns=1)
        for reference in ready:
            index = running.pop(reference)
            try:
                message: Message = ray.get(reference)
            except ray.exceptions.RayError as error:
                said = " ".join(str(error).split())[:300]
                yield index, SimulationFailed(f"{requests[index].label}: the task on the Ray cluster was lost ({said})")
                continue
            yield index, message.payload if message.kind == "done" else error_of(message)


def _simulated(index: int, request: SimulationRequest, candles: Candles) -> Message:
    """Run one request in a worker process of the cluster."""
    # Jesse opens a database when it is imported inside a project.
    with tempfile.TemporaryDirectory(prefix="sigil-ray-") as folder, contextlib.chdir(folder):
        importlib.import_module("jesse.research")
        return outcome_of(index, replace(request, candles=candles))


@contextlib.contextmanager
def _connected(ray: Any, address: str, candles: Candles, workers: int | None) -> Iterator[None]:
    if ray.is_initialized():
        raise SimulationFailed("this process is connected to a Ray cluster already; end that connection first")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "FATAL", "configure_logging": True}
    if address == LOCAL:
        size = sum(rows.nbytes for rows in candles.values())
        common |= {
            "address": "local", "num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1",
            "object_store_memory": max(256_000_000, 2 * size + 128_000_000),
        }  # fmt: skip
    else:
        common |= {"address": address}
    for left in reversed(range(STARTS if address == LOCAL else 1)):
        try:
            ray.init(**common)
            break
        except Exception as error:  # Ray raises plain ones
            ray.shutdown()
            if left and "timed out during startup" in str(error):  # its 30 s are not enough on a busy machine
                continue
            said = " ".join(str(error).split())[:300]
            raise SimulationFailed(
                f"Ray at '{address}' is of no use: {said} Without --ray processes are used"
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Set Ray's environment for its processes, and keep from them what makes Jesse believe that it is tested."""
    hidden = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("PYTEST")}
    before = {key: os.environ.get(key) for key in QUIET}
    os.environ.update(QUIET)
    try:
        yield
    finally:
        os.environ.update(hidden)
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
