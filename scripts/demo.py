"""`make demo`: the database, its schema, the bundled candles, backtests side by side on a page; then the same market on paper
through all four variants under the supervisor, with the panel open on it; the audit that compares the two, and a
small grid with its page. The market's last day is kept for the end: it goes on at sixty times its pace, in the background, so that
the panel and the status table have something to show.

The demo has a project of its own in storage/demo/project, laid anew each time: what it trades never mixes with yours. Sessions,
panel and embedded database go on running at the end; `python scripts/demo.py stop` (make demo-stop) ends them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "storage" / "demo"
PROJECT = DEMO / "project"
PANEL_PID = DEMO / "panel.pid"
PANEL_LOG = DEMO / "panel.log"
PAPER_PID = DEMO / "paper.pid"
PAPER_LOG = DEMO / "paper.log"
FIRST_PORT, LAST_PORT = 9050, 9099  # 9000 is that of make dashboard, which comes next
PANEL = "sigil panel"
LAST_DAY = "2025-06-22"  # of the bundled candles
LIVE = ["run", "paper", "--all", "--candles", "sample", "--speed", "60", "--keep-open"]
STATUS = ["status"]

STEPS: tuple[tuple[str, list[str]], ...] = (
    ("the embedded PostgreSQL", ["db", "start"]),
    ("the schema of every variant's database", ["migrate", "up", "--all"]),
    ("the bundled candles: real 1m candles of twelve low caps, six days of June 2025", ["candles", "check", "sample"]),
    (
        "the four variants and the earlier bot on them",
        ["backtest", "--all", "--variant", "legacy", "--candles", "sample", "--html", str(DEMO / "backtest.html")],
    ),
    ("the panel, to watch the next step in a browser", [PANEL]),
    (
        "the same market on paper, minute by minute, each variant in its database",
        ["run", "paper", "--all", "--candles", "sample", "--finish", LAST_DAY, "--keep-open"],
    ),
    ("was paper what the backtest says?", ["audit", "--all"]),
    (
        "which stop, and which trail? A small grid, cells checked against Jesse",
        ["grid", "--variant", "baseline", "--variant", "aggressive", "--axis", "hard_stop.multiplier=1.0:3.0:0.5",
         "--axis", "trail.multiplier=1.0,1.5,2.5", "--candles", "sample", "--html", str(DEMO / "grid.html")],
    ),
    ("the sessions go on with the market's last day, an hour a minute, in the background", LIVE),
    ("how they stand", STATUS),
)  # fmt: skip


def main(arguments: list[str]) -> int:
    if arguments == ["stop"]:
        stop()
        return 0
    lay_project()
    address = ""
    for number, (what, step) in enumerate(STEPS, start=1):
        shown = PANEL if step == [PANEL] else f"sigil {' '.join(step)}"
        print(f"\n[{number}/{len(STEPS)}] {what}\n      $ {shown}", flush=True)
        if step == [PANEL]:
            address = open_panel()
            continue
        if step == LIVE:
            PAPER_PID.write_text(f"{detached(step, PAPER_LOG).pid}\n")
            await_sessions()
            continue
        status = sigil(*step).returncode
        if status:
            return status
    print(
        f"\nDone. The panel is open on the running sessions: {address} (password in {PROJECT / 'storage' / 'jesse.env'})"
    )
    print(f"They have about twenty minutes to go; what they say is in {PAPER_LOG}")
    print(f"Pages to open in a browser: {DEMO / 'backtest.html'} and {DEMO / 'grid.html'}")
    print(f"Look around: SIGIL_HOME={PROJECT} .venv/bin/sigil positions list --variant unhinged")
    print("Next: make dashboard (Jesse in the browser, the panel beside it), make paper (live public data).")
    print("Sessions, panel and the demo's database keep running; make demo-stop ends them.")
    return 0


def sigil(*arguments: str, quiet: bool = False) -> subprocess.CompletedProcess[bytes]:
    """Run a command in the demo's project."""
    return subprocess.run(
        [sys.executable, "-m", "sigil_ext", *arguments],
        cwd=PROJECT,
        env=environment(),
        check=False,
        capture_output=quiet,
    )


def environment() -> dict[str, str]:
    return os.environ | {"SIGIL_HOME": str(PROJECT), "PYTHONPATH": str(ROOT)}


def open_panel() -> str:
    """Start the panel as a process that stays, and return its address once it answers."""
    port = next((p for p in range(FIRST_PORT, LAST_PORT + 1) if is_free(p)), None)
    if port is None:
        sys.exit(f"error: every port from {FIRST_PORT} to {LAST_PORT} on 127.0.0.1 is taken; free one and call again")
    address = f"http://127.0.0.1:{port}/sigil/"
    panel = detached(["panel", "--host", "127.0.0.1", "--port", str(port)], PANEL_LOG)
    PANEL_PID.write_text(f"{panel.pid}\n")
    until = time.monotonic() + 120
    while not answers(address):
        if panel.poll() is not None or time.monotonic() > until:
            sys.exit(f"error: the panel did not start; {PANEL_LOG} says why")
        time.sleep(0.2)
    print(f"      {address}, password in {PROJECT / 'storage' / 'jesse.env'}", flush=True)
    return address


def detached(arguments: list[str], said: Path) -> subprocess.Popen[bytes]:
    """Start a command that outlives this one; what it says goes to the file."""
    with said.open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sigil_ext", *arguments],
            cwd=PROJECT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def await_sessions() -> None:
    """Wait until the four go on; should they not, the status table that follows says what is wrong, and so does its status."""
    until = time.monotonic() + 120
    while sigil(*STATUS, quiet=True).returncode and time.monotonic() < until:
        time.sleep(1)


def answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
        return True
    return False


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def stop() -> None:
    """End the sessions, the panel and the database of the last demo, if they run."""
    for number, shows in ((PAPER_PID, b"sigil_ext\0run\0paper"), (PANEL_PID, b"sigil_ext\0panel")):
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int(number.read_text())
            command = Path(f"/proc/{pid}/cmdline")
            if shows in command.read_bytes():  # the number may be another's by now
                os.kill(pid, signal.SIGTERM)
                until = time.monotonic() + 60
                while time.monotonic() < until and shows in command.read_bytes():
                    time.sleep(0.1)
        number.unlink(missing_ok=True)
    if PROJECT.exists():
        sigil("db", "stop", quiet=True)


def lay_project() -> None:
    """Make the demo's project anew; what an earlier demo left is stopped and removed."""
    stop()
    if PROJECT.exists():
        shutil.rmtree(PROJECT)
    PROJECT.mkdir(parents=True)
    for name in ("overlays", "migrations", "strategies", "sample"):
        (PROJECT / name).symlink_to(ROOT / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
