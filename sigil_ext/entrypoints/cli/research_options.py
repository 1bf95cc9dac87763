"""What the commands of research share: where candles come from, where a result goes, one bar of progress over many cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sigil_ext.entrypoints.cli.options import json_text, print_json
from sigil_ext.errors import UsageError
from sigil_ext.settings.files import demand_writable, write_whole
from sigil_ext.settings.project import Project

if TYPE_CHECKING:
    from sigil_ext.services.grid import GridPlan
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


def cell_options() -> Callable[[F], F]:
    """What a grid is made of and who runs it: axes, engine, hands, objective, verification."""

    def decorate(command: F) -> F:
        for option in reversed((
            click.option(
                "--axis", "axes", multiple=True, metavar="KEY=VALUES",
                help="A setting and its values: hard_stop.multiplier=1.0:4.0:0.25 or flat.after=4h,8h. Repeatable.",
            ),
            click.option(
                "--engine", type=click.Choice(["kernel", "jesse"]), default="kernel", show_default=True,
                help="The compiled engine, or Jesse's own.",
            ),
            click.option("--workers", type=click.IntRange(1, 1024), help="Cells at once.  [default: one a processor]"),
            click.option(
                "--ray", metavar="ADDRESS", help="Jesse's cells as tasks of a Ray cluster: HOST:PORT, or local to start one.",
            ),
            click.option(
                "--objective", default="net_pnl", show_default=True, metavar="NAME",
                help="What best means: net_pnl, avg_r, profit_factor, pnl_by_drawdown.",
            ),
            click.option(
                "--least-trades", type=click.IntRange(1), default=1, show_default=True,
                help="A cell with fewer is never the best.",
            ),
            click.option(
                "--verify", type=click.IntRange(1, 1000), default=2, show_default=True,
                help="Cells of the kernel that Jesse runs again.",
            ),
            click.option("--no-verify", is_flag=True, help="Trust the kernel unchecked; the result says so."),
            click.option("--fresh", is_flag=True, help="Run every cell, also those kept from before."),
            click.option("--yes", is_flag=True, help="A huge number of cells is meant."),
        )):  # fmt: skip
            command = option(command)
        return command

    return decorate


def result_options() -> Callable[[F], F]:
    """`--json FILE` and `--html FILE`: where a result goes besides terminal and shelf; `Destination` is made of the two."""

    def decorate(command: F) -> F:
        for option in (
            click.option(
                "--html", metavar="FILE", type=click.Path(path_type=Path), help="Write one self-contained page.",
            ),
            click.option(
                "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True),
                help="Write everything as JSON; - prints it instead of tables.",
            ),
        ):  # fmt: skip
            command = option(command)
        return command

    return decorate


@dataclass(frozen=True, slots=True)
class Destination:
    """What `result_options` asked for: `demand_writable` before the work, `deliver` after it."""

    json_file: Path | None
    html: Path | None

    @property
    def to_stdout(self) -> bool:
        """Whether JSON takes the place of the tables."""
        return self.json_file is not None and str(self.json_file) == "-"

    def demand_writable(self) -> None:
        """Refuse a file that cannot be written before hours of work are spent on it.

        Raises:
            UsageError: the file or its folder cannot be written.
        """
        if self.json_file is not None and not self.to_stdout:
            demand_writable(self.json_file, "the result")
        if self.html is not None:
            if str(self.html) == "-":
                raise UsageError("--html - is no file; name one, like --html page.html")
            demand_writable(self.html, "the page")

    def deliver(
        self,
        document: Mapping[str, Any],
        page: str,
        told: str,
        print_tables: Callable[[], None],
        *,
        page_on_stderr: bool = False,
    ) -> None:
        """Print the tables or the JSON, write the files, and say where everything is.

        Args:
            told: what to say of the shelf. page_on_stderr: say where the page is on stderr even where tables are on stdout.
        """
        if self.to_stdout:
            print_json(document)
        else:
            print_tables()
        if self.json_file is not None and not self.to_stdout:
            write_whole(self.json_file, json_text(document), "the result")
            click.echo(f"JSON: {self.json_file.resolve()}", err=True)
        if self.html is not None:
            write_whole(self.html, page, "the page")
            click.echo(f"page: {self.html.resolve()}", err=page_on_stderr or self.to_stdout)
        click.echo(told, err=True)


def grid_plan(project: Project, options: Mapping[str, Any], folds: int = 0) -> GridPlan:
    """Return the plan that `variant_option`, `set_option`, `market_options` and `cell_options` describe.

    Raises:
        UsageError: no variant, or one of the options cannot be; also a value that the engine cannot run.
    """
    from sigil_ext.research.grid.axes import parse_axes
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.grid import GridPlan, demand_sense
    from sigil_ext.services.grid_engines import Hands
    from sigil_ext.services.kernel_limits import demand_kernel
    from sigil_ext.settings.overlays import load_variant

    if not options["variants"]:
        raise UsageError("--variant is missing; example: --variant baseline --axis hard_stop.multiplier=1:4:0.5")
    source, source_name = plain_source(project, options["candles"], options["symbols"], options["exchange"])
    plan = GridPlan(
        variants=tuple(load_variant(name, options["overrides"]) for name in dict.fromkeys(options["variants"])),
        axes=parse_axes(options["axes"]),
        candles=source,
        candles_name=source_name,
        engine=options["engine"],
        start_ms=parse_instant(options["start"], "--start") if options["start"] else None,
        finish_ms=parse_instant(options["finish"], "--finish") if options["finish"] else None,
        exchange=options["exchange"],
        hands=Hands(options["workers"], options["ray"]),
        folds=folds,
        verify=0 if options["no_verify"] else options["verify"],
        fresh=options["fresh"],
        objective=options["objective"],
        least_trades=options["least_trades"],
        confirmed=options["yes"],
    )
    if plan.engine == "kernel":
        demand_sense(plan)  # too many cells are not looked through
        demand_kernel(plan.variants, plan.axes)
    return plan


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
