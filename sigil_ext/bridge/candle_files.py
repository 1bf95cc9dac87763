"""Candle files: a folder of Parquet or CSV files to the arrays that Jesse's simulator replays.

Symbol and interval come from the name, `TSTUSDT-1m.parquet` (also .csv and .csv.gz). Bars longer than a minute are replayed
as one observed minute each, the last of the bar: the larger bars that Jesse builds stay exact, nothing is invented,
absent bars stay absent. Never imports Jesse and never writes. Start at `load_candles`.
"""

from __future__ import annotations

import gzip
import re
import stat
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sigil_ext.bridge.candle_checks import (
    COLUMNS,
    MINUTE_MS,
    TIMESTAMP,
    Array,
    CandleReport,
    check_candles,
    describe_time,
)
from sigil_ext.errors import CandleError, UnknownSymbol
from sigil_ext.rules.symbols import to_jesse

INTERVALS = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "45m": 45,
    "1h": 60, "2h": 120, "3h": 180, "4h": 240, "6h": 360, "8h": 480, "12h": 720, "1d": 1440,
}  # fmt: skip
SUFFIXES = (".parquet", ".csv", ".csv.gz")  # the first one wins where a symbol has several
NAMING_RULE = "name them by symbol and interval, like TSTUSDT-1m.parquet (or .csv, .csv.gz)"
CSV_HEADER = "timestamp,open,high,low,close,volume"

_NAME = re.compile(r"(?P<symbol>[A-Za-z0-9_-]+)-(?P<interval>[0-9]+[a-zA-Z])(?P<suffix>\.parquet|\.csv|\.csv\.gz)")


@dataclass(frozen=True, slots=True)
class CandleFile:
    """A file and what its name says: symbol as Jesse writes it, length of a bar."""

    path: Path
    symbol: str
    interval_minutes: int


@dataclass(frozen=True, slots=True)
class CandleFolder:
    """The files of a folder, one a symbol, sorted by symbol; `notes` say in a sentence each what was left aside."""

    path: Path
    files: tuple[CandleFile, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CandleSet:
    """One symbol's candles, ready to be replayed.

    `candles` has shape (n, 6), n >= 1, C-contiguous, Jesse's column order: timestamp, open, close, high, low, volume.
    The timestamp is the open time in ms of the minute that stands for the bar: of the bar itself at 1m, of the bar's last
    minute above. `source` is the name of the file or table.
    """

    symbol: str
    interval_minutes: int
    candles: Array
    source: str

    @property
    def start_ms(self) -> int:
        """Return the open time of the first bar."""
        return int(self.candles[0, TIMESTAMP]) - (self.interval_minutes - 1) * MINUTE_MS

    @property
    def finish_ms(self) -> int:
        """Return the instant the last bar closes."""
        return int(self.candles[-1, TIMESTAMP]) + MINUTE_MS


def load_candles(
    folder: Path, symbols: Sequence[str] | None = None, start_ms: int | None = None, finish_ms: int | None = None
) -> dict[str, CandleSet]:
    """Return the candles of `folder` by symbol (TST-USDT), sorted by symbol, every file checked.

    Args:
        symbols: which ones, in any spelling; None for all. A symbol of the folder without a bar in the period is left
            out, one that was asked for by name is refused.
        start_ms, finish_ms: keep bars that open in [start_ms, finish_ms).
    Raises:
        CandleError: no such folder, no candle file in it, a file that cannot be read or holds a bad row, no bar in the
            period.
        UnknownSymbol: one of `symbols` has no file; the nearest names are told.
    """
    files = choose_symbols(list_candle_files(folder), symbols)
    loaded: dict[str, CandleSet] = {}
    outside: list[CandleSet] = []
    for file in files:
        whole, _ = read_candle_file(file)
        part = select_period(whole, start_ms, finish_ms)
        if part is not None:
            loaded[part.symbol] = part
            continue
        outside.append(whole)
        if symbols is not None:
            break
    if outside and (symbols is not None or not loaded):
        first = min(outside, key=lambda s: s.start_ms)
        last = max(outside, key=lambda s: s.finish_ms)
        raise CandleError(
            f"{folder} holds no candle{f' of {first.symbol}' if symbols is not None else ''} in the period asked for; "
            f"there is {describe_time(first.start_ms)} to {describe_time(last.finish_ms)}"
        )
    return loaded


def list_candle_files(folder: Path) -> list[CandleFile]:
    """Return the candle files of `folder`, one a symbol, sorted by symbol. `scan_folder` also tells what it left aside."""
    return list(scan_folder(folder).files)


def scan_folder(folder: Path) -> CandleFolder:
    """Return the candle files of `folder` and notes on files with other names and on further intervals of a symbol.

    Raises:
        CandleError: no such folder, or no file in it is named as a candle file.
    """
    try:
        entries, candidates = _entries(folder)
    except OSError as error:
        raise CandleError(f"{folder} cannot be read: {(error.strerror or str(error)).lower()}") from None
    by_symbol: dict[str, list[CandleFile]] = {}
    notes: list[str] = []
    for path in candidates:
        try:
            file = candle_file(path)
        except CandleError as error:
            notes.append(f"ignored: {error}")
            continue
        by_symbol.setdefault(file.symbol, []).append(file)
    if not by_symbol:
        raise CandleError(f"{folder} holds no candle files; {NAMING_RULE}{_what_is_there(entries)}")
    chosen: list[CandleFile] = []
    for symbol in sorted(by_symbol):
        used, *left = sorted(by_symbol[symbol], key=_preference)
        chosen.append(used)
        if left:
            notes.append(f"{symbol}: {used.path.name} is used, not {', '.join(file.path.name for file in left)}")
    return CandleFolder(folder, tuple(chosen), tuple(notes))


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return what is in `folder`, and those of it that could be candle files, both sorted by name."""
    if not folder.exists():
        raise CandleError(f"no folder {folder}; candle files are looked for in a folder, {NAMING_RULE}")
    if not folder.is_dir():
        raise CandleError(f"{folder} is a file; give the folder that holds the candle files ({NAMING_RULE})")
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    return entries, [p for p in entries if p.name.lower().endswith(SUFFIXES) and not p.is_dir()]


def candle_file(path: Path) -> CandleFile:
    """Return what the name of `path` says.

    Raises:
        CandleError: the name does not follow the rule, or its symbol or interval is unknown.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise CandleError(f"{path.name} is not named as a candle file; {NAMING_RULE}")
    interval = INTERVALS.get(match["interval"].replace("D", "d").replace("H", "h"))
    if interval is None:
        raise CandleError(f"{path.name}: '{match['interval']}' is no interval; known: {', '.join(INTERVALS)}")
    try:
        return CandleFile(path, to_jesse(match["symbol"]), interval)
    except ValueError as error:
        raise CandleError(f"{path.name}: {error}") from None


def choose_symbols(files: Iterable[CandleFile], symbols: Sequence[str] | None) -> list[CandleFile]:
    """Return the files of `symbols` (any spelling; None: all), each once, sorted by symbol.

    Raises:
        UnknownSymbol: there is no file for one of them.
    """
    by_symbol = {file.symbol: file for file in files}
    if symbols is None:
        return [by_symbol[symbol] for symbol in sorted(by_symbol)]
    wanted: set[str] = set()
    for text in symbols:
        try:
            symbol = to_jesse(text)
        except ValueError:
            raise UnknownSymbol(text, by_symbol) from None
        if symbol not in by_symbol:
            raise UnknownSymbol(symbol, by_symbol)
        wanted.add(symbol)
    return [by_symbol[symbol] for symbol in sorted(wanted)]


def read_candle_file(file: CandleFile) -> tuple[CandleSet, CandleReport]:
    """Return all candles of `file` and the report of their check.

    Raises:
        CandleError: the file cannot be read, lacks a column, or holds a bad row; file, row and value are named.
    """
    _demand_plain(file.path)
    is_parquet = file.path.name.endswith(".parquet")
    bars = _read_parquet(file.path) if is_parquet else _read_csv(file.path)
    report = check_candles(
        bars,
        file.interval_minutes,
        file.path.name,
        first_row=1 if is_parquet else 2,
        row_word="row" if is_parquet else "line",
    )
    return CandleSet(
        file.symbol, file.interval_minutes, as_minutes(bars, file.interval_minutes), file.path.name
    ), report


def as_minutes(bars: Array, interval_minutes: int) -> Array:
    """Return `bars` (timestamps are open times) as observed minutes: each bar becomes the last minute of its span."""
    minutes = np.ascontiguousarray(bars)
    if interval_minutes > 1:
        minutes = minutes.copy()
        minutes[:, TIMESTAMP] += (interval_minutes - 1) * MINUTE_MS
    return minutes


def select_period(candle_set: CandleSet, start_ms: int | None, finish_ms: int | None) -> CandleSet | None:
    """Return the bars that open in [start_ms, finish_ms), or None where there is none."""
    shift = (candle_set.interval_minutes - 1) * MINUTE_MS
    times = candle_set.candles[:, TIMESTAMP]
    first = 0 if start_ms is None else int(np.searchsorted(times, start_ms + shift, side="left"))
    last = len(times) if finish_ms is None else int(np.searchsorted(times, finish_ms + shift, side="left"))
    if first >= last:
        return None
    if (first, last) == (0, len(times)):
        return candle_set
    candles = np.ascontiguousarray(candle_set.candles[first:last])
    return CandleSet(candle_set.symbol, candle_set.interval_minutes, candles, candle_set.source)


def _preference(file: CandleFile) -> tuple[int, int, str]:
    suffix = next(i for i, s in enumerate(SUFFIXES) if file.path.name.endswith(s))
    return file.interval_minutes, suffix, file.path.name


def _what_is_there(entries: list[Path]) -> str:
    if not entries:
        return "; it is empty"
    inner = [p.name for p in entries if p.is_dir() and any(_NAME.fullmatch(q.name) for q in _names(p))]
    if inner:
        return f"; its folders hold some, give one of them: {', '.join(inner[:8])}"
    names = [p.name for p in entries]
    return f"; found {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _names(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


# --- reading ----------------------------------------------------------------------------------------------------------
# pyarrow takes a third of a second to import and is needed only here, so `sigil --help` does not wait for it.


def _demand_plain(path: Path) -> None:
    """Refuse what would be waited for, or read without an end: a pipe, a device."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CandleError(f"{path.name} cannot be read: {(error.strerror or str(error)).lower()}") from None
    if not stat.S_ISREG(mode):
        raise CandleError(f"{path.name} is no plain file but a {'folder' if stat.S_ISDIR(mode) else 'pipe or device'}")


def _read_parquet(path: Path) -> Array:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _require_columns(path, file.schema_arrow.names)
            table = file.read(columns=list(COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise CandleError(f"{path.name} cannot be read as Parquet: {_one_line(error)}") from error
    bars = np.empty((table.num_rows, len(COLUMNS)))
    for i, name in enumerate(COLUMNS):
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            want = "whole milliseconds since 1970 UTC (int64)" if name == "timestamp" else "numbers (float64)"
            raise CandleError(f"{path.name}: column '{name}' holds {kind}, expected {want}")
        bars[:, i] = table.column(name).cast(pa.float64(), safe=False).to_numpy()
    return bars


def _read_csv(path: Path) -> Array:
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.name.endswith(".gz") else raw).rstrip()
        if not text:
            raise CandleError(f"{path.name} is empty; its first line must be {CSV_HEADER}")
        if b"\n" not in text:
            raise CandleError(
                f"{path.name} holds one line and no candle; under the header {CSV_HEADER} comes a line a bar"
            )
        header = text.split(b"\n", 1)[0].decode("utf-8-sig").strip()
        _require_columns(path, [name.strip().strip('"') for name in header.split(",")])
        table = pa_csv.read_csv(
            pa.BufferReader(text),
            read_options=pa_csv.ReadOptions(
                column_names=[n.strip().strip('"') for n in header.split(",")], skip_rows=1
            ),
            parse_options=pa_csv.ParseOptions(ignore_empty_lines=False),
            # Read as text first, so that a value that is no number can be told with its line.
            convert_options=pa_csv.ConvertOptions(
                include_columns=list(COLUMNS), column_types=dict.fromkeys(COLUMNS, pa.string())
            ),
        )
    except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CandleError(f"{path.name} cannot be read as CSV: {_one_line(error)}") from error
    bars = np.empty((table.num_rows, len(COLUMNS)))
    for i, name in enumerate(COLUMNS):
        bars[:, i] = _numbers(path, name, table.column(name).combine_chunks())
    return bars


def _numbers(path: Path, column: str, texts: Any) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(texts)

    def bad_within(count: int) -> bool:
        try:
            texts.slice(0, count).cast(pa.float64())
        except pa.ArrowInvalid:
            return True
        return False

    if not bad_within(len(texts)):
        numbers: Array = texts.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return numbers
    good, bad = 0, len(texts)  # the first `good` texts are numbers, the first `bad` are not
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if bad_within(middle) else (middle, bad)
    value = texts[good].as_py()
    hint = "; write milliseconds since 1970 UTC" if column == "timestamp" else ""
    raise CandleError(f"{path.name}, line {good + 2}: {column} is '{value}', not a number{hint}")


def _require_columns(path: Path, found: Sequence[str]) -> None:
    missing = [name for name in CSV_HEADER.split(",") if name not in found]
    if missing:
        shown = ", ".join(f"'{name}'" for name in list(found)[:8])
        raise CandleError(
            f"{path.name} lacks column {', '.join(missing)}; needed are {CSV_HEADER}, it has {shown or 'none'}"
        )
    twice = sorted({name for name in COLUMNS if list(found).count(name) > 1})
    if twice:
        raise CandleError(f"{path.name} has column {', '.join(twice)} twice")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
