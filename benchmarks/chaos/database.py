"""PostgreSQL restarted again and again under a session on a recording, and away for minutes once: the session waits and goes on.

    python benchmarks/chaos/database.py --restarts 20 --outage 300

Restarts are, in turn: fast (as `sigil db stop`), immediate (SIGQUIT), `kill -9` of the server, `kill -9` of the process of the
server that serves the session. The long outage begins while a position is open. The session is one process throughout.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.chaos.common import (
    MINUTE_MS,
    Process,
    Sandbox,
    Verdict,
    Watch,
    common_options,
    sandbox,
    spread,
    tables,
    workplace,
)
from benchmarks.chaos.reference import Undisturbed, paper, trades_in, undisturbed
from sigil_ext.db import embedded

KINDS = ("fast", "immediate", "kill -9 of the server", "kill -9 of the session's backend")


def strike(box: Sandbox, watch: Watch, kind: str, down_s: float) -> None:
    """Take the server away for `down_s` and start it again."""
    server = embedded.status(box.project).pid
    assert server is not None
    if kind == "fast":
        embedded.stop(box.project)
    elif kind == KINDS[3]:
        if (backend := watch.session_backend()) is not None:
            os.kill(backend, signal.SIGKILL)  # the server then ends all its connections and recovers by itself
            return
        embedded.stop(box.project)
    else:
        os.kill(server, signal.SIGQUIT if kind == "immediate" else signal.SIGKILL)
        while embedded.status(box.project).pid is not None:
            time.sleep(0.01)
    time.sleep(down_s)
    embedded.ensure_running(box.project)


def wait_for(process: Process, watch: Watch, minute: int) -> bool:
    """Return whether the session came to `minute` before it ended."""
    while process.poll() is None:
        if watch.last_minute() >= minute:
            return True
        time.sleep(0.005)
    return False


def held_minute(whole: Undisturbed, after: int) -> int:
    """Return a minute from `after` on in which a position is open."""
    for trade in sorted(whole.spans):
        if trade[1] - trade[0] > 30 * MINUTE_MS and trade[1] > after + 15 * MINUTE_MS:
            return max(after, trade[0] + 10 * MINUTE_MS)
    return after


def disturb(options: argparse.Namespace, folder: Path, whole: Undisturbed, verdict: Verdict) -> None:
    """Take the server away again and again and compare what the session leaves behind with `whole`."""
    rng = random.Random(options.seed)
    with sandbox(folder) as box:
        database = box.database(options.variant)
        watch, result = Watch(database), folder / "trades.json"
        process = box.start(*paper(options), "--speed", options.speed, "--json", str(result))
        minutes = (whole.last_ms - whole.first_ms) // MINUTE_MS
        places = sorted(
            whole.first_ms + m * MINUTE_MS for m in rng.sample(range(5, int(minutes * 0.9)), options.restarts)
        )
        long_at = held_minute(whole, whole.first_ms + minutes // 2 * MINUTE_MS)
        kinds: Counter[str] = Counter()
        back: list[float] = []
        long_done = not options.outage
        for number, place in enumerate(places):
            if not long_done and place > long_at:
                long_done = outage(box, watch, process, long_at, options.outage, verdict)
            if not wait_for(process, watch, place):
                break
            time.sleep(rng.uniform(0, 0.03))
            kind = KINDS[number % len(KINDS)]
            strike(box, watch, kind, rng.uniform(0, 2))
            kinds[kind] += 1
            before, began = watch.last_minute(), time.monotonic()
            if wait_for(process, watch, before + MINUTE_MS):
                back.append(time.monotonic() - began)
            print(f"    restart {number + 1}, {kind}: went on", flush=True)
        if not long_done:
            outage(box, watch, process, long_at, options.outage, verdict)
        resumed_ms = watch.last_minute()
        verdict.check("the session lived through all of them", process.wait() == 0, box.said()[-400:])
        verdict.figure("restarts", dict(kinds))
        verdict.figure("server back to next minute, s", spread(back))
        verdict.check("every restart hit a living session", sum(kinds.values()) == options.restarts)
        later = sum(begin > resumed_ms for begin, _ in whole.spans)
        verdict.figure("entries after the last of them", later)
        verdict.check("there were entries left to make", later > 0)
        verdict.compare_trades(whole.trades, trades_in(result))
        verdict.compare(whole.tables, tables(database), database)
        watch.close()
        database.close()


def outage(box: Sandbox, watch: Watch, process: Process, minute: int, seconds: float, verdict: Verdict) -> bool:
    """Leave the session without a server for `seconds`; return True."""
    if wait_for(process, watch, minute):
        before = watch.last_minute()
        print(f"    the server goes away for {seconds:.0f} s", flush=True)
        strike(box, watch, "fast", seconds)
        verdict.check("the session waited for its database", process.poll() is None)
        verdict.check("it went on by itself", wait_for(process, watch, before + MINUTE_MS))
    return True


def main(arguments: list[str]) -> int:
    """Run it; 1 when anything differs."""
    options = parse(arguments)
    verdict = Verdict(
        f"{options.restarts} restarts of PostgreSQL and {options.outage:.0f} s without, '{options.variant}'"
    )
    with workplace(options.keep) as folder:
        whole = undisturbed(folder / "alone", options)
        verdict.figure("trades of the undisturbed run", len(whole.trades))
        disturb(options, folder / "restarted", whole, verdict)
    return verdict.end(options.json)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--outage", type=float, default=300.0, help="seconds; 0 for none")
    parser.add_argument(
        "--speed", default="max", help="as for sigil run paper; a number waits for the disk at each commit"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
