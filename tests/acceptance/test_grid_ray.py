"""A grid on Ray: the trades of processes, a cluster that runs already, an address where none answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sigil_ext.settings.project import Project
from tests.conftest import ROOT, Ran

Sigil = Callable[..., Ran]
GRID = (
    "grid", "--variant", "unhinged", "--axis", "hard_stop.multiplier=1.5,2.5", "--candles", "sample", "--symbols",
    "TST-USDT,DOGS-USDT", "--start", "2025-06-19", "--finish", "2025-06-21", "--engine", "jesse", "--fresh",
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("ray")
    for name in ("overlays", "migrations", "strategies", "sample"):
        (root / name).symlink_to(ROOT / name)
    return Project(root, root / "storage")


@pytest.fixture(scope="module")
def by_processes(project: Project) -> dict:
    return run_grid(project)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster of one node with one processor. Ray gives its start 30 s, so a busy machine tries again."""
    # A folder of its own, since /tmp/ray may be another user's; a short name, since sockets are made in it.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as own:
        for attempt in range(3):
            head, port = started_head(Path(own), tmp_path / f"head-{attempt}.log")
            if head.poll() is None:
                break
        assert head.poll() is None, "the head of the cluster did not start"
        try:
            yield f"127.0.0.1:{port}"
        finally:
            end(head)


def end(head: subprocess.Popen[bytes]) -> None:
    os.killpg(head.pid, signal.SIGTERM)
    try:
        head.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def started_head(folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Return the process of a head node that runs, or that has ended because it could not start, and its port."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled",
    }  # fmt: skip
    with log.open("w") as out:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--num-cpus=1",
             f"--temp-dir={folder}", "--include-dashboard=false", "--disable-usage-stats", "--object-store-memory=100000000"],
            env=environment, stdout=out, stderr=out, start_new_session=True, cwd=folder,
        )  # fmt: skip
    while head.poll() is None and "Ray runtime started" not in log.read_text():
        time.sleep(0.5)
    return head, port


def run_grid(project: Project, *more: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "sigil_ext", *GRID, "--json", "-", *more], cwd=project.root, capture_output=True, text=True,
        timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():  # nothing of Ray's own chatter
        assert line.startswith(("jesse cells:", "kept as grid-")), line
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_local_cluster_gives_the_trades_of_processes_however_slowly_its_workers_start(
    project: Project, by_processes: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No worker starts in a second, as on a machine that is far too busy: Ray by itself would start them again for ever.
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "1")
    assert run_grid(project, "--ray", "local", "--workers", "2")["cells"] == by_processes["cells"]
    assert sum(cell["figures"]["trades"] for cell in by_processes["cells"]) > 0


@pytest.mark.slow
def test_a_cluster_that_runs_already_gives_them_too_from_one_reused_process(
    project: Project, by_processes: dict, cluster: str
) -> None:
    assert run_grid(project, "--ray", cluster)["cells"] == by_processes["cells"]


def test_an_address_where_nothing_listens_is_refused_at_once(project: Project, sigil: Sigil) -> None:
    began = time.monotonic()
    ran = sigil(*GRID, "--ray", f"127.0.0.1:{free_port()}", project=project)
    assert ran.status == 2
    assert "no Ray cluster answers at 127.0.0.1:" in ran.err
    assert "ray start --head" in ran.err
    assert time.monotonic() - began < 60


def test_something_that_is_no_cluster_is_refused_and_not_waited_for(project: Project, sigil: Sigil) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        began = time.monotonic()
        ran = sigil(*GRID, "--ray", f"127.0.0.1:{silent.getsockname()[1]}", project=project)
    assert ran.status == 2
    assert "no Ray cluster answers" in ran.err
    assert time.monotonic() - began < 60  # Ray by itself tries for minutes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
