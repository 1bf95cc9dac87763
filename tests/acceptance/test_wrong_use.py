"""Everything a stranger gets wrong: one clear sentence on stderr, exit status 2, no traceback, nothing on stdout.

The list. What needs a database that is broken on purpose stands in test_database_commands.py.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sigil_ext.entrypoints.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own, so that files in it can be spoiled."""
    for folder in ("overlays", "migrations", "strategies"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "storage").mkdir()
    monkeypatch.setenv("SIGIL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(monkeypatch, capsys):
    """Run a command line and return (exit status, stdout, stderr)."""

    def run(line: str | list[str]):
        arguments = line.split() if isinstance(line, str) else line
        monkeypatch.setattr(sys, "argv", ["sigil", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out = capsys.readouterr()
        return ended.value.code, out.out, out.err

    return run


def candle_frame() -> pd.DataFrame:
    rows = pd.read_parquet(ROOT / "sample" / "TSTUSDT-1m.parquet").head(3000)
    return rows.reset_index(drop=True)


def spoiled(folder: Path, row: int, column: str, value: float) -> Path:
    frame = candle_frame()
    frame.loc[row, column] = value
    folder.mkdir()
    frame.to_parquet(folder / "TSTUSDT-1m.parquet")
    return folder


COMMAND_LINES: dict[str, tuple[str, list[str]]] = {
    # name -> (command line, words that the sentence must hold); {sample} is the bundled folder
    "no such command": ("bactest", ["bactest", "did you mean 'backtest'"]),
    "no such option": ("backtest --candels x", ["--candels"]),
    "unknown variant": ("backtest --variant baselin --candles {sample}", ["baselin", "did you mean 'baseline'"]),
    "unknown variant in config": ("config show --variant nope", ["nope", "known:"]),
    "missing variant": ("config show", ["--variant"]),
    "unknown key": ("backtest --candles {sample} --set hard_stop.multipler=2", ["hard_stop.multipler", "hard_stop.multiplier"]),
    "key without section": ("config show --variant baseline --set multiplier=2", ["multiplier", "did you mean"]),
    "no value": ("config show --variant baseline --set hard_stop.multiplier", ["key=value"]),
    "value of the wrong type": ("config show --variant baseline --set hard_stop.multiplier=wide", ["hard_stop.multiplier", "wide"]),
    "value out of range": ("config show --variant baseline --set entry.rsi_max=400", ["entry.rsi_max", "400", "100"]),
    "impossible combination": ("config show --variant baseline --set hard_stop.floor_pct=9", ["floor_pct (9)", "cap_pct (6)"]),
    "bad duration": ("config show --variant baseline --set flat.after=8", ["flat.after", "8h"]),
    "bad start": ("backtest --candles {sample} --start yesterday", ["--start", "yesterday", "2025-06-17"]),
    "impossible date": ("backtest --candles {sample} --finish 2025-02-30", ["--finish", "2025-02-30"]),
    "start within a minute": ("backtest --candles {sample} --start 2025-06-20T00:00:30", ["--start", "2025-06-20T00:00 (UTC)", "minute"]),
    "start after finish": ("backtest --candles {sample} --start 2025-06-20 --finish 2025-06-18", ["--start", "--finish", "before"]),
    "period without candles": ("backtest --candles {sample} --start 2024-01-01 --finish 2024-02-01", ["2025-06-16"]),
    "start after the last candle": ("backtest --candles {sample} --start 2030-01-01", ["2025-06-22"]),
    "no such folder": ("backtest --candles nowhere", ["nowhere"]),
    "empty folder": ("backtest --candles empty", ["empty", "TSTUSDT-1m.parquet"]),
    "a file for a folder": ("backtest --candles file.txt", ["file.txt", "folder"]),
    "unknown symbol": ("backtest --candles {sample} --symbols TTS-USDT", ["TTS-USDT", "TST-USDT"]),
    "no symbol at all": ("backtest --candles {sample} --symbols ,", ["--symbols"]),
    "page where none can be": ("backtest --candles {sample} --html file.txt/page.html", ["file.txt/page.html"]),
    "no workers": ("backtest --candles {sample} --workers 0", ["--workers"]),
    "no such module": ("backtest --candles {sample} --strategy nothing.here:Class", ["nothing.here"]),
    "no such class": ("backtest --candles {sample} --strategy benchmarks.bare:Bear", ["Bear", "benchmarks.bare"]),
    "not a strategy": ("backtest --candles {sample} --strategy pathlib:Path", ["Path", "not a Jesse strategy"]),
    "module without class": ("backtest --candles {sample} --strategy benchmarks.bare", ["module:Class"]),
    "unknown timeframe": ("backtest --candles {sample} --strategy a:B --timeframe 7m", ["7m", "15m"]),
    "strategy and variant": ("backtest --candles {sample} --strategy a:B --variant baseline", ["--strategy", "--variant"]),
    "timeframe without strategy": ("backtest --candles {sample} --timeframe 15m", ["--timeframe", "--strategy"]),
    "candles check of nothing": ("candles check nowhere", ["nowhere"]),
    "unknown migration": ("migrate down --variant baseline", ["--to"]),
    "legacy has no database": ("protections list --variant legacy", ["legacy", "research"]),
    "lift without a reason": ("protections lift TST-USDT", ["--reason"]),
    "hours missing": ("protections ban TST-USDT", ["--hours"]),
    "port out of range": ("run --port 99999", ["--port"]),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_a_mistake_gets_one_sentence_and_status_2(name, project, said):
    line, words = COMMAND_LINES[name]
    (project / "empty").mkdir()
    (project / "file.txt").write_text("hello")
    status, out, err = said(line.replace("{sample}", str(ROOT / "sample")))
    assert status == 2, err
    assert out == ""
    sentences = [text for text in err.splitlines() if text and not text.endswith(": waiting")]
    assert len(sentences) == 1, err
    assert sentences[0].startswith("error: ")
    assert "Traceback" not in err
    for word in words:
        assert word in sentences[0], sentences[0]


def test_debug_adds_the_traceback(project, said):
    status, _, err = said("config show --variant nope --debug")
    assert status == 2
    assert "Traceback" in err
    assert "error: unknown variant" in err


OVERLAYS: dict[str, tuple[str, list[str]]] = {
    "bad YAML": ("entry: [1, 2\n", ["overlays/moderate.yaml", "YAML"]),
    "a list": ("- entry\n- exit\n", ["overlays/moderate.yaml"]),
    "an unknown key": ("entry:\n  breakout_lokback: 3\n", ["entry.breakout_lokback", "overlays/moderate.yaml", "did you mean"]),
    "a value for a section": ("hard_stop: 3\n", ["hard_stop", "overlays/moderate.yaml"]),
    "text for a number": ("trail:\n  multiplier: two\n", ["trail.multiplier", "two", "overlays/moderate.yaml"]),
    "tabs": ("entry:\n\trsi_min: 3\n", ["overlays/moderate.yaml", "YAML"]),
    "not text": ("\x00\x01", ["overlays/moderate.yaml"]),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_spoiled_overlay_is_named_with_key_and_file(name, project, said):
    text, words = OVERLAYS[name]
    (project / "overlays" / "moderate.yaml").write_text(text)
    status, out, err = said("config show --variant moderate")
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    for word in words:
        assert word in err, err


def test_config_check_finds_the_one_bad_overlay_and_shows_the_rest(project, said):
    (project / "overlays" / "moderate.yaml").write_text("trail:\n  multiplier: two\n")
    status, out, _ = said("config check")
    assert status == 2
    assert "moderate: refused" in out
    assert "baseline: fine" in out


def test_a_missing_overlay_and_a_missing_base_are_told_apart(project, said):
    (project / "overlays" / "moderate.yaml").unlink()
    assert "unknown variant 'moderate'" in said("config show --variant moderate")[2]
    (project / "overlays" / "base.yaml").unlink()
    status, _, err = said("config show --variant baseline")
    assert status == 2
    assert "overlays/base.yaml" in err


CANDLES: dict[str, tuple[int, str, float, list[str]]] = {
    "an impossible bar": (1000, "high", 0.0001, ["TSTUSDT-1m.parquet", "1001", "impossible"]),
    "a price of nothing": (7, "close", float("nan"), ["row 8", "close"]),
    "a negative volume": (9, "volume", -1.0, ["row 10", "volume"]),
    "a duplicate": (20, "timestamp", 0.0, ["row 21"]),
}


@pytest.mark.parametrize("name", CANDLES)
def test_the_first_bad_row_of_a_candle_file_is_named(name, project, said):
    row, column, value, words = CANDLES[name]
    if name == "a duplicate":
        value = float(candle_frame().timestamp[row - 1])
    folder = spoiled(project / "bad", row, column, value)
    status, _, err = said(["backtest", "--candles", str(folder)])
    assert status == 2
    for word in words:
        assert word in err, err


def test_a_file_that_is_no_parquet_or_cut_off_is_named(project, said):
    folder = project / "bad"
    folder.mkdir()
    whole = (ROOT / "sample" / "TSTUSDT-1m.parquet").read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        (folder / "TSTUSDT-1m.parquet").write_bytes(content)
        status, _, err = said(["backtest", "--candles", str(folder)])
        assert status == 2
        assert "TSTUSDT-1m.parquet" in err
        assert len(err.strip().splitlines()) == 1


def test_seconds_for_milliseconds_are_recognised(project, said):
    folder = project / "bad"
    folder.mkdir()
    frame = candle_frame()
    frame["timestamp"] = frame.timestamp // 1000
    with gzip.open(folder / "TSTUSDT-1m.csv.gz", "wt") as file:
        frame.to_csv(file, index=False)
    status, _, err = said(["backtest", "--candles", str(folder)])
    assert status == 2
    assert "seconds" in err


def test_a_mode_other_than_draft_is_refused(project, said, monkeypatch):
    monkeypatch.setenv("SIGIL_MODE", "live")
    status, _, err = said("db status")
    assert status == 2
    assert "SIGIL_MODE" in err
    assert "paper" in err


def test_a_home_without_overlays_is_refused(tmp_path, said, monkeypatch):
    monkeypatch.setenv("SIGIL_HOME", str(tmp_path / "elsewhere"))
    status, _, err = said("config check")
    assert status == 2
    assert "SIGIL_HOME" in err


def test_candles_that_end_before_a_day_give_a_run_without_trades_and_say_why(project, said):
    folder = project / "short"
    folder.mkdir()
    candle_frame().head(600).to_parquet(folder / "TSTUSDT-1m.parquet")
    status, out, _ = said(["backtest", "--variant", "baseline", "--candles", str(folder)])
    assert status == 0
    assert "too_young" in out or "universe was empty" in out
    assert np.isfinite(status)
