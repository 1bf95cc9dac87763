"""Candle files: names, spellings, periods, observed minutes, and every way a file can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sigil_ext.bridge.candle_files import list_candle_files, load_candles, scan_folder
from sigil_ext.errors import CandleError, UnknownSymbol

NOON = 1_750_075_200_000  # 2025-06-16 12:00 UTC
MINUTE = 60_000
HEADER = "timestamp,open,high,low,close,volume\n"


def write(folder: Path, name: str, rows: int = 4, start: int = NOON, **columns: object) -> Path:
    """Write `rows` good bars as Parquet, with `columns` put in the place of the good ones (None drops one)."""
    minutes = {"1m": 1, "5m": 5, "15m": 15, "1h": 60}[name.split("-")[-1].split(".")[0]]
    data: dict[str, object] = {
        "timestamp": [start + i * minutes * MINUTE for i in range(rows)],
        "open": [1.0 + i for i in range(rows)],
        "high": [1.9 + i for i in range(rows)],
        "low": [0.5 + i for i in range(rows)],
        "close": [1.5 + i for i in range(rows)],
        "volume": [10.0 * i for i in range(rows)],
    }
    data |= columns
    table = pa.table({key: value for key, value in data.items() if value is not None})
    pq.write_table(table, folder / name)
    return folder / name


def write_csv(folder: Path, text: str, name: str = "TSTUSDT-1m.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def message(folder: Path, **options: object) -> str:
    with pytest.raises(CandleError) as caught:
        load_candles(folder, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_candles_come_in_jesses_column_order_sorted_by_symbol(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet", quote_volume=[1.0] * 4)
    write(tmp_path, "1000SATSUSDT-1m.parquet")
    loaded = load_candles(tmp_path)
    assert list(loaded) == ["1000SATS-USDT", "TST-USDT"]
    candles = loaded["TST-USDT"].candles
    assert candles.dtype == np.float64
    assert candles.flags.c_contiguous
    assert candles[1].tolist() == [NOON + MINUTE, 2.0, 2.5, 2.9, 1.5, 10.0]  # open, close, high, low


def test_a_five_minute_bar_is_replayed_as_the_last_of_its_minutes(tmp_path):
    write(tmp_path, "TSTUSDT-5m.parquet")
    tst = load_candles(tmp_path)["TST-USDT"]
    assert tst.interval_minutes == 5
    assert tst.candles[:, 0].tolist() == [NOON + (5 * i + 4) * MINUTE for i in range(4)]
    assert (tst.start_ms, tst.finish_ms) == (NOON, NOON + 20 * MINUTE)


def test_a_period_holds_bars_that_open_in_it_start_included_finish_not(tmp_path):
    write(tmp_path, "TSTUSDT-5m.parquet")
    tst = load_candles(tmp_path, start_ms=NOON + 5 * MINUTE, finish_ms=NOON + 15 * MINUTE)["TST-USDT"]
    assert (tst.start_ms, tst.finish_ms, len(tst.candles)) == (NOON + 5 * MINUTE, NOON + 15 * MINUTE, 2)


def test_an_absent_bar_stays_absent(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet", timestamp=[NOON, NOON + MINUTE, NOON + 9 * MINUTE, NOON + 10 * MINUTE])
    assert len(load_candles(tmp_path)["TST-USDT"].candles) == 4


@pytest.mark.parametrize("spelling", ["TSTUSDT", "TST-USDT", "tst/usdt"])
def test_symbols_are_asked_for_in_any_spelling(tmp_path, spelling):
    write(tmp_path, "TSTUSDT-1m.parquet")
    write(tmp_path, "KNCUSDT-1m.parquet")
    assert list(load_candles(tmp_path, [spelling])) == ["TST-USDT"]


@pytest.mark.parametrize("asked", ["TSSUSDT", "TSS-USDT", "TSTUST"])
def test_an_unknown_symbol_gets_the_nearest_names(tmp_path, asked):
    write(tmp_path, "TSTUSDT-1m.parquet")
    with pytest.raises(UnknownSymbol, match="did you mean 'TST-USDT'"):
        load_candles(tmp_path, [asked])


@pytest.mark.parametrize("name", ["TSTUSDT-1m.csv", "TSTUSDT-1m.csv.gz"])
def test_csv_is_read_by_column_names(tmp_path, name):
    write_csv(tmp_path, f"volume,close,low,high,open,timestamp,trades\n7,2,1,3,1.5,{NOON},x\n\n", name)
    assert load_candles(tmp_path)["TST-USDT"].candles.tolist() == [[NOON, 1.5, 2, 3, 1, 7]]


def test_the_finest_interval_of_a_symbol_is_used_and_said(tmp_path):
    write(tmp_path, "TSTUSDT-1h.parquet", start=1_750_075_200_000)
    write(tmp_path, "TSTUSDT-5m.parquet")
    write(tmp_path, "TSTUSDT-15m.parquet")
    found = scan_folder(tmp_path)
    assert [f.path.name for f in found.files] == ["TSTUSDT-5m.parquet"]
    assert found.notes == ("TST-USDT: TSTUSDT-5m.parquet is used, not TSTUSDT-15m.parquet, TSTUSDT-1h.parquet",)


def test_badly_named_files_are_told_where_others_are_good(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet")
    for name in ("TSTUSDT.csv", "TSTUSDT-7m.csv", "TSTXYZ-1m.csv"):
        write_csv(tmp_path, HEADER, name)
    (tmp_path / "README.md").write_text("not data")
    notes = scan_folder(tmp_path).notes
    assert len(notes) == 3
    assert all(note.startswith("ignored: TST") for note in notes)
    assert [f.symbol for f in list_candle_files(tmp_path)] == ["TST-USDT"]


def test_a_folder_without_candle_files_is_refused_with_the_naming_rule(tmp_path):
    (tmp_path / "a.txt").write_text("")
    assert "like TSTUSDT-1m.parquet" in message(tmp_path)
    assert "found a.txt" in message(tmp_path)
    assert "it is empty" in message(_folder(tmp_path, "empty"))
    assert "no folder" in message(tmp_path / "nowhere")
    assert "is a file" in message(tmp_path / "a.txt")


def test_a_folder_of_folders_names_those_that_hold_candles(tmp_path):
    write(_folder(tmp_path, "perp-1m"), "TSTUSDT-1m.parquet")
    assert "give one of them: perp-1m" in message(tmp_path)


def test_a_period_without_candles_is_refused_and_tells_what_there_is(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet")
    assert "there is 2025-06-16 12:00 UTC to 2025-06-16 12:04 UTC" in message(tmp_path, start_ms=NOON + 60 * MINUTE)


def test_a_symbol_without_candles_in_the_period_is_left_out_unless_it_was_asked_for(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet")
    write(tmp_path, "KNCUSDT-1m.parquet", start=NOON + 60 * MINUTE)
    assert list(load_candles(tmp_path, finish_ms=NOON + 30 * MINUTE)) == ["TST-USDT"]
    assert "no candle of KNC-USDT" in message(tmp_path, symbols=["KNC-USDT"], finish_ms=NOON + 30 * MINUTE)


def test_an_unreadable_parquet_file_is_named(tmp_path):
    path = write(tmp_path, "TSTUSDT-1m.parquet")
    path.write_bytes(path.read_bytes()[:200])
    assert "TSTUSDT-1m.parquet cannot be read as Parquet" in message(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet", low=None)
    assert "TSTUSDT-1m.parquet lacks column low" in message(tmp_path)


def test_a_column_of_text_is_named(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet", high=["1", "2", "3", "x"])
    assert "column 'high' holds string" in message(tmp_path)


def test_a_column_of_dates_is_named(tmp_path):
    times = pa.array([NOON, NOON + MINUTE, NOON + 2 * MINUTE, NOON + 3 * MINUTE], pa.timestamp("ms", "UTC"))
    write(tmp_path, "TSTUSDT-1m.parquet", timestamp=times)
    assert "column 'timestamp' holds timestamp[ms, tz=UTC], expected whole milliseconds" in message(tmp_path)


def test_a_null_is_told_with_its_row(tmp_path):
    write(tmp_path, "TSTUSDT-1m.parquet", close=[1.5, 2.5, None, 4.5])
    assert "TSTUSDT-1m.parquet, row 3 (2025-06-16 12:02 UTC): close is nan, not a number" in message(tmp_path)


def test_text_in_a_csv_is_told_with_its_line(tmp_path):
    write_csv(tmp_path, HEADER + f"{NOON},1,3,1,2,5\n{NOON + MINUTE},1,3,n/a,2,5\n")
    assert message(tmp_path) == "TSTUSDT-1m.csv, line 3: low is 'n/a', not a number"


def test_dates_in_a_csv_are_refused_with_a_hint(tmp_path):
    write_csv(tmp_path, HEADER + "2025-06-16T12:00:00Z,1,3,1,2,5\n")
    assert "timestamp is '2025-06-16T12:00:00Z', not a number; write milliseconds" in message(tmp_path)


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        (NOON // 1000, "looks like seconds; multiply by 1000"),
        (NOON * 1000, "looks like microseconds; divide by 1000"),
        (NOON * 1_000_000, "looks like nanoseconds; divide by 1000000"),
        (12, "is no time between 2000 and 2100"),
    ],
)
def test_other_units_of_time_are_refused_with_the_row_and_a_hint(tmp_path, ticks, told):
    write_csv(tmp_path, HEADER + f"{ticks},1,3,1,2,5\n")
    assert f"TSTUSDT-1m.csv, line 2 ({ticks}): timestamp {ticks} {told}" in message(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1750075200000,1,3,1,2,5\n",
        HEADER,
        HEADER + "1750075200000,1,3\n",
        HEADER.replace(",", ";"),
        HEADER + "\xff",
    ],
)
def test_a_csv_that_is_none_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "TSTUSDT-1m.csv").write_bytes(text.encode("latin-1"))
    assert message(tmp_path).startswith("TSTUSDT-1m.csv ")


def test_a_truncated_gzip_file_is_refused_with_its_name(tmp_path):
    path = write_csv(tmp_path, HEADER + f"{NOON},1,3,1,2,5\n", "TSTUSDT-1m.csv.gz")
    path.write_bytes(path.read_bytes()[:-12])
    assert "TSTUSDT-1m.csv.gz cannot be read as CSV" in message(tmp_path)


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
