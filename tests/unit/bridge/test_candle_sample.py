"""The bundled sample: what its README says is there, is there, unchanged and good."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sigil_ext.bridge.candle_files import CandleFile, candle_file, load_candles, read_candle_file, scan_folder

SAMPLE = Path(__file__).resolve().parents[3] / "sample"
ROW = re.compile(r"^\| (\S+\.parquet) \| (\d+) \|.*\| `([0-9a-f]{64})` \|$", re.MULTILINE)
LISTED = {name: (int(size), digest) for name, size, digest in ROW.findall((SAMPLE / "README.md").read_text())}
START, FINISH = datetime(2025, 6, 16, 21, tzinfo=UTC), datetime(2025, 6, 22, 21, 1, tzinfo=UTC)


def files() -> list[CandleFile]:
    return [candle_file(SAMPLE / name) for name in sorted(LISTED)]


def test_the_folder_holds_exactly_the_files_that_its_readme_lists():
    assert sorted(p.name for p in SAMPLE.iterdir()) == sorted([*LISTED, "README.md"])
    assert sum(p.stat().st_size for p in SAMPLE.iterdir()) <= 6_000_000


def test_the_coins_of_the_earlier_bot_are_among_the_twelve():
    symbols = [file.symbol for file in scan_folder(SAMPLE).files]
    assert len(symbols) == 12
    assert {f"{coin}-USDT" for coin in ("TST", "DOGS", "NFP", "HMSTR", "ORCA", "KNC")} <= set(symbols)
    assert scan_folder(SAMPLE).notes == ()


@pytest.mark.parametrize("file", files(), ids=lambda file: file.symbol)
def test_each_file_is_the_one_listed_and_passes_the_checks(file):
    raw = file.path.read_bytes()
    assert (len(raw), hashlib.sha256(raw).hexdigest()) == LISTED[file.path.name]
    assert pq.ParquetFile(file.path).schema_arrow.names == ["timestamp", "open", "high", "low", "close", "volume"]
    _, report = read_candle_file(file)
    assert (report.start, report.finish, report.rows, report.missing) == (START, FINISH, 8641, 0)
    assert report.zero_volume_pct < 2
    assert abs(report.largest_move_pct) > 1  # not one of the dead series that the recording also holds


def test_the_sample_loads_as_one_pool():
    assert {len(candle_set.candles) for candle_set in load_candles(SAMPLE).values()} == {8641}
