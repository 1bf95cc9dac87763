"""A process that beats like a paper session: it holds the session's lock, processes minutes in its main thread and scans in
another. A script that the probe's tests start, and kill, stop, or rob of its scanner.

    python tests/beating.py [hold]     SIGUSR1 ends the scanner's thread; `hold` stays for ever in an entry's transaction

The database is that of baseline, as the environment names it. Every minute is a line on stdout.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.db.journal import Journal
from sigil_ext.db.locks import lock_key
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.project import find_project

PERIOD_S = 0.05
VARIANT = "baseline"
SCANNER_ENDED = "scanner-ended"  # a file in the project, once the thread is gone


def main(how: str = "") -> None:
    project = find_project()
    address = load_environment(project).database(VARIANT)
    assert address is not None
    database = Database(VARIANT, address)
    heart, journal = Heartbeat(database), Journal(database)
    lock = journal.lock()
    session = journal.running() or journal.begin({}, ["TST-USDT"], 0, {})
    scanner_dies = threading.Event()

    def scan() -> None:
        while not scanner_dies.is_set():
            heart.scan_started()
            heart.scan_ended()
            time.sleep(PERIOD_S)
        (project.root / SCANNER_ENDED).touch()

    def end_scanner(number: int, frame: FrameType | None) -> None:
        scanner_dies.set()

    signal.signal(signal.SIGUSR1, end_scanner)
    heart.state("running", session_id=session.id, feed="replay")
    threading.Thread(target=scan, daemon=True).start()
    minute = int(time.time()) // 60 * 60_000
    while not lock.closed:
        minute += 60_000
        heart.progress(minute, session_id=session.id, feed="replay")
        if how == "hold":
            with database.transaction() as cur:
                cur.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(VARIANT),))
                print("holding", flush=True)
                time.sleep(3600)
        print("minute", flush=True)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
