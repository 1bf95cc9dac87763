"""`sigil candles import | list | check`: candle files into Jesse's table, and what is in files and table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option

if TYPE_CHECKING:
    from sigil_ext.services.candles import Checked, Checks, Import

PATHS = click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR ...", type=click.Path(path_type=Path))
WIDE = 150  # columns of a table that is not printed on a terminal


@click.group()
def candles() -> None:
    """Import, list and check candles.

    Files are named by symbol and interval, like TSTUSDT-1m.parquet (or .csv, .csv.gz).
    """


@candles.command("import")
@PATHS
@click.option("--exchange", default="Binance Spot", show_default=True, help="Name under which Jesse finds them.")
@click.option("--replace", is_flag=True, help="Put them in the place of what the table holds in their period.")
@variant_option(default="baseline")
@json_option()
def import_files(paths: tuple[Path, ...], exchange: str, replace: bool, variant: str, as_json: bool) -> None:
    """Write candle files into Jesse's own candle table.

    Every file is checked before the first is written. What is there already is kept; importing twice changes nothing.
    Bars longer than a minute are stored as one observed minute each.
    """
    from sigil_ext.services.candles import import_paths

    with _progress() as tell:
        results = import_paths(paths, exchange, variant=variant, replace=replace, progress=tell, note=_note)
    if as_json:
        print_json({"exchange": exchange, "variant": variant, "files": [_import_row(result) for result in results]})
        return
    rows = [
        (
            r.file.symbol,
            r.file.path.name,
            _interval(r.file.interval_minutes),
            r.rows,
            r.done.stored,
            r.done.already,
            r.done.removed,
        )
        for r in results
    ]
    _print_table(
        f"imported as {exchange}", ("symbol", "file", "bars of", "rows", "new", "there already", "removed"), rows
    )
    if any(r.file.interval_minutes > 1 for r in results):
        click.echo("bars longer than 1m are stored as one observed minute each: prices inside a bar are not known")


@candles.command("list")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@variant_option(default="baseline")
@json_option()
def list_candles(folder: Path | None, variant: str, as_json: bool) -> None:
    """List the candles in Jesse's table, or in the files of DIR."""
    if folder is not None:
        _list_folder(folder, as_json)
        return
    from sigil_ext.services.candles import list_table

    series = list_table(variant=variant)
    if as_json:
        print_json([
            {"exchange": s.exchange, "symbol": s.symbol, "rows": s.rows, "start": _iso(s.start), "finish": _iso(s.finish)}
            for s in series
        ])  # fmt: skip
    elif series:
        rows = [(s.exchange, s.symbol, s.rows, _when(s.start), _when(s.finish)) for s in series]
        _print_table("Jesse's candle table", ("exchange", "symbol", "rows", "start", "finish"), rows)
    else:
        click.echo("the candle table is empty; import some with: sigil candles import DIR")


@candles.command()
@PATHS
@click.option(
    "--max-missing", metavar="PCT", type=click.FloatRange(0, 100), help="Refuse files with more bars missing."
)
@json_option()
def check(paths: tuple[Path, ...], max_missing: float | None, as_json: bool) -> None:
    """Check candle files and report gaps, bars without a trade and the largest move.

    Refused, with the first bad row named: impossible bars, duplicates, rows out of order, wrong units of time.
    Missing bars are reported, and refused only above --max-missing. Exit status 1 where a file is refused.
    """
    from sigil_ext.services.candles import check_paths

    found = check_paths(paths, max_missing)
    _show_checks(found, f"{len(found.files)} candle files", as_json)


def _list_folder(folder: Path, as_json: bool) -> None:
    from sigil_ext.bridge.candle_files import scan_folder
    from sigil_ext.services.candles import check_paths

    scan_folder(folder)  # a file is not a folder, whatever `check_paths` takes
    _show_checks(check_paths([folder]), str(folder), as_json)


def _show_checks(found: Checks, title: str, as_json: bool) -> None:
    for note in found.notes:
        _note(note)
    if as_json:
        print_json([_checked_row(checked) for checked in found.files])
    else:
        _print_checks(title, found.files)
    if (refusal := found.refusal()) is not None:
        raise refusal


def _print_checks(title: str, files: tuple[Checked, ...]) -> None:
    rows: list[tuple[Any, ...]] = []
    for checked in files:
        interval = _interval(checked.file.interval_minutes)
        if (report := checked.report) is None:
            rows.append((checked.file.symbol, interval, "refused", "", "", "", "", "", ""))
            continue
        rows.append(
            (
                checked.file.symbol,
                interval,
                report.rows,
                _when(report.start),
                _when(report.finish),
                len(report.gaps),
                f"{report.missing_pct:.2f}",
                f"{report.zero_volume_pct:.2f}",
                f"{report.largest_move_pct:+.2f}",
            )
        )
    heads = ("symbol", "bars", "rows", "start", "finish", "gaps", "missing %", "no trade %", "largest move %")
    _print_table(title, heads, rows)
    problems = [checked.problem for checked in files if checked.problem is not None]
    for problem in problems if len(problems) > 1 else ():  # a single one is the error that the command ends with
        click.echo(problem)


def _import_row(result: Import) -> dict[str, Any]:
    return {
        "symbol": result.file.symbol,
        "file": str(result.file.path),
        "interval_minutes": result.file.interval_minutes,
        "rows": result.rows,
        "stored": result.done.stored,
        "already": result.done.already,
        "removed": result.done.removed,
    }


def _checked_row(checked: Checked) -> dict[str, Any]:
    row: dict[str, Any] = {
        "symbol": checked.file.symbol,
        "file": str(checked.file.path),
        "interval_minutes": checked.file.interval_minutes,
        "problem": checked.problem,
    }
    if (report := checked.report) is not None:
        row |= {
            "rows": report.rows,
            "start": _iso(report.start),
            "finish": _iso(report.finish),
            "missing": report.missing,
            "missing_pct": report.missing_pct,
            "zero_volume_pct": report.zero_volume_pct,
            "largest_move_pct": report.largest_move_pct,
            "gaps": [{"after": _iso(g.after), "before": _iso(g.before), "missing": g.missing} for g in report.gaps],
        }
    return row


def _print_table(title: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    table = Table(title=title, title_justify="left")
    for i, head in enumerate(heads):
        numeric = all(isinstance(row[i], int | float) or str(row[i])[:1] in "+-.0123456789" for row in rows)
        table.add_column(head, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    console.print(table)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """Show a bar on stderr when it is a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda symbol, done, total: bar.update(task, description=symbol, completed=done, total=total)


def _note(sentence: str) -> None:
    click.echo(f"note: {sentence}", err=True)


def _interval(minutes: int) -> str:
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h" if minutes < 1440 else "1d"


def _when(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
