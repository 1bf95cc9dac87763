"""Any Jesse strategy on paper: equal to the backtest, killed or not; stopped by what it raises; obedient to people."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.chaos.preloaded import Forked, Preloaded
from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.bridge.simulate import SimulationRequest, StrategyRun
from sigil_ext.bridge.worker import run_all
from sigil_ext.db import embedded
from sigil_ext.db.connection import Database
from sigil_ext.research.backtest_report import trade_row
from sigil_ext.services.database import open_database
from sigil_ext.settings.project import Project
from sigil_ext.settings.strategies import strategy_sessions
from tests.host_parity import MIDNIGHT, candles

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTC-USDT", "ETH-USDT")
LONG, SHORT = 900, 150  # minutes
# Sessions that are to be interrupted: at full speed a recording is over, or commits many minutes at once, before it can be met.
PACED = ("--speed", "12000")
HOLES, WHOLE, FEW = ("holes", LONG), ("walk", LONG), ("walk", SHORT)  # folders of candles

STRATEGIES = '''
import numpy as np
import pandas as pd
from jesse.services.cache import cached
from jesse.strategies import Strategy


class Remembers(Strategy):
    """Spot. Memory of every kind that is its own; entries in two parts, one of which waits; exits in parts."""

    def __init__(self):
        super().__init__()
        self.seen = np.zeros(5)
        self.frame = pd.DataFrame({"close": []}, dtype=float)
        self.streak = 0

    def before(self):
        self.vars["bars"] = self.vars.get("bars", 0) + 1
        self.seen = np.append(self.seen[1:], self.close)
        self.frame = pd.concat([self.frame, pd.DataFrame({"close": [self.close]})], ignore_index=True).tail(9)

    def should_long(self):
        hours = self.get_candles(self.exchange, self.symbol, "1h")
        return self.vars["bars"] % 3 == self.streak % 3 and (self.close <= self.seen.mean() or len(hours) % 4 == 1)

    def go_long(self):
        self.buy = [(20 / self.price, self.price), (20 / self.price, self.price * 0.997)]

    def should_cancel_entry(self):
        return self.vars["bars"] % 4 == 0

    def on_open_position(self, order):
        held = self.position.qty
        self.take_profit = [(held / 2, self.price * 1.004), (held / 2, self.price * 1.008)]
        self.stop_loss = held, self.price * 0.99

    def on_increased_position(self, order):
        self.take_profit = self.position.qty, self.price * 1.006
        self.stop_loss = self.position.qty, self.price * 0.99

    def on_reduced_position(self, order):
        self.stop_loss = self.position.qty, self.position.entry_price

    def on_close_position(self, order, closed_trade):
        self.streak = self.streak + 1 if closed_trade.pnl > 0 else 0

    def update_position(self):
        if len(self.frame) == 9 and self.close >= self.frame.close.max():
            self.liquidate()


class BothWays(Strategy):
    """Futures. Short and long by turns; what it remembers is kept in the class, where no checkpoint looks."""

    turns = {}

    def should_long(self):
        return self.turns.get(self.symbol, 0) % 2 == 0

    def should_short(self):
        return not self.should_long()

    def go_long(self):
        self.buy = 1, self.price
        self.stop_loss = 1, self.price * 0.995
        self.take_profit = [(0.5, self.price * 1.003), (0.5, self.price * 1.006)]

    def go_short(self):
        self.sell = 1, self.price
        self.stop_loss = 1, self.price * 1.005
        self.take_profit = [(0.5, self.price * 0.997), (0.5, self.price * 0.994)]

    def on_close_position(self, order, closed_trade):
        self.turns[self.symbol] = self.turns.get(self.symbol, 0) + 1


class Caches(Strategy):
    """Spot. Jesse's usual `@property @cached`; what a fill between two bars has it reckon is still there at the next bar."""

    @property
    @cached
    def mean(self):
        return self.candles[-8:, 2].mean()

    @cached
    def span(self, bars):
        return np.ptp(self.candles[-bars:, 2])

    def should_long(self):
        return self.index % 4 == 3 or self.close < self.mean

    def go_long(self):
        self.buy = 20 / self.price, self.price

    def on_open_position(self, order):
        self.stop_loss = self.position.qty, self.position.entry_price - 3 * self.span(8)

    def on_close_position(self, order, closed_trade):
        self.vars["mean"] = self.mean

    def update_position(self):
        if self.index % 4 == 2 or self.close > self.position.entry_price + self.span(8) / 3:
            self.liquidate()


class Divides(BothWays):
    def before(self):
        if self.index == 8 and self.symbol == "ETH-USDT":
            1 / (self.index - 8)


class AsksChance(BothWays):
    def should_long(self):
        import random
        return random.random() < 0.5

    def should_short(self):
        return False
'''

# what Jesse bundles: two entries and four exits, take profits in parts, both ways in one candle, filters, many trades
BUNDLED = ("TestIncreasedAndReducedCount", "Test31", "Test36", "Test45")
CASES: dict[str, tuple[StrategyRun, tuple[str, int]]] = {
    "remembers": (StrategyRun("mine:Remembers", "15m", 10_000.0, 0.0015, "spot", ("1h",)), HOLES),
    "caches": (StrategyRun("mine:Caches", "15m", 10_000.0, 0.001, "spot"), HOLES),
    "bothways": (StrategyRun("mine:BothWays", "5m", 10_000.0, 0.001, "futures", ("30m",)), WHOLE),
    "isolation": (StrategyRun("jesse.strategies.TestOptimizationIsolation:TestOptimizationIsolation", "3m", 10_000.0, 0.001, "spot"), WHOLE),
    **{
        f"bundled_{name.lower()}": (StrategyRun(f"jesse.strategies.{name}:{name}", "1m", 10_000.0, 0.001, "futures"), FEW)
        for name in BUNDLED
    },
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Bench:
    """A project of a user with strategies and candles, and `sigil` in it without the seconds of an import."""

    def __init__(self, project: Project) -> None:
        self.project = project
        (project.root / "mine.py").write_text(STRATEGIES)
        for kind in (HOLES, WHOLE, FEW):
            write_candles(project.root / folder_of(kind), *kind)
        variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL"))}
        self._forks = Preloaded(project.root, variables | {"SIGIL_HOME": str(project.root)})
        self._said = project.root / "said.txt"

    def start(self, *arguments: str) -> Forked:
        return self._forks.start(list(arguments), self._said)

    def sigil(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end and return what it said."""
        process = self.start(*arguments)
        found = process.wait()
        said = self._said.read_text()
        assert found == status, said
        return said

    def said(self) -> str:
        return self._said.read_text()

    def close(self) -> None:
        self._forks.close()


def folder_of(kind: tuple[str, int]) -> str:
    return f"{kind[0]}{kind[1]}"


def write_candles(folder: Path, kind: str, minutes: int) -> None:
    folder.mkdir()
    for seed, symbol in enumerate(SYMBOLS):
        with (folder / f"{symbol.replace('-', '')}-1m.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["timestamp", "open", "high", "low", "close", "volume"])
            for t, opened, close, high, low, volume in candles(kind, 3 + seed)[:minutes]:
                table.writerow(
                    [
                        int(t),
                        repr(float(opened)),
                        repr(float(high)),
                        repr(float(low)),
                        repr(float(close)),
                        repr(float(volume)),
                    ]
                )


def line(name: str, *more: str, of: str | None = None) -> list[str]:
    """The command line that runs a case on paper."""
    run, kind = CASES[of or name]
    data = [word for t in run.data_timeframes for word in ("--data-timeframe", t)]
    return [
        "run", "paper", "--strategy", run.path, "--name", name, "--timeframe", run.timeframe, *data, "--market", run.market,
        "--cost-pct", repr(run.cost_rate * 100), "--candles", folder_of(kind), *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    root = tmp_path_factory.mktemp("strategies")
    for name in ("overlays", "migrations", "strategies"):
        (root / name).symlink_to(ROOT / name)
    project = Project(root, root / "storage")
    made = Bench(project)
    try:
        yield made
    finally:
        made.close()
        embedded.stop(project)


@pytest.fixture(scope="module")
def expected(bench, tmp_path_factory) -> dict[str, list[dict[str, Any]]]:
    """What the backtest of each case says."""
    folder = tmp_path_factory.mktemp("arrays")
    requests = []
    for run, kind in CASES.values():
        loaded = load_candles(bench.project.root / folder_of(kind))
        files = {}
        for symbol, found in loaded.items():
            files[symbol] = folder / f"{symbol}-{folder_of(kind)}.npy"
            np.save(files[symbol], found.candles)
        requests.append(SimulationRequest(run, files, MIDNIGHT, max(c.finish_ms for c in loaded.values())))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(bench.project.root))
        results = run_all(requests, workers=1)
    return {
        name: [trade_row(t) | {"fills": t.fills} for t in r.record.trades]
        for name, r in zip(CASES, results, strict=True)
    }


def minutes_of(database: Database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM paper_minutes")
        return cursor.fetchone()[0]


def kill_after(process: Forked, database: Database, minutes: int) -> None:
    deadline = time.monotonic() + 120
    while minutes_of(database) < minutes and process.poll() is None:
        assert time.monotonic() < deadline, f"no {minutes} minutes in two minutes"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def trades_of(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())["trades"]


@pytest.mark.parametrize("name", CASES)
def test_killed_on_the_way_a_strategy_makes_the_trades_of_its_backtest(bench, expected, name):
    result = bench.project.root / f"{name}.json"
    # The database is made before, to be looked into while the session runs.
    bench.sigil(*line(name, "--finish", "2025-06-15T00:01", "--keep-open"))
    database = open_database(name, bench.project)
    whole = CASES[name][1][1]
    for share in (0.2, 0.7) if whole == LONG else (0.1,):
        kill_after(bench.start(*line(name, "--alerts", *PACED)), database, int(whole * (share + random.random() / 5)))
    assert minutes_of(database) < whole, "killed on the way"
    said = bench.sigil(*line(name, "--alerts", "--json", str(result)))
    found = trades_of(result)
    assert len(found) == len(expected[name]) > (8 if whole == LONG else 0)
    assert found == [{k: v for k, v in trade.items() if k != "fills"} for trade in expected[name]]
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT abs(qty), entry_price, exit_price, fees_usd, pnl_usd, exit_reason FROM micro_positions WHERE status = 'closed'"
        )
        rows = sorted(cursor.fetchall())
        cursor.execute("SELECT count(*) FROM micro_positions WHERE status <> 'closed'")
        assert cursor.fetchone() == (0,)
        cursor.execute(
            "SELECT count(*) FILTER (WHERE event = 'entry'), count(*) FILTER (WHERE event = 'exit') FROM alerts"
        )
        told_from = (
            "2025-06-15T00:01:30"  # the first minute ran without alerts; what the end of the session closes has none
        )
        entries = sum(trade["opened_at"] > told_from for trade in found)
        exits = sum(trade["closed_at"] > told_from and trade["exit_reason"] != "session_end" for trade in found)
        assert cursor.fetchone() == (entries, exits), "one alert an entry and exit"
    assert rows == sorted(
        (t["qty"], t["entry_price"], t["exit_price"], t["fee"], t["pnl_usd"], t["exit_reason"]) for t in expected[name]
    )
    if name == "caches":
        with database.transaction() as cursor:
            cursor.execute("SELECT count(*) FROM paper_checkpoints WHERE open_ms > %s", (MIDNIGHT,))
            assert cursor.fetchone() > (0,), "what is cached and empty is no state"
    database.close()
    if name in ("caches", "remembers"):
        assert "no checkpoints" not in said
        assert "checkpoint not used" not in said, said
    if name == "bothways":
        assert "sell" in {t["fills"][0].side for t in expected[name]}
        assert [t["side"] for t in found] == [
            "short" if t["fills"][0].side == "sell" else "long" for t in expected[name]
        ]
        assert "it keeps 'turns' in class BothWays" in said
        assert any(t["fills"][0].side == "sell" for t in expected[name]), "shorts"
    if name == "remembers":
        assert any(len(t["fills"]) > 3 for t in expected[name]), "in parts"
        audit = json.loads(bench.sigil("audit", "--variant", name, "--json"))
        assert (audit["matched"], audit["differing"], audit["paper_only"], audit["backtest_only"]) == (
            len(found),
            0,
            0,
            0,
        )
        assert len(json.loads(bench.sigil("positions", "list", "--variant", name, "--json"))["positions"]) == len(found)
        assert name in bench.sigil("status", "--variant", name)


def test_a_strategy_that_raises_stops_its_session_with_one_sentence_every_time(bench):
    CASES["divides"] = StrategyRun("mine:Divides", "5m", 10_000.0, 0.001, "futures"), WHOLE
    for _ in range(2):
        said = bench.sigil(*line("divides"), status=1)
        (sentence,) = [text for text in said.splitlines() if text.startswith("error: ")]
        assert sentence == (
            "error: strategy mine:Divides raised ZeroDivisionError: division by zero on ETH-USDT in the minute "
            "2025-06-15 00:44 UTC; nothing of that minute was recorded"
        )
        assert "Traceback" not in said
    database = open_database("divides", bench.project)
    with database.transaction() as cursor:
        cursor.execute("SELECT max(open_ms) FROM paper_minutes")
        assert cursor.fetchone() == (MIDNIGHT + 43 * 60_000,)
        cursor.execute("SELECT max(coalesce(closed_at, opened_at)) < '2025-06-15 00:45Z' FROM micro_positions")
        assert cursor.fetchone() == (True,)
        cursor.execute("SELECT state FROM scanner_heartbeat")
        assert cursor.fetchone() == ("stopped",)
        cursor.execute("SELECT count(*) FROM micro_positions WHERE status = 'open'")
        assert cursor.fetchone() > (0,)
    # The way out of a strategy that cannot run: what it holds is closed without it, and the next start begins anew.
    assert "still" not in bench.sigil("positions", "close", "--stale", "--variant", "divides", "--reason", "it divides")
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM micro_positions WHERE status = 'open'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM paper_sessions WHERE ended_at IS NULL")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT sum(pnl_usd) FROM micro_positions")
        (won,) = cursor.fetchone()
        cursor.execute("SELECT equity_usd, cash_usd, open_positions FROM equity_snapshots ORDER BY at DESC LIMIT 1")
        assert cursor.fetchone() == (pytest.approx(10_000 + won), pytest.approx(10_000 + won), 0)
    database.close()


def test_a_checkpoint_waits_while_something_is_cached_that_the_next_bar_decides_by(bench):
    CASES["waitsforbar"] = CASES["caches"][0], WHOLE
    # It enters at 04:00, and the checkpoint that is due a minute later could not hold what `on_open_position` asked for.
    bench.sigil(*line("waitsforbar", "--finish", "2025-06-15T04:14", "--keep-open"))
    database = open_database("waitsforbar", bench.project)

    def kept() -> list[int]:
        with database.transaction() as cursor:
            cursor.execute("SELECT (open_ms - %s) / 60000 FROM paper_checkpoints", (MIDNIGHT,))
            return [row[0] for row in cursor.fetchall()]

    assert kept() == []
    said = bench.sigil(*line("waitsforbar", "--finish", "2025-06-15T04:30", "--keep-open"))
    assert "no checkpoints" not in said
    assert kept() == [4 * 60 + 14]
    database.close()


def test_an_audit_does_not_call_changed_code_a_drift(bench):
    CASES["edited"] = StrategyRun("edited:Edited", "5m", 10_000.0, 0.001, "futures"), FEW
    file = bench.project.root / "edited.py"
    begun = STRATEGIES.replace("class BothWays", "class Edited").replace("(BothWays)", "(Edited)")
    file.write_text(begun)
    bench.sigil(*line("edited", "--finish", "2025-06-15T02:00", "--keep-open"))
    assert json.loads(bench.sigil("audit", "--variant", "edited", "--json"))["matched"] > 0
    file.write_text(begun.replace("% 2 == 0", "% 2 == 1"))
    said = bench.sigil("audit", "--variant", "edited", "--json", status=2)
    assert said.strip().splitlines() == [
        "error: the code of edited:Edited has changed since its paper session was begun, and cannot say what the session "
        "should have done; put it back, or begin a new session with: sigil run paper --restart"
    ]
    database = open_database("edited", bench.project)
    with database.transaction() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM audits), (SELECT count(*) FROM alerts WHERE event = 'audit')")
        assert cursor.fetchone() == (1, 0)
    database.close()
    file.write_text(begun)
    bench.sigil("audit", "--variant", "edited")


def test_a_strategy_that_asks_chance_is_found_out_when_it_is_started_again(bench):
    CASES["askschance"] = StrategyRun("mine:AsksChance", "5m", 10_000.0, 0.001, "futures"), WHOLE
    bench.sigil(*line("askschance", "--finish", "2025-06-15T06:00", "--keep-open"))
    said = bench.sigil(*line("askschance"), status=1)
    assert "mine:AsksChance does something else with the recorded minutes than it did when they came in" in said
    assert "positions close --stale --variant askschance" in said


def test_a_pause_bars_its_entries_a_flatten_closes_and_neither_is_forgotten_in_a_crash(bench, expected):
    CASES["held"] = CASES["remembers"]
    early = [t for t in expected["remembers"] if "T02" < t["opened_at"][10:] < "T06"]
    longest = max(early, key=lambda t: datetime.fromisoformat(t["closed_at"]) - datetime.fromisoformat(t["opened_at"]))
    paused = datetime.fromisoformat(longest["closed_at"]) - timedelta(minutes=1)
    bench.sigil(*line("held", "--finish", f"{paused:%Y-%m-%dT%H:%M}", "--keep-open"))
    database = open_database("held", bench.project)
    bench.sigil("pause", "--variant", "held", "--reason", "to see")
    assert "closed" in bench.sigil("flatten", "--variant", "held", "--reason", "to see")
    until = paused + timedelta(hours=3)
    further = line("held", "--finish", f"{until:%Y-%m-%dT%H:%M}", "--keep-open")
    kill_after(bench.start(*further, *PACED), database, minutes_of(database) + 90)
    bench.sigil(*further)
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM micro_positions WHERE opened_at > %s", (paused,))
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*), min(reject_reason), max(reject_reason) FROM signals WHERE NOT acted")
        refused, *reasons = cursor.fetchone()
        assert refused > 3
        assert reasons == ["paused", "paused"]
        cursor.execute("SELECT count(*) FROM micro_positions WHERE exit_reason = 'kill_switch'")
        assert cursor.fetchone() > (0,)
    bench.sigil("resume", "--variant", "held", "--reason", "seen")
    kill_after(bench.start(*line("held", "--keep-open", *PACED)), database, minutes_of(database) + 90)
    bench.sigil(*line("held", "--keep-open"))
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM micro_positions WHERE opened_at > %s", (until,))
        assert cursor.fetchone() > (2,)
    audit = json.loads(bench.sigil("audit", "--variant", "held", "--json"))
    assert audit["matched"] > 2
    assert audit["unexplained"] == 0
    database.close()


def test_without_its_database_its_time_stands_still_and_nothing_is_remembered_twice(bench, expected):
    CASES["waits"] = CASES["bothways"]
    result = bench.project.root / "waits.json"
    bench.sigil(*line("waits", "--finish", "2025-06-15T00:01", "--keep-open"))
    database = open_database("waits", bench.project)
    process = bench.start(*line("waits", "--json", str(result), *PACED))
    while minutes_of(database) < 200:
        time.sleep(0.01)
    embedded.stop(bench.project)
    embedded.ensure_running(bench.project)
    assert process.wait() == 0, bench.said()
    assert "database lost" in bench.said()
    assert trades_of(result) == [{k: v for k, v in trade.items() if k != "fills"} for trade in expected["bothways"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--strategy", "mine:Remembers", "--variant", "baseline"), "--strategy cannot be combined with --variant"),
        (("--strategy", "mine:Remembers", "--name", "baseline"), "taken by a variant"),
        (("--strategy", "mine:Remembers", "--name", "My-Name"), "small letters"),
        (("--strategy", "mine:Nothing"), "mine has no class Nothing"),
        (("--strategy", "strategies.Baseline:Baseline"), "run it with: sigil run paper --variant baseline"),
        (("--strategy", "mine:Remembers", "--start", "2025-06-15T00:20"), "in the middle of a bar of 15 minutes"),
        (("--strategy", "mine:Remembers", "--name", "typed", "--candles", "nowhere"), "nowhere"),
        (("--strategy", "mine:Remembers", "--feed", "exchange", "--symbols", "A-USDT,A-USD"), "one quote currency"),
        (("--variant", "baseline", "--all"), "do not go together"),
        (("--variant", "baseline", "--timeframe", "1h"), "--timeframe goes with --strategy"),
        (("--variant", "baseline", "--name", "other"), "--name goes with --strategy"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(bench, arguments, says):
    known = strategy_sessions(bench.project)
    said = bench.sigil("run", "paper", "--candles", "walk150", *arguments, status=2)
    assert len(said.strip().splitlines()) == 1
    assert says in said
    assert strategy_sessions(bench.project) == known, "a session that never began has no name"


def test_the_help_says_under_which_name_a_session_runs(bench):
    said = " ".join(bench.sigil("run", "paper", "--help").replace("│", " ").split())
    assert "its class in small letters" in said
