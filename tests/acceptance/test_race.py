"""The race of design section 5: 64 processes want to enter one symbol at the same time, a thousand rounds in all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import pytest

from sigil_ext.db.connection import Database

PROCESSES, ROUNDS = 64, 1000
SYMBOL = "TST-USDT"
BEGAN = datetime(2026, 5, 4, 12, tzinfo=UTC)

# The racers are forked from one process that has imported everything (64 imports would take longer than the race). Each
# opens its own connection, waits for one byte of the pipe of the round (two pipes in turn, so that a quick racer cannot
# take a slow one's byte), races, and says what came of it.
RACERS = """
import json, os, sys
from datetime import datetime, timedelta
from pydantic import SecretStr
from sigil_ext.db.connection import Database
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.rules.types import Entered, Entry
from sigil_ext.settings.environment import DatabaseAddress

job = json.loads(sys.stdin.readline())
address = DatabaseAddress(**{**job["address"], "password": SecretStr(job["address"]["password"])})
began = datetime.fromisoformat(job["began"])


def race():
    store = PostgresStore(Database("baseline", address))
    store.breaker()  # connected before the first round
    os.write(job["answers"], b"ready\\n")
    for number in range(job["rounds"]):
        if os.read(job["starts"][number % 2], 1) != b"x":
            return
        at = began + timedelta(days=number)
        entry = Entry(
            job["symbol"], at, 0.0417, 1199.04, 50.0, 0.0404, 3.0, 0.0007, 1.5, True, None, at + timedelta(hours=6), 9
        )
        try:
            outcome = store.enter(entry)
            answer = "entered" if isinstance(outcome, Entered) else outcome.reason
        except BaseException as error:
            answer = "ESCAPED " + repr(error)
        os.write(job["answers"], (answer[:400] + "\\n").encode())


for _ in range(job["processes"]):
    if os.fork() == 0:
        race()
        os._exit(0)
for _ in range(job["processes"]):
    assert os.wait()[1] == 0
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sixty_four_processes_race_for_one_symbol_and_exactly_one_enters_each_round(database: Database):
    answers_out, answers_in = os.pipe()
    starts = [os.pipe(), os.pipe()]
    a = database.address
    job = {
        "address": {
            "host": a.host, "port": a.port, "user": a.user, "password": a.password.get_secret_value(), "name": a.name,
            "source": a.source,
        },
        "rounds": ROUNDS, "processes": PROCESSES, "symbol": SYMBOL, "began": BEGAN.isoformat(), "answers": answers_in,
        "starts": [starts[0][0], starts[1][0]],
    }  # fmt: skip
    handed_on = (answers_in, starts[0][0], starts[1][0])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    outcomes: Counter[str] = Counter()
    racers = subprocess.Popen(
        [sys.executable, "-c", RACERS],
        stdin=subprocess.PIPE,
        pass_fds=handed_on,
        env=environment,
        start_new_session=True,
    )
    try:
        assert racers.stdin is not None
        racers.stdin.write(json.dumps(job).encode() + b"\n")
        racers.stdin.close()
        with (
            os.fdopen(answers_out, "r", closefd=False) as answers,
            closing(database.connect()) as link,
            link.cursor() as cur,
        ):
            link.autocommit = True
            assert {answers.readline() for _ in range(PROCESSES)} == {"ready\n"}
            began = time.monotonic()
            for number in range(ROUNDS):
                os.write(starts[number % 2][1], b"x" * PROCESSES)
                said = Counter(answers.readline().strip() for _ in range(PROCESSES))
                assert said["entered"] == 1, (number, said)
                assert not [word for word in said if word.startswith("ESCAPED")], (number, said)
                assert set(said) <= {"entered", "position_open", "entry_in_progress"}, (number, said)
                outcomes += said
                at = BEGAN + timedelta(days=number)
                cur.execute("SELECT opened_at FROM micro_positions WHERE symbol = 'TSTUSDT' AND status = 'open'")
                assert cur.fetchall() == [(at,)], number
                cur.execute("SELECT expires_at FROM symbol_protections WHERE symbol = 'TSTUSDT'")
                assert cur.fetchall() == [(at + timedelta(hours=6),)], number
                cur.execute("SELECT count(*) FROM protection_events WHERE kind = 'cooldown'")
                assert cur.fetchone() == (number + 1,)
                cur.execute("UPDATE micro_positions SET status = 'closed' WHERE status = 'open'")
            seconds = time.monotonic() - began
            cur.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            assert cur.fetchone() == (0,)
        assert racers.wait(timeout=60) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(racers.pid, signal.SIGKILL)
        racers.wait()
        for descriptor in (answers_out, *handed_on, starts[0][1], starts[1][1]):
            os.close(descriptor)
    assert outcomes["entered"] == ROUNDS
    assert outcomes.total() == PROCESSES * ROUNDS
    print(f"{ROUNDS} rounds of {PROCESSES} in {seconds:.1f} s: {dict(outcomes)}")
