"""Candles: files into Jesse's table, and what files, folders and the table hold.

Joins the readers and checks of the bridge with one variant's database. Start at `import_paths`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigil_ext.bridge.candle_checks import CandleReport
from sigil_ext.bridge.candle_files import CandleFile, CandleSet, candle_file, read_candle_file, scan_folder
from sigil_ext.bridge.candle_table import (
    DEFAULT_EXCHANGE,
    Imported,
    StoredSeries,
    import_candles,
    known_exchange,
    read_candles,
    stored_series,
)
from sigil_ext.db.connection import Database, create_if_missing, resolve_address
from sigil_ext.errors import CandleError, SigilError, UnknownVariant
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.overlays import TRADED_VARIANTS, known_variants
from sigil_ext.settings.project import Project, find_project

DEFAULT_VARIANT = TRADED_VARIANTS[0]


@dataclass(frozen=True, slots=True)
class Import:
    """What was done with one file."""

    file: CandleFile
    rows: int
    done: Imported


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of one file found: a report, or the sentence that refuses it."""

    file: CandleFile
    report: CandleReport | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Checks:
    """All files that were checked, in order, and notes on those that were left aside."""

    files: tuple[Checked, ...]
    notes: tuple[str, ...]

    def refusal(self) -> SigilError | None:
        """Return what the bad files add up to, None where all are good: a problem that was looked for, and no wrong use."""
        problems = [checked.problem for checked in self.files if checked.problem is not None]
        if not problems:
            return None
        return SigilError(
            problems[0]
            if len(problems) == 1
            else f"{len(problems)} of {len(self.files)} files are bad; first: {problems[0]}"
        )


@contextmanager
def candle_connection(project: Project | None = None, variant: str = DEFAULT_VARIANT) -> Iterator[Any]:
    """Open the database whose candle table is meant: baseline's, where Jesse's dashboard looks, unless told otherwise.

    Raises:
        UsageError: there is no such variant, or it is for research only and has no database.
        DatabaseUnavailable: it cannot be started, reached or entered.
    """
    project = project or find_project()
    if variant not in known_variants(project):
        raise UnknownVariant(variant, known_variants(project))
    address = resolve_address(project, variant)
    create_if_missing(address)
    with closing(Database(variant, address).connect()) as link:
        yield link


def candle_schema(project: Project | None = None) -> str:
    """Return the schema that holds Jesse's tables (POSTGRES_SCHEMA, default `jesse`)."""
    return load_environment(project or find_project()).postgres_schema


def import_paths(
    paths: Sequence[Path],
    exchange: str = DEFAULT_EXCHANGE,
    *,
    variant: str = DEFAULT_VARIANT,
    replace: bool = False,
    project: Project | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> list[Import]:
    """Write the candles of files and folders into Jesse's table; every file is read and checked before the first is written.

    Each symbol is written in a transaction of its own, so an import that was broken off is completed by a second one.

    Args:
        progress: called with symbol, rows done and rows in all.
        note: called with a sentence on each file that was left aside.
    Raises:
        CandleError: a file is bad, or the table holds other candles of a symbol (see `import_candles`).
        UsageError: Jesse knows no such exchange.
        DatabaseUnavailable: see `candle_connection`.
    """
    known_exchange(exchange)
    files, notes = find_files(paths)
    if note is not None:
        for sentence in notes:
            note(sentence)
    sets = [(file, read_candle_file(file)[0]) for file in files]
    total = sum(len(candle_set.candles) for _, candle_set in sets)
    before = 0
    results: list[Import] = []
    schema = candle_schema(project)
    with candle_connection(project, variant) as link:
        for file, candle_set in sets:
            tell = _counted(progress, file.symbol, before, total)
            done = import_candles(link, candle_set, exchange, schema=schema, replace=replace, progress=tell)
            results.append(Import(file, len(candle_set.candles), done))
            before += len(candle_set.candles)
    return results


def list_table(*, variant: str = DEFAULT_VARIANT, project: Project | None = None) -> list[StoredSeries]:
    """Return what Jesse's table holds, by exchange and symbol."""
    with candle_connection(project, variant) as link:
        return stored_series(link, candle_schema(project))


def read_table(
    exchange: str = DEFAULT_EXCHANGE,
    symbols: Sequence[str] | None = None,
    start_ms: int | None = None,
    finish_ms: int | None = None,
    *,
    variant: str = DEFAULT_VARIANT,
    project: Project | None = None,
) -> dict[str, CandleSet]:
    """Return candles of Jesse's table, see `bridge.candle_table.read_candles`."""
    with candle_connection(project, variant) as link:
        return read_candles(link, exchange, symbols, start_ms, finish_ms, schema=candle_schema(project))


def check_paths(
    paths: Sequence[Path], max_missing_pct: float | None = None, progress: Callable[[CandleFile], None] | None = None
) -> Checks:
    """Check every file of `paths`, the bad ones too.

    Args:
        max_missing_pct: refuse a file in which more than this share of the bars is absent; None: absent bars are fine.
    Raises:
        CandleError: a path is no candle file and no folder of candle files.
    """
    files, notes = find_files(paths)
    found: list[Checked] = []
    for file in files:
        if progress is not None:
            progress(file)
        found.append(_check(file, max_missing_pct))
    return Checks(tuple(found), tuple(notes))


def find_files(paths: Iterable[Path]) -> tuple[list[CandleFile], list[str]]:
    """Return the candle files of files and folders, each once, in the order given, and notes on those left aside."""
    files: dict[str, CandleFile] = {}
    notes: list[str] = []
    for path in paths:
        if _leads_to_folder(path):
            folder = scan_folder(path)
            notes += folder.notes
            files |= {os.path.realpath(file.path): file for file in folder.files}
        else:
            files[os.path.realpath(path)] = candle_file(path)
    return list(files.values()), notes


def _leads_to_folder(path: Path) -> bool:
    try:
        if not path.exists() and not path.is_symlink():
            raise CandleError(f"no file or folder {path}")
        return path.is_dir()
    except OSError as error:
        raise CandleError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _check(file: CandleFile, max_missing_pct: float | None) -> Checked:
    try:
        _, report = read_candle_file(file)
    except CandleError as error:
        return Checked(file, None, str(error))
    if max_missing_pct is not None and report.missing_pct > max_missing_pct:
        longest = max(report.gaps, key=lambda gap: gap.missing)
        return Checked(
            file,
            report,
            f"{file.path.name}: {report.missing_pct:.3g} % of the bars are missing, more than {max_missing_pct:g} %; "
            f"the longest gap is after {longest.after:%Y-%m-%d %H:%M} UTC, {longest.missing} bars",
        )
    return Checked(file, report, None)


def _counted(
    progress: Callable[[str, int, int], None] | None, symbol: str, before: int, total: int
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = before

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        progress(symbol, done, total)

    return count
