"""Two sessions of one variant at once, a kill and two starts at the same instant, a migration under a session.

    python benchmarks/chaos/races.py --starts 5

Each is refused or harmless: one session goes on, the other is told so in a sentence, and the tables equal those of a session
left alone.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from dataclasses import dataclass
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
    tables,
    workplace,
)
from benchmarks.chaos.reference import Undisturbed, paper, trades_in, undisturbed

RUNS_ALREADY = "runs already"


@dataclass
class Runner:
    """A session and where it says what it has to say."""

    process: Process
    said: str


class Race:
    """Sessions in `box`, one after the other or at once."""

    def __init__(self, box: Sandbox, line: list[str], watch: Watch) -> None:
        self.box, self.line, self.watch = box, line, watch
        self._started = 0

    def start(self) -> Runner:
        """Start a session."""
        self._started += 1
        name = f"said-{self._started}"
        return Runner(self.box.start(*self.line, said=name), name)

    def moves(self, *runners: Runner, minutes: int = 1) -> bool:
        """Return whether minutes are added while one of `runners` lives."""
        goal = self.watch.last_minute() + minutes * MINUTE_MS
        while any(r.process.poll() is None for r in runners):
            if self.watch.last_minute() >= goal:
                return True
            time.sleep(0.01)
        return False

    def second_is_refused(self, verdict: Verdict) -> Runner:
        """Start two, one after the other; return the first."""
        first = self.start()
        self.moves(first)
        second = self.start()
        verdict.check("a second session is refused, in a sentence", self.refused(second), self.box.said(second.said))
        verdict.check("the first goes on", self.moves(first))
        return first

    def starts_at_once(self, first: Runner, rng: random.Random) -> tuple[Runner, bool]:
        """Kill the session and start two at the same instant; return the one that goes on, and whether the other did not."""
        time.sleep(rng.uniform(0, 0.3))
        first.process.send_signal(signal.SIGKILL)
        pair = [self.start(), self.start()]
        first.process.wait()
        while all(r.process.poll() is None for r in pair):
            time.sleep(0.02)
        gone = next(r for r in pair if r.process.poll() is not None)
        left = pair[1 - pair.index(gone)]
        return left, self.refused(gone) and self.moves(left)

    def refused(self, runner: Runner) -> bool:
        """Return whether a session ended because another runs, and said so in one sentence."""
        status, said = runner.process.wait(), self.box.said(runner.said)
        return status == 1 and RUNS_ALREADY in said and len(said.strip().splitlines()) == 1


def disturb(options: argparse.Namespace, folder: Path, whole: Undisturbed, verdict: Verdict) -> None:
    """Start too many sessions and migrate under one; compare what is left behind with `whole`."""
    rng = random.Random(options.seed)
    with sandbox(folder) as box:
        database, result = box.database(options.variant), folder / "trades.json"
        watch = Watch(database)
        if options.preloaded:
            box.preload()
        line = [*paper(options), "--json", str(result)]
        # At a pace, so that the session is still there when the commands that meet it have started.
        race = Race(box, [*line, "--speed", str(options.speed)], watch)
        running = race.start() if options.short else race.second_is_refused(verdict)
        race.moves(running)
        good = 0
        for number in range(options.starts):
            running, held = race.starts_at_once(running, rng)
            good += held
            print(
                f"    double start {number + 1}: {'one went on, one was refused' if held else 'NOT as it should'}",
                flush=True,
            )
        verdict.figure("double starts with one winner", good)
        verdict.check("of two started at the same instant one goes on", good == options.starts)
        if not options.short:
            migrations(box, race, running, ["--variant", options.variant], verdict)
        verdict.check("it ends well", running.process.wait() == 0)
        verdict.compare_trades(whole.trades, trades_in(result))
        verdict.compare(whole.tables, tables(database), database)
        watch.close()
        database.close()


def migrations(box: Sandbox, race: Race, running: Runner, variant: list[str], verdict: Verdict) -> None:
    """Migrate up and down under the running session."""
    box.sigil("migrate", "up", *variant)
    verdict.check("migrate up is harmless", race.moves(running, minutes=5) and running.process.poll() is None)
    down = box.start("migrate", "down", *variant, "--to", "18")
    down.wait()
    verdict.figure("migrate down says", box.said().strip()[-200:])
    verdict.check("migrate down is refused under a session", down.returncode == 1)
    if down.returncode == 0:
        running.process.send_signal(signal.SIGKILL)  # its record is gone
        raise SystemExit(verdict.end(None))
    verdict.check("and leaves it alone", race.moves(running, minutes=5))


def main(arguments: list[str]) -> int:
    """Run it; 1 when something does not hold."""
    options = parse(arguments)
    verdict = Verdict(f"two sessions, {options.starts} double starts, migrations, '{options.variant}'")
    with workplace(options.keep) as folder:
        disturb(options, folder / "raced", undisturbed(folder / "alone", options), verdict)
    return verdict.end(options.json)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = common_options(__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--speed", type=float, default=3000.0, help="minutes of the recording in one minute")
    parser.add_argument("--short", action="store_true", help="the double starts only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
