"""The embedded Redis through what may happen to it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from sigil_ext.db.processes import is_alive
from sigil_ext.errors import SigilError
from sigil_ext.paper import embedded_redis
from sigil_ext.settings.project import Project
from sigil_ext.settings.redis_address import RedisAddress

pytestmark = pytest.mark.timeout(120)

START = (
    "import sys; from pathlib import Path; from sigil_ext.paper import embedded_redis;"
    "from sigil_ext.settings.project import Project; p = Path(sys.argv[1]);"
    "embedded_redis.ensure_running(Project(p, p / 'storage')); print(embedded_redis.status(Project(p, p / 'storage')).pid)"
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, tmp_path / "storage")
    yield project
    with suppress(SigilError):
        embedded_redis.stop(project)
    assert embedded_redis.status(project).pid is None


def child(project: Project) -> subprocess.Popen[str]:
    """Start a command that wants the server, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", START, str(project.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )


def enter(address: RedisAddress) -> redis.Redis:
    return redis.Redis.from_url(address.url.get_secret_value(), decode_responses=True, retry=None)


def pid_of(project: Project) -> int:
    pid = embedded_redis.status(project).pid
    assert pid is not None
    return pid


def kill(project: Project) -> None:
    """End the server as kill -9 does, and wait until it is gone."""
    pid = pid_of(project)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while embedded_redis.status(project).pid is not None and time.monotonic() < deadline:
        time.sleep(0.01)


def test_it_outlives_the_command_that_started_it_and_ends_when_it_is_stopped(project):
    starter = child(project)
    out, err = starter.communicate(timeout=60)
    assert starter.returncode == 0, err
    pid = int(out)
    assert embedded_redis.status(project).running
    assert pid_of(project) == pid
    assert os.getsid(pid) not in (os.getsid(0), starter.pid)
    assert embedded_redis.stop(project)
    assert not embedded_redis.status(project).running
    assert not is_alive(pid, embedded_redis.status(project).data, embedded_redis.PROGRAM)
    assert not embedded_redis.stop(project)


def test_commands_that_start_it_at_once_start_one(project):
    starters = [child(project) for _ in range(4)]
    results = [s.communicate(timeout=60) for s in starters]
    assert {s.returncode for s in starters} == {0}, results
    assert len({out for out, _ in results}) == 1


def test_it_listens_on_this_machine_only_and_asks_for_a_password_that_only_we_can_read(project):
    address = embedded_redis.ensure_running(project)
    port = embedded_redis.status(project).port
    with redis.Redis("127.0.0.1", port, retry=None) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with enter(address) as link:
        assert link.config_get("bind")["bind"] == "127.0.0.1"
    home = project.storage / "redis"
    for name in ("password", "server.conf", "server.log", "port"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name
    password = (home / "password").read_text().strip()
    command_line = Path(f"/proc/{pid_of(project)}/cmdline").read_text() if Path("/proc/self").exists() else ""
    assert password not in f"{command_line} {address} {address!r}"


@pytest.mark.parametrize("how", ["kill -9", "stop"])
def test_what_it_answered_is_still_there_at_the_same_address(project, how):
    address = embedded_redis.ensure_running(project)
    with enter(address) as link:
        for number in range(500):
            link.xadd("minutes", {"minute": "x" * 1000}, id=f"{number + 1}-0")
    if how == "stop":
        embedded_redis.stop(project)
    else:
        kill(project)
    again = embedded_redis.ensure_running(project)
    assert again == address
    with enter(again) as link:
        assert link.xlen("minutes") == 500


def test_a_number_of_a_process_that_is_somebody_elses_now_is_not_taken_for_the_server(project):
    embedded_redis.ensure_running(project)
    kill(project)
    (project.storage / "redis" / "data" / "pid").write_text(f"{os.getpid()}\n")
    assert embedded_redis.status(project).pid is None
    embedded_redis.ensure_running(project)
    assert pid_of(project) != os.getpid()


@pytest.mark.parametrize("text", ["", "no number", "-1", "999999999"])
def test_a_broken_pid_file_is_no_obstacle(project, text):
    (project.storage / "redis" / "data").mkdir(parents=True)
    (project.storage / "redis" / "data" / "pid").write_text(text)
    embedded_redis.ensure_running(project)
    assert embedded_redis.status(project).running


def test_a_server_that_hangs_can_be_stopped(project, monkeypatch):
    monkeypatch.setattr(embedded_redis, "STOP_LIMIT_S", 0.5)
    embedded_redis.ensure_running(project)
    pid = pid_of(project)
    os.kill(pid, signal.SIGSTOP)
    assert embedded_redis.stop(project)
    assert not is_alive(pid, embedded_redis.status(project).data, embedded_redis.PROGRAM)


def test_a_port_that_a_stranger_took_is_changed(project):
    embedded_redis.ensure_running(project)
    first = embedded_redis.status(project).port
    embedded_redis.stop(project)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", first))
        stranger.listen()
        embedded_redis.ensure_running(project)
        assert embedded_redis.status(project).port not in (None, first)


def test_what_runs_on_and_on_brings_a_killed_server_back_but_not_one_that_a_person_stopped(project):
    address = embedded_redis.ensure_running(project)
    kill(project)
    assert embedded_redis.revive(project) == address
    embedded_redis.stop(project)
    with pytest.raises(SigilError, match="was stopped; start it with: sigil feed server start"):
        embedded_redis.revive(project)
    assert embedded_redis.ensure_running(project) == address
    assert embedded_redis.revive(project) == address


# --- wrong places -----------------------------------------------------------------------------------------------------


def test_storage_below_a_file_is_one_sentence(project):
    project.storage.write_text("a file")
    with pytest.raises(SigilError, match=r"cannot keep a Redis in .*: Not a directory; .* SIGIL_REDIS_URL in .env"):
        embedded_redis.ensure_running(project)
    project.storage.unlink()


def test_a_broken_file_is_one_sentence_and_the_way_out_works(project):
    address = embedded_redis.ensure_running(project)
    with enter(address) as link:
        for number in range(100):
            link.set(f"key{number}", "value")
    embedded_redis.stop(project)
    data = project.storage / "redis" / "data"
    [kept] = data.glob("appendonlydir/*.incr.aof")
    kept.write_bytes(kept.read_bytes()[:200] + b"garbage\r\n" * 20 + kept.read_bytes()[200:])
    with pytest.raises(SigilError) as caught:
        embedded_redis.ensure_running(project)
    assert "Bad file format" in str(caught.value)
    assert f"move {data} away" in str(caught.value)
    data.rename(data.with_name("broken"))
    embedded_redis.ensure_running(project)


def test_a_file_cut_short_by_a_power_failure_loads_up_to_there(project):
    address = embedded_redis.ensure_running(project)
    with enter(address) as link:
        for number in range(100):
            link.xadd("minutes", {"minute": "x"}, id=f"{number + 1}-0")
    kill(project)
    [kept] = (project.storage / "redis" / "data").glob("appendonlydir/*.incr.aof")
    kept.write_bytes(kept.read_bytes()[:-10])
    with enter(embedded_redis.ensure_running(project)) as link:
        assert link.xlen("minutes") == 99


def test_a_password_that_was_changed_is_one_sentence(project):
    embedded_redis.ensure_running(project)
    secret = project.storage / "redis" / "password"
    kept = secret.read_text()
    secret.write_text("other\n")
    with pytest.raises(SigilError, match="refuses the password in") as caught:
        embedded_redis.ensure_running(project)
    assert "other" not in str(caught.value)
    secret.write_text(kept)


def test_a_machine_without_a_server_binary_is_one_sentence(project, monkeypatch):
    def none() -> Path:
        raise embedded_redis.ValkeyBinaryNotFoundError("Unsupported architecture: z80")

    monkeypatch.setattr(embedded_redis, "get_binary_path", none)
    with pytest.raises(SigilError, match="no embedded Redis for this kind of machine; name a server of your own"):
        embedded_redis.ensure_running(project)
