"""A paper session killed with `kill -9` again and again, at any moment: its trades and tables equal those of a run left alone.

    python benchmarks/chaos/kills.py --kills 200

A fifth of the kills hits a session that is starting or recovering, after a random time. The others hit one that trades: half
of them at a random moment, the rest in a transaction: any, that of an entry or an exit, or with the commit sent and
its answer not read. To aim, the session is stopped (SIGSTOP), looked at through pg_stat_activity, and killed or let go on.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
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
from benchmarks.chaos.reference import Undisturbed, backtest_trades, paper, trades_in, undisturbed
from sigil_ext.services.paper_feeds import GROUP_MINUTES

AIMS = (("anywhere", 50), ("transaction", 15), ("fill", 25), ("commit", 10))
STARTING_SHARE = 0.2
TRIES = 400


@dataclass
class Killer:
    """Kills the session of `box`; `hits` counts where it was hit."""

    box: Sandbox
    watch: Watch
    whole: Undisturbed
    rng: random.Random
    hits: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    start_s: float = 4.0
    started: bool = False  # one has begun to process minutes, so that `start_s` is known

    def strike(self, line: list[str], left: int) -> bool:
        """Start the session and kill it; False if it came to the end of the recording before."""
        before = self.watch.last_minute()
        ended = before >= self.whole.last_ms
        starting = ended or (self.started and self.rng.random() < STARTING_SHARE)
        began = time.monotonic()
        process = self.box.start(*line)
        if starting:
            return self._while_starting(process, before)
        # Not its first commit: a session at full speed has four hours of the market behind it then.
        if not self._until(process, lambda: self.watch.session_writes() or self.watch.last_minute() > before):
            return False
        took = time.monotonic() - began
        if before:
            self.recoveries.append(took)
        self.start_s = 0.7 * self.start_s + 0.3 * took if self.started else took
        self.started = True
        now = self.watch.last_minute()
        room = max(0, self.whole.last_ms - now) / MINUTE_MS / max(1, left)
        aim = self.rng.choices([name for name, _ in AIMS], [weight for _, weight in AIMS])[0]
        if aim == "fill" and (target := self._next_event(now, max(GROUP_MINUTES, 4 * room))) is not None:
            return self._in_the_minute(process, target)
        # Minutes are committed in groups; the recording lasts for all kills if only some of them see a commit.
        groups = self.rng.uniform(0, 1.6 * room) / GROUP_MINUTES
        wanted = now + (int(groups) + (self.rng.random() < groups % 1)) * GROUP_MINUTES * MINUTE_MS
        if not self._until(process, lambda: self.watch.last_minute() >= min(wanted, self.whole.last_ms)):
            return False
        time.sleep(self.rng.uniform(0, 0.02))
        if aim in ("anywhere", "fill"):
            return self._kill(process, "at a random moment")
        return self._aimed(process, aim)

    def _while_starting(self, process: Process, before: int) -> bool:
        until = time.monotonic() + self.rng.uniform(0.0, self.start_s * 1.1)
        while time.monotonic() < until:
            if before < self.watch.last_minute() < self.whole.last_ms:
                return self._kill(process, "at a random moment")
            time.sleep(0.002)
        return self._kill(process, "while starting or recovering")

    def _next_event(self, now: int, within: float) -> int | None:
        place = bisect_right(self.whole.eventful, now + MINUTE_MS)
        if place == len(self.whole.eventful) or self.whole.eventful[place] - now > within * MINUTE_MS:
            return None
        return self.whole.eventful[place]

    def _in_the_minute(self, process: Process, minute: int) -> bool:
        """Kill within the transaction of `minute`, where a position is opened or closed: it holds an entry's locks then."""
        if not self._until(process, lambda: self.watch.last_minute() >= minute - (GROUP_MINUTES + 1) * MINUTE_MS):
            return False
        for _ in range(TRIES):
            process.send_signal(signal.SIGSTOP)
            if self.watch.last_minute() >= minute:
                return self._kill(process, "at a random moment")
            if self.watch.holds_a_symbol():
                return self._kill(process, "in the transaction of an entry or exit")
            self._go_on(process)
        return self._kill(process, "at a random moment")

    def _aimed(self, process: Process, aim: str) -> bool:
        far = self.watch.last_minute() + 2 * GROUP_MINUTES * MINUTE_MS
        for _ in range(TRIES):
            stopped_at = time.time()
            process.send_signal(signal.SIGSTOP)
            if aim == "transaction" and self._in_transaction():
                return self._kill(process, "in a transaction")
            if aim == "commit" and self._commit_unread(stopped_at):
                return self._kill(process, "commit sent, answer not read")
            if self.watch.last_minute() > far:
                break
            self._go_on(process)
            if process.poll() is not None:
                return False
        return self._kill(process, "at a random moment")

    def _go_on(self, process: Process) -> None:
        process.send_signal(signal.SIGCONT)
        time.sleep(self.rng.uniform(0.0001, 0.001))

    def _in_transaction(self) -> bool:
        return any(state == "idle in transaction" for state, _, _ in self.watch.connections())

    def _commit_unread(self, stopped_at: float) -> bool:
        return any(
            query == "COMMIT" and (state == "active" or at >= stopped_at)
            for state, query, at in self.watch.connections()
        )

    def _until(self, process: Process, reached: Callable[[], bool]) -> bool:
        while process.poll() is None:
            if reached():
                return True
            time.sleep(0.002)
        return False

    def _kill(self, process: Process, where: str) -> bool:
        if process.poll() is not None:
            return False
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.hits[where] += 1
        return True


def disturb(options: argparse.Namespace, folder: Path, whole: Undisturbed, verdict: Verdict) -> None:
    """Kill a session again and again and compare what it leaves behind with `whole`."""
    line = paper(options)
    with sandbox(folder) as box:
        result = folder / "trades.json"
        database = box.database(options.variant)
        if options.preloaded:
            box.preload()
        killer = Killer(box, Watch(database), whole, random.Random(options.seed))
        for number in range(options.kills):
            # Kept open: who comes to the end of the recording has not ended the session.
            while not killer.strike([*line, "--keep-open"], options.kills - number):
                pass
            if (number + 1) % max(1, options.kills // 20) == 0:
                share = (killer.watch.last_minute() - whole.first_ms) / (whole.last_ms - whole.first_ms)
                print(f"    {number + 1} kills, {max(0.0, share):.0%} of the recording", flush=True)
        killer.watch.close()
        last = box.start(*line, "--json", str(result))
        verdict.check("the last one ends well", last.wait() == 0, box.said()[-300:])
        verdict.figure("kills", sum(killer.hits.values()))
        verdict.figure("of these", dict(sorted(killer.hits.items())))
        verdict.figure("start to first transaction, s", spread(killer.recoveries))
        verdict.check("every kill hit a living process", sum(killer.hits.values()) == options.kills)
        verdict.compare_trades(whole.trades, trades_in(result))
        verdict.compare(whole.tables, tables(database), database)
        database.close()


def main(arguments: list[str]) -> int:
    """Run it; 1 when anything differs."""
    options = parse(arguments)
    verdict = Verdict(f"{options.kills} kills of '{options.variant}', seed {options.seed}")
    with workplace(options.keep) as folder:
        whole = undisturbed(folder / "alone", options)
        verdict.figure("minutes", (whole.last_ms - whole.first_ms) // MINUTE_MS + 1)
        verdict.figure("trades of the undisturbed run", len(whole.trades))
        disturb(options, folder / "killed", whole, verdict)
        verdict.check("trades equal those of the backtest", backtest_trades(folder, options) == whole.trades)
    return verdict.end(options.json)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
