"""Four sessions under one supervisor: one that dies is started again, a second supervisor is refused, all stop together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sigil_ext.services.database import open_database
from sigil_ext.settings.overlays import TRADED_VARIANTS

ROOT = Path(__file__).resolve().parents[2]
LINE = [sys.executable, "-m", "sigil_ext", "run", "paper", "--all", "--candles", str(ROOT / "sample"), "--speed", "600"]


def begin(project) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {
        "SIGIL_HOME": str(project.root)
    }
    return subprocess.Popen(
        LINE, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def heartbeat(database) -> tuple[int, str, object] | None:
    with database.transaction() as cursor:
        cursor.execute("SELECT pid, state, last_write FROM scanner_heartbeat")
        return cursor.fetchone()


def wait_for(what, process, seconds: float = 200.0):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.3)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_session_that_dies_is_started_again_and_all_stop_together(empty_project):
    databases = {name: open_database(name, empty_project) for name in TRADED_VARIANTS}
    supervisor = begin(empty_project)
    try:

        def working() -> bool:
            beats = [heartbeat(d) for d in databases.values()]
            return all(beat is not None and beat[2] is not None for beat in beats)

        wait_for(working, supervisor)
        second = begin(empty_project)
        _, err = second.communicate(timeout=120)
        assert second.returncode == 1
        assert "a supervisor runs already" in err
        pid = heartbeat(databases["unhinged"])[0]
        others = {n: heartbeat(d)[0] for n, d in databases.items() if n != "unhinged"}
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: heartbeat(databases["unhinged"])[0] != pid, supervisor)
        assert {n: heartbeat(d)[0] for n, d in databases.items() if n != "unhinged"} == others, "the others go on"
        supervisor.send_signal(signal.SIGTERM)
        out, err = supervisor.communicate(timeout=120)
        assert supervisor.returncode == 0, err
        assert "unhinged: died (killed by SIGKILL" in err
        assert out.count("stopped, continues with the same command") == 4
        for database in databases.values():
            number, state, _ = heartbeat(database)
            assert state == "stopped"
            with pytest.raises(ProcessLookupError):
                os.kill(number, 0)
            with database.transaction() as cursor:
                cursor.execute("SELECT count(*) - count(DISTINCT open_ms) FROM paper_minutes")
                assert cursor.fetchone() == (0,)
    finally:
        if supervisor.poll() is None:
            supervisor.kill()
            supervisor.communicate()
        for database in databases.values():
            database.close()


def test_four_sessions_that_were_all_used_wrongly_are_wrong_use(sigil, empty_project):
    done = sigil("run", "paper", "--all", "--candles", "nowhere", project=empty_project)
    assert done.status == 2
    assert done.err.count("not started again") == 4
    assert done.err.splitlines()[-1].startswith("error: these sessions did not end well: baseline, moderate,")
