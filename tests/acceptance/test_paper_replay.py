"""A paper session on recorded candles equals the backtest, and a crash at any instant changes nothing."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pandas as pd
import pytest
import zstandard

from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.services.database import open_database

ROOT = Path(__file__).resolve().parents[2]
LOOKS_AHEAD = {"next_24h_high_pct", "next_24h_low_pct"}  # measured afterwards, by the backtest only
PERIOD = ("--candles", str(ROOT / "sample"), "--finish", "2025-06-20")


def command(project, *arguments: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {
        "SIGIL_HOME": str(project.root)
    }
    return subprocess.Popen(
        [sys.executable, "-m", "sigil_ext", *arguments],
        cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def done(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    return out


def trades(document: dict) -> list[dict]:
    return [{k: v for k, v in trade.items() if k not in LOOKS_AHEAD} for trade in document["trades"]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the backtest says."""
    process = subprocess.run(
        [sys.executable, "-m", "sigil_ext", "backtest", "--variant", "unhinged", *PERIOD, "--json"],
        capture_output=True, text=True, check=True, cwd=tmp_path_factory.mktemp("backtest"),
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL"))},
    )  # fmt: skip
    found = trades(json.loads(process.stdout))
    assert len(found) > 15
    return found


def minutes_processed(database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM paper_minutes")
        return cursor.fetchone()[0]


def wait_for(database, minutes: int, process) -> None:
    for _ in range(1200):
        if minutes_processed(database) >= minutes or process.poll() is not None:
            return
        time.sleep(0.05)
    pytest.fail(f"no {minutes} minutes in a minute")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_again_and_again_a_session_makes_the_trades_of_the_backtest(empty_project, expected):
    database = open_database("unhinged", empty_project)
    result = empty_project.root / "paper.json"
    line = ("run", "paper", "--variant", "unhinged", *PERIOD, "--json", str(result))
    rng = random.Random(11)
    for target in sorted(rng.sample(range(200, 4300), 4)):
        process = command(empty_project, *line)
        wait_for(database, target, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = minutes_processed(database)
    assert 200 <= before < 4500
    said = done(command(empty_project, *line))
    recovered, processed = (
        int(found) for found in re.search(r"(\d+) minutes recovered, (\d+) processed", said).groups()
    )
    assert processed == 4500 - before
    assert recovered < before, "a restart goes on from a checkpoint, not from the start"
    assert trades(json.loads(result.read_text())) == expected
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT (symbol, opened_at)), round(sum(pnl_usd)::numeric, 6) FROM micro_positions"
        )
        rows, distinct, pnl = cursor.fetchone()
        assert rows == distinct == len(expected)
        assert float(pnl) == pytest.approx(sum(t["pnl_usd"] for t in expected), abs=1e-5)
        cursor.execute("SELECT count(*) FROM micro_positions WHERE status = 'open'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM signals WHERE acted")
        assert cursor.fetchone() == (len(expected),)
    database.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "spoil", [lambda state: zlib.compress(zstandard.decompress(state)), lambda state: state[:-100]]
)
def test_a_checkpoint_of_an_earlier_version_or_a_damaged_one_only_makes_a_restart_longer(
    empty_project, expected, spoil
):
    database = open_database("unhinged", empty_project)
    result = empty_project.root / "paper.json"
    line = ("run", "paper", "--variant", "unhinged", *PERIOD, "--json", str(result))
    first = command(empty_project, *line)
    wait_for(database, 1000, first)
    first.send_signal(signal.SIGTERM)
    done(first)
    before = minutes_processed(database)
    with database.transaction() as cursor:
        cursor.execute("SELECT open_ms, state FROM paper_checkpoints")
        found = cursor.fetchall()
        assert found, "there is one to spoil"
        for open_ms, state in found:
            cursor.execute("UPDATE paper_checkpoints SET state = %s WHERE open_ms = %s", (spoil(bytes(state)), open_ms))
    second = command(empty_project, *line)
    said, err = second.communicate(timeout=280)
    assert second.returncode == 0, err
    assert "checkpoint not used" in err
    assert "damaged, or packed by another version" in err
    assert f"{before} minutes recovered, {4500 - before} processed" in said
    assert trades(json.loads(result.read_text())) == expected
    database.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sigterm_finishes_the_minute_a_second_session_is_refused_and_other_settings_too(empty_project):
    database = open_database("baseline", empty_project)
    line = ("run", "paper", "--variant", "baseline", *PERIOD)
    first = command(empty_project, *line, "--speed", "3000")  # at full speed it could be over before the second looks
    wait_for(database, 50, first)
    second = command(empty_project, *line)
    _, err = second.communicate(timeout=120)
    assert second.returncode == 1
    assert "runs already" in err
    first.send_signal(signal.SIGTERM)
    assert "continues with the same command" in done(first)
    kept = minutes_processed(database)
    other = command(empty_project, *line, "--set", "trail.multiplier=3")
    _, err = other.communicate(timeout=120)
    assert other.returncode == 2
    assert "trail.multiplier" in err
    assert len(err.strip().splitlines()) == 1
    assert minutes_processed(database) == kept
    database.close()


@pytest.mark.slow
def test_a_session_goes_on_only_on_what_it_was_begun_on_and_begins_anew_only_in_an_empty_database(
    sigil, empty_project, tmp_path
):
    database = open_database("moderate", empty_project)
    line = ("run", "paper", "--variant", "moderate", "--candles")
    done(command(empty_project, *line, str(ROOT / "sample"), "--finish", "2025-06-18T06:00", "--keep-open"))
    held, minutes = PostgresStore(database).open_positions(), minutes_processed(database)

    def refused(candles, *more: str) -> str:
        process = command(empty_project, *line, str(candles), *more)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2, err
        assert len(err.strip().splitlines()) == 1, err
        assert (PostgresStore(database).open_positions(), minutes_processed(database)) == (held, minutes)
        return err

    fewer, other = tmp_path / "fewer", tmp_path / "other"
    for folder, kept in ((fewer, "TST*"), (other, "*")):
        folder.mkdir()
        for file in (ROOT / "sample").glob(f"{kept}.parquet"):
            shutil.copy(file, folder)
    changed = pd.read_parquet(other / "ACHUSDT-1m.parquet")
    changed[["open", "close", "high", "low"]] *= 2
    changed.to_parquet(other / "ACHUSDT-1m.parquet")
    assert "follows ACH-USDT" in refused(fewer)
    assert "another candle of ACH-USDT" in refused(other)
    assert "has recorded up to 2025-06-18 06:00" in refused(ROOT / "sample", "--finish", "2025-06-18T05:00")
    first = done(command(empty_project, *line, str(ROOT / "sample"), "--finish", "2025-06-19"))
    minutes, held = minutes_processed(database), []
    assert "under its own future" in refused(ROOT / "sample", "--finish", "2025-06-19")
    again = done(command(empty_project, *line, str(ROOT / "sample"), "--finish", "2025-06-19", "--fresh"))
    assert again.split(";")[0] == first.split(";")[0], "an empty database trades as the first one did"
    database.close()
    with open_database("baseline", empty_project).transaction() as cursor:
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'sigil_moderate_until_%'")
        assert cursor.fetchone() == (1,)


@pytest.mark.slow
def test_a_restart_that_is_refused_leaves_the_session_as_it_was(empty_project):
    line = ("run", "paper", "--variant", "baseline", "--candles", str(ROOT / "sample"), "--keep-open")
    done(command(empty_project, *line, "--finish", "2025-06-17"))
    process = command(empty_project, *line, "--finish", "2025-06-18", "--restart")
    _, err = process.communicate(timeout=120)
    assert (process.returncode, "under its own future" in err) == (2, True), err
    assert "continues with the same command" in done(command(empty_project, *line, "--finish", "2025-06-17T06:00"))
    later = ("--start", "2025-06-18", "--finish", "2025-06-19")
    assert "1440 processed" in done(command(empty_project, *line, *later, "--restart")), "later there is a new one"


SAMPLE = ("--candles", str(ROOT / "sample"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--variant", "legacy", *SAMPLE), "research"),
        ((), "--variant V, or --all"),
        (("--variant", "baseline", "--all", *SAMPLE), "--variant and --all do not go together"),
        (("--variant", "baselin", *SAMPLE), "did you mean 'baseline'"),
        (("--variant", "baseline"), "--candles DIR"),
        (("--variant", "baseline", "--candles", "nowhere"), "nowhere"),
        (("--variant", "baseline", *SAMPLE, "--speed", "0"), "--speed must be max or a number above 0"),
        (("--variant", "baseline", *SAMPLE, "--speed", "fast"), "was 'fast'"),
        (("--variant", "baseline", *SAMPLE, "--start", "2031-01-01"), "no candle in the period asked for"),
        (("--variant", "baseline", *SAMPLE, "--symbols", "NOPE-USDT"), "NOPE-USDT"),
        (("--variant", "baseline", *SAMPLE, "--symbols", "@nowhere.txt"), "nowhere.txt"),
        (("--variant", "baseline", *SAMPLE, "--exchange-url", "http://x"), "--exchange-url goes with"),
        (("--variant", "baseline", *SAMPLE, "--on-gap", "fill"), "--on-gap go with"),
        (("--variant", "baseline", "--feed", "exchange"), "--symbols"),
        (("--variant", "baseline", "--feed", "exchange", "--symbols", "TST-USDT,BTC-USD"), "one quote currency"),
        (("--variant", "baseline", "--feed", "exchange", "--symbols", "TST-USDT", "--exchange", "binanc"), "binance"),
        (("--variant", "baseline", "--feed", "exchange", "--symbols", "TST-USDT", "--speed", "60"), "speed of its own"),
        (("--variant", "baseline", "--feed", "redis", "--start", "2025-06-01"), "--start and --finish go with"),
    ],
)
def test_wrong_use_is_one_sentence(sigil, server, arguments, says):
    ran = sigil("run", "paper", *arguments, project=server)
    assert (ran.status, ran.out) == (2, ""), ran
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) == 1, ran.err


def test_a_pool_of_two_quote_currencies_is_refused_before_anything_is_written(sigil, server, tmp_path):
    for name in ("BIDUSDT-1m", "AT-USD-1m"):
        shutil.copy(ROOT / "sample" / "BIDUSDT-1m.parquet", tmp_path / f"{name}.parquet")
    line = ("run", "paper", "--variant", "baseline", "--candles", str(tmp_path), "--finish", "2025-06-17")

    def refused(*more: str) -> str:
        ran = sigil(*line, *more, project=server)
        assert (ran.status, ran.out) == (2, ""), ran
        assert "this one has 2 (USD: AT-USD; USDT: BID-USDT)" in ran.err
        assert len(ran.err.strip().splitlines()) == 1, ran.err
        return ran.err

    assert "--symbols A,B" in refused()
    journal = Journal(open_database("baseline", server))
    assert journal.last() is None, "nothing was begun"

    # A session that an earlier version began all the same: what is refused leaves it as it was.
    begun = journal.begin({}, ("AT-USD", "BID-USDT"), 0, {})
    assert "end this one with --restart" in refused()
    for more in ("--restart", "--fresh"):
        refused(more)
        found = Journal(open_database("baseline", server)).running()
        assert found is not None, more
        assert found.id == begun.id
    journal.end(begun)


def test_a_recorded_minute_that_is_cut_off_is_named_in_one_sentence_with_the_way_out(empty_project):
    line = ("run", "paper", "--variant", "baseline", "--candles", str(ROOT / "sample"), "--finish")
    done(command(empty_project, *line, "2025-06-17T04:00", "--keep-open"))
    with open_database("baseline", empty_project).transaction() as cursor:
        cursor.execute(
            "UPDATE paper_minutes SET candles = substr(candles, 1, length(candles) - 9)"
            " WHERE open_ms = (SELECT min(open_ms) FROM paper_minutes)"
        )
        cursor.execute("DELETE FROM paper_checkpoints")
    for arguments in ((*line, "2025-06-17T05:00"), ("audit", "--variant", "baseline")):
        process = command(empty_project, *arguments)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (1, ""), err
        assert "error: variant 'baseline', session 1: its recorded minute 2025-06-16 21:00 UTC is cut off" in err
        assert "Traceback" not in err
    again = done(command(empty_project, *line, "2025-06-17T05:00", "--fresh"))
    assert "480 processed" in again, "the way out leads out"
