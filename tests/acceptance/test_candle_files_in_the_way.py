"""`sigil candles check` and `list DIR` on files that are no good: told, with exit status 1, and never waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

NOON = 1750075200000
MINUTE = 60_000
HEAD = "timestamp,open,high,low,close,volume\n"
GOOD = f"{HEAD}{NOON},1,3,1,2,5\n"


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "TSTUSDT-1m.csv")


def loop(folder: Path) -> None:
    (folder / "TSTUSDT-1m.csv").symlink_to("TSTUSDT-1m.csv")


def dangling(folder: Path) -> None:
    (folder / "TSTUSDT-1m.csv").symlink_to("nowhere.csv")


def text(content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "TSTUSDT-1m.csv").write_text(content)

    return write


IN_THE_WAY: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (pipe, "TSTUSDT-1m.csv is no plain file but a pipe or device"),
    "a link to itself": (loop, "TSTUSDT-1m.csv cannot be read: too many levels of symbolic links"),
    "a link to nothing": (dangling, "TSTUSDT-1m.csv cannot be read: no such file or directory"),
    "a header alone": (text(HEAD), "TSTUSDT-1m.csv holds one line and no candle"),
    "an impossible bar": (
        text(f"{GOOD}{NOON + MINUTE},1,3,1.5,2,5\n"),
        "line 3 (2025-06-16 12:01 UTC): impossible bar",
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", IN_THE_WAY)
def test_a_bad_file_is_told_and_is_a_problem_found(name, tmp_path, sigil):
    make, told = IN_THE_WAY[name]
    make(tmp_path)
    for line in (("check", str(tmp_path)), ("check", str(tmp_path / "TSTUSDT-1m.csv")), ("list", str(tmp_path))):
        ran = sigil("candles", *line)
        assert (ran.status, "refused" in ran.out) == (1, True), ran
        assert ran.err.startswith("error: "), ran
        assert told in ran.err
        assert ran.err.count("\n") == 1
    assert sigil("backtest", "--variant", "baseline", "--candles", str(tmp_path)).status == 2


def test_more_bars_missing_than_allowed_is_a_problem_found(tmp_path, sigil):
    text(f"{GOOD}{NOON + 2 * MINUTE},1,3,1,2,5\n")(tmp_path)
    ran = sigil("candles", "check", str(tmp_path), "--max-missing", "10")
    assert (ran.status, "33.3 % of the bars are missing, more than 10 %" in ran.err) == (1, True), ran
    assert sigil("candles", "check", str(tmp_path)).status == 0


def test_several_bad_files_are_all_named(tmp_path, sigil):
    for name in ("AAAUSDT", "BBBUSDT"):
        (tmp_path / f"{name}-1m.csv").write_text(HEAD)
    (tmp_path / "CCCUSDT-1m.csv").write_text(GOOD)
    ran = sigil("candles", "list", str(tmp_path))
    assert ran.status == 1
    assert "2 of 3 files are bad; first: AAAUSDT-1m.csv" in ran.err
    assert "BBBUSDT-1m.csv holds one line" in ran.out
