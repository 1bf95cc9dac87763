"""The embedded server through everything that may happen to it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from sigil_ext.db import embedded, identity, local_server
from sigil_ext.db.processes import is_alive, working_in
from sigil_ext.errors import DatabaseUnavailable
from sigil_ext.settings.project import Project

AS_ROOT = os.geteuid() == 0
START = (
    "import sys; from pathlib import Path; from sigil_ext.db import embedded;"
    "from sigil_ext.settings.project import Project; p = Path(sys.argv[1]);"
    "print(embedded.ensure_running(Project(p, p / 'storage')).port)"
)


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


def connect(address: embedded.ServerAddress, password: str | None = None) -> connection:
    return psycopg2.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=password or address.password.get_secret_value(),
        dbname="postgres",
        **embedded.CLIENT_OPTIONS,
    )


def ask(address: embedded.ServerAddress, query: str) -> object:
    with closing(connect(address)) as link, link, link.cursor() as cur:
        cur.execute(query)
        row = cur.fetchone() if cur.description else None
        return row[0] if row else None


def wait_until_gone(data: Path, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while working_in(data) and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage folder with a cluster that is made and stopped, to be copied."""
    root = tmp_path_factory.mktemp("made")
    project = Project(root, root / "storage")
    embedded.ensure_running(project)
    embedded.stop(project)
    return project.storage


@pytest.fixture
def stopped(made: Path, empty_project: Project) -> Project:
    """A project whose server is made and does not run."""
    shutil.copytree(made, empty_project.storage)
    return empty_project


@pytest.fixture
def started(stopped: Project) -> Project:
    """A project whose server runs."""
    embedded.ensure_running(stopped)
    return stopped


def kill(pid: int, data: Path) -> None:
    os.kill(pid, signal.SIGKILL)
    while is_alive(pid, data):
        time.sleep(0.001)


# --- start, stop, status ----------------------------------------------------------------------------------------------


def test_start_stop_and_status_may_be_said_twice(empty_project):
    before = embedded.status(empty_project)
    assert (before.running, before.pid, before.port, before.initialised) == (False, None, None, False)
    assert not embedded.stop(empty_project)
    first = embedded.ensure_running(empty_project)
    assert embedded.ensure_running(empty_project) == first
    running = embedded.status(empty_project)
    assert (running.running, running.port, running.initialised) == (True, first.port, True)
    assert embedded.stop(empty_project)
    assert not embedded.stop(empty_project)
    after = embedded.status(empty_project)
    assert (after.running, after.pid, after.port) == (False, None, first.port)
    assert embedded.ensure_running(empty_project) == first


def test_it_is_postgresql_17_in_utc_and_utf8_with_fsync_and_room_for_many(started):
    address = embedded.ensure_running(started)
    assert str(ask(address, "SHOW server_version")).startswith("17.")
    shown = {name: ask(address, f"SHOW {name}") for name in ("timezone", "fsync", "max_connections", "server_encoding")}
    assert shown == {"timezone": "UTC", "fsync": "on", "max_connections": "200", "server_encoding": "UTF8"}
    assert ask(address, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'") == "C.UTF-8"


def test_it_listens_on_this_machine_only_away_from_5432_and_wants_the_password(server):
    address = embedded.ensure_running(server)
    assert address.port != 5432
    assert (ask(address, "SHOW listen_addresses"), ask(address, "SHOW unix_socket_directories")) == ("127.0.0.1", "")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(address, password="guess")
    assert ask(address, "SELECT rolpassword FROM pg_authid WHERE rolname = 'sigil'").startswith("SCRAM-SHA-256")


def test_the_password_is_ours_alone_and_never_shown(server):
    address = embedded.ensure_running(server)
    path = server.storage / "postgres" / "password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert address.password.get_secret_value() == path.read_text().strip()
    assert address.password.get_secret_value() not in repr(address) + str(address) + repr(embedded.status(server))


def test_it_outlives_the_command_that_started_it_and_its_whole_session(empty_project):
    command = child(empty_project)
    out, err = command.communicate(timeout=60)  # ends at once: the server holds none of the command's pipes
    assert command.returncode == 0, err
    try:
        os.killpg(command.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    status = embedded.status(empty_project)
    assert (status.running, status.port) == (True, int(out))
    assert os.getsid(status.pid) != os.getsid(0)


def test_a_path_with_blanks_and_quotes_will_do(tmp_path):
    project = Project(tmp_path, tmp_path / 'it\'s my "folder" $HOME;' / "storage")
    try:
        assert ask(embedded.ensure_running(project), "SELECT 1") == 1
    finally:
        embedded.stop(project)


def test_the_users_pg_variables_do_not_reach_the_server(empty_project, monkeypatch):
    for name, value in {
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGUSER": "x",
        "PGHOSTADDR": "192.0.2.1",
        "PGSSLMODE": "verify-full",
        "PGOPTIONS": "-c junk=1",
        "TZ": "Asia/Tokyo",
    }.items():
        monkeypatch.setenv(name, value)
    address = embedded.ensure_running(empty_project)
    assert ask(address, "SHOW timezone") == "UTC"


def test_a_server_that_will_not_end_is_ended_all_the_same_and_loses_nothing(started, monkeypatch):
    ask(embedded.ensure_running(started), "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) AS g")
    status = embedded.status(started)
    monkeypatch.setattr(embedded, "FAST_STOP_LIMIT_S", 0.3)
    for pid in working_in(status.data):
        if pid != status.pid:
            with suppress(ProcessLookupError):  # some live only a moment
                os.kill(pid, signal.SIGSTOP)
    assert embedded.stop(started)
    wait_until_gone(status.data)
    assert ask(embedded.ensure_running(started), "SELECT count(*) FROM kept") == 1000


# --- several at once --------------------------------------------------------------------------------------------------


def test_six_commands_at_once_start_one_server(empty_project):
    commands = [child(empty_project) for _ in range(6)]
    outcomes = [command.communicate(timeout=120) for command in commands]
    assert {command.returncode for command in commands} == {0}, outcomes
    assert len({out for out, _ in outcomes}) == 1
    lines = (empty_project.storage / "postgres" / "server.log").read_text()
    assert lines.count("database system is ready to accept connections") == 1


# --- kill -9 ----------------------------------------------------------------------------------------------------------


def test_after_kill_9_of_the_postmaster_everything_committed_is_there(started):
    address = embedded.ensure_running(started)
    ask(address, "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) AS g")
    kill(embedded.status(started).pid, embedded.status(started).data)
    again = embedded.ensure_running(started)
    assert again == address
    assert ask(again, "SELECT count(*) FROM kept") == 1000


def test_after_kill_9_of_everything_it_recovers(started):
    address = embedded.ensure_running(started)
    ask(address, "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) AS g")
    data = embedded.status(started).data
    for pid in working_in(data):
        with suppress(ProcessLookupError):  # the others end by themselves when they see the postmaster gone
            os.kill(pid, signal.SIGKILL)
    wait_until_gone(data)
    assert (data / "postmaster.pid").exists()
    assert not embedded.status(started).running
    assert ask(embedded.ensure_running(started), "SELECT count(*) FROM kept") == 1000


def test_with_a_client_at_work_kill_9_of_the_postmaster_is_survived(started):
    address = embedded.ensure_running(started)
    busy = connect(address)
    busy.cursor().execute("CREATE TEMP TABLE t (id int)")
    kill(embedded.status(started).pid, embedded.status(started).data)
    assert ask(embedded.ensure_running(started), "SELECT 1") == 1
    busy.close()


@pytest.mark.parametrize("pid", ["own", "1", "999999999", "-5", "", "garbage"])
def test_a_stale_postmaster_pid_is_cleared_away_whoever_has_the_number_now(stopped, pid):
    data = embedded.status(stopped).data
    first_line = str(os.getpid()) if pid == "own" else pid
    (data / "postmaster.pid").write_text(f"{first_line}\n{data}\n1\n5432\n\n127.0.0.1\n1\nready\n")
    assert not embedded.status(stopped).running
    assert ask(embedded.ensure_running(stopped), "SELECT 1") == 1


def test_a_zombie_is_not_taken_for_a_server(tmp_path):
    zombie = subprocess.Popen(["true"])
    deadline = time.monotonic() + 5
    while Path(f"/proc/{zombie.pid}/stat").read_text().split(")")[1].split()[0] != "Z":
        assert time.monotonic() < deadline
    assert not is_alive(zombie.pid, tmp_path)
    zombie.wait()


def test_a_start_killed_at_any_moment_is_made_good_by_the_next(empty_project):
    for delay_s in (0.35, 0.5, 0.6, 0.7, 0.8, 0.95, 1.2):
        command = child(empty_project)
        time.sleep(delay_s)
        os.killpg(command.pid, signal.SIGKILL)
        command.communicate()
    assert ask(embedded.ensure_running(empty_project), "SELECT 1") == 1
    assert not (empty_project.storage / "postgres" / "data.new").exists()


def test_a_half_made_cluster_is_made_anew(empty_project):
    half = empty_project.storage / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("17\n")
    (half / "postmaster.pid").write_text("1\n")
    assert ask(embedded.ensure_running(empty_project), "SELECT 1") == 1
    assert not half.exists()


# --- the port ---------------------------------------------------------------------------------------------------------


def test_when_a_stranger_has_taken_the_port_another_is_chosen_and_kept(started):
    first = embedded.ensure_running(started).port
    embedded.stop(started)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", first))
        stranger.listen()
        second = embedded.ensure_running(started).port
    assert second != first
    embedded.stop(started)
    assert embedded.ensure_running(started).port == second


def test_when_the_port_is_taken_between_choice_and_start_another_is_tried(started, monkeypatch):
    first = embedded.ensure_running(started).port
    embedded.stop(started)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", first))
        stranger.listen()
        is_free, asked = local_server.is_free, []
        monkeypatch.setattr(
            local_server, "is_free", lambda port: asked.append(port) or len(asked) == 1 or is_free(port)
        )
        assert embedded.ensure_running(started).port != first
    assert asked[0] == first


# --- wrong places -----------------------------------------------------------------------------------------------------


def test_storage_below_a_file_is_one_sentence(tmp_path):
    (tmp_path / "storage").write_text("a file")
    project = Project(tmp_path, tmp_path / "storage")
    with pytest.raises(DatabaseUnavailable, match=r"cannot keep a database in .*: Not a directory"):
        embedded.ensure_running(project)
    assert not embedded.stop(project)


def test_a_data_folder_that_is_none_is_one_sentence(empty_project):
    data = empty_project.storage / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "holiday.jpg").write_text("")
    with pytest.raises(DatabaseUnavailable, match="is not a PostgreSQL data folder"):
        embedded.ensure_running(empty_project)
    assert (data / "holiday.jpg").exists()


def test_a_lost_or_wrong_password_file_is_one_sentence(started):
    path = started.storage / "postgres" / "password"
    kept = path.read_text()
    embedded.stop(started)
    path.write_text("wrong\n")
    with pytest.raises(DatabaseUnavailable, match=r"refuses us: .*password authentication failed"):
        embedded.ensure_running(started)
    path.unlink()
    with pytest.raises(DatabaseUnavailable, match="password is missing"):
        embedded.ensure_running(started)
    path.write_text(kept)
    embedded.ensure_running(started)


def test_a_broken_configuration_is_one_sentence_with_the_cause(stopped):
    with (embedded.status(stopped).data / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = lots\n")
    with pytest.raises(DatabaseUnavailable, match=r"did not start: .*postgresql\.conf.*; its log is") as caught:
        embedded.ensure_running(stopped)
    assert "\n" not in str(caught.value)


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A disk of 20 MB; a cluster needs about 40."""
    folder = Path(tempfile.mkdtemp())
    mounted = (
        AS_ROOT
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)], capture_output=True
        ).returncode
        == 0
    )
    if not mounted:
        folder.rmdir()
        pytest.skip("may not mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_made(tiny_disk):
    project = Project(tiny_disk, tiny_disk / "storage")
    with pytest.raises(DatabaseUnavailable, match="no space left on the disk"):
        embedded.ensure_running(project)
    assert not list((tiny_disk / "storage" / "postgres").glob("data*"))


# --- as whom ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(not AS_ROOT, reason="only root becomes another user")
def test_where_user_namespaces_are_forbidden_root_becomes_nobody(open_folder, monkeypatch):
    monkeypatch.setattr(identity, "namespace_works", lambda: False)
    project = Project(open_folder, open_folder / "storage")
    try:
        assert ask(embedded.ensure_running(project), "SELECT 1") == 1
        status = embedded.status(project)
        assert status.data.stat().st_uid != 0
        assert Path(f"/proc/{status.pid}").stat().st_uid == status.data.stat().st_uid
        monkeypatch.undo()  # the folder's owner decides from now on, namespace or not
        embedded.stop(project)
        assert ask(embedded.ensure_running(project), "SELECT 1") == 1
    finally:
        embedded.stop(project)


@pytest.mark.skipif(not AS_ROOT, reason="only root becomes another user")
def test_where_nothing_lets_root_step_down_the_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "namespace_works", lambda: False)
    tmp_path.chmod(0o700)
    with pytest.raises(DatabaseUnavailable, match=r"refuses to run as root, and user nobody cannot reach"):
        embedded.ensure_running(Project(tmp_path, tmp_path / "storage"))


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_another_users_data_folder_is_one_sentence(monkeypatch, stopped):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(DatabaseUnavailable, match=r"belongs to .*; run as that user"):
        embedded.ensure_running(stopped)


def test_the_server_logs_to_a_file_that_only_we_read(server):
    log = embedded.status(server).log
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert re.search(r"ready to accept connections", log.read_text())
