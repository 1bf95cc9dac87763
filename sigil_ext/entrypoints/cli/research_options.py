"""What the commands of research share: where candles come from, and one bar of progress over many cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sigil_ext.errors import UsageError
from sigil_ext.settings.project import Project

if TYPE_CHECKING:
    from sigil_ext.services.market import CandleSource

F = TypeVar("F", bound=Callable[..., Any])
TABLE = "table"
SAMPLE = "sample"


def market_options() -> Callable[[F], F]:
    """`--candles`, `--symbols`, `--exchange`, `--start`, `--finish`."""

    def decorate(command: F) -> F:
        for option in (
            click.option("--exchange", default="Binance Spot", show_default=True, help="Exchange name in Jesse's table."),
            click.option("--symbols", metavar="LIST", help="Only these, separated by commas: TST-USDT,DOGS-USDT."),
            click.option(
                "--candles", metavar="DIR", default=None,
                help="Folder of candle files; sample for the bundled ones; default: Jesse's table.",
            ),
            click.option("--finish", metavar="DATE", help="Instant after the last one, UTC."),
            click.option("--start", metavar="DATE", help="First instant, UTC: 2025-06-17 or 2025-06-17T03:15."),
        ):  # fmt: skip
            command = option(command)
        return command

    return decorate


def plain_source(project: Project, candles: str | None, symbols: str | None, exchange: str) -> tuple[CandleSource, str]:
    """Return the source of candles that was asked for, and its name.

    Raises:
        UsageError: --symbols names none.
    """
    from sigil_ext.services.market import folder_source, table_source

    wanted = [s.strip() for s in symbols.split(",") if s.strip()] if symbols is not None else None
    if wanted is not None and not wanted:
        raise UsageError("--symbols names no symbol; example: --symbols TST-USDT,DOGS-USDT")
    if candles is None or (candles == TABLE and not Path(TABLE).is_dir()):
        return table_source(exchange, wanted), f"Jesse's table, {exchange}"
    folder = project.sample if candles == SAMPLE and not Path(SAMPLE).is_dir() else Path(candles)
    return folder_source(folder, wanted), str(folder)


@contextmanager
def cell_progress() -> Iterator[tuple[Callable[[str, float, int], None], Callable[[str], None]]]:
    """Show a bar for each stage of work on a terminal, a line at its ends elsewhere; always on stderr."""
    console = Console(stderr=True)
    say = lambda sentence: click.echo(sentence, err=True)  # noqa: E731
    if not console.is_terminal:
        told: dict[str, int] = {}

        def line(what: str, done: float, of: int) -> None:
            whole = int(done + 1e-9)
            step = whole * 4 // of if of else 4  # a line a quarter
            if step > told.get(what, -1):
                told[what] = step
                click.echo(f"{what}: {whole:,d} of {of:,d}", err=True)

        yield line, say
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def bar(what: str, done: float, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=round(done, 2), total=of)

        yield bar, lambda sentence: bars.console.print(sentence, markup=False)
