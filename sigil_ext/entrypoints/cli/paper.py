"""`sigil run paper`: a variant, or all of them, on paper."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from sigil_ext.entrypoints.cli.logs import configure
from sigil_ext.entrypoints.cli.options import set_option, variant_option
from sigil_ext.entrypoints.cli.strategy_options import strategy_options, strategy_run
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.settings.files import demand_writable, write_whole
from sigil_ext.settings.overlays import TRADED_VARIANTS, load_variant
from sigil_ext.settings.project import find_project

if TYPE_CHECKING:
    from sigil_ext.paper.loop import SessionReport
    from sigil_ext.paper.replay_feed import Speed
    from sigil_ext.paper.session import PaperSession
    from sigil_ext.services.supervisor import Child

ENDED, STOPPED = "ended", "stopped, continues with the same command"


def _writable(context: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    """Refuse a file that cannot be written before anything starts."""
    if file is not None:
        demand_writable(file, "the trades")
    return file


@click.command()
@variant_option(multiple=True)
@click.option(
    "--all", "every", is_flag=True, help="The four variants, each in a process that is started again if it dies."
)
@click.option(
    "--feed",
    type=click.Choice(["replay", "exchange", "redis"]),
    default="replay",
    show_default=True,
    help="Where minutes come from: a recording, an exchange, a stream in Redis.",
)
@click.option("--candles", metavar="DIR", type=click.Path(path_type=Path), help="Folder of candle files to replay.")
@click.option("--start", metavar="DATE", help="First instant of a new session on a recording, UTC.")
@click.option("--finish", metavar="DATE", help="Instant after the last one of a recording, UTC.")
@click.option(
    "--speed", default="max", show_default=True, metavar="N|max", help="Minutes of a recording in one minute."
)
@click.option("--exchange", default="binance", show_default=True, help="As ccxt spells it; public data, no key.")
@click.option("--exchange-url", metavar="URL", help="Another server that speaks the exchange's protocol.")
@click.option("--symbols", metavar="A,B|@FILE", help="The pool of a new session.  [default: all that the feed has]")
@click.option("--stream", help="The stream in Redis.  [default: that of --exchange]")
@click.option(
    "--on-gap",
    type=click.Choice(["wait", "fill"]),
    default="wait",
    show_default=True,
    help="What a stream in Redis lacks: wait for it, or ask the exchange.",
)
@click.option(
    "--until-end/--keep-open",
    "until_end",
    default=None,
    help="When the feed ends: close what is open and end the session, or keep it.  [default: end a recording]",
)
@click.option("--restart", is_flag=True, help="End a session that was broken off, and begin a new one.")
@click.option("--fresh", is_flag=True, help="Begin in an empty database; the old one is kept under another name.")
@click.option("--alerts/--no-alerts", default=None, help="Write alerts.  [default: yes, but not of a recording]")
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=_writable,
    help="Write the trades, with the keys of the backtest.",
)
@click.option("--report-lines", is_flag=True, hidden=True)
@strategy_options()
@click.option(
    "--name",
    metavar="NAME",
    help="Of the session of --strategy, and of its database.  [default: its class in small letters]",
)
@set_option()
def paper(
    variants: tuple[str, ...], every: bool, feed: str, candles: Path | None, start: str | None, finish: str | None,
    speed: str, exchange: str, exchange_url: str | None, symbols: str | None, stream: str | None, on_gap: str,
    until_end: bool | None, restart: bool, fresh: bool, alerts: bool | None, json_file: Path | None, report_lines: bool, overrides: tuple[str, ...],
    strategy: str | None, timeframe: str | None, data_timeframes: tuple[str, ...], balance: float | None,
    cost_pct: float | None, market: str | None, name: str | None,
) -> None:  # fmt: skip
    """Trade on paper: every minute in the variant's database, equal to the backtest, continued after a crash.

    With --strategy any Jesse strategy does, under a name of its own.
    """
    run = strategy_run(strategy, timeframe, data_timeframes, balance, cost_pct, market)
    names: tuple[str, ...] = ()
    if run is None:
        if name is not None:
            raise UsageError("--name goes with --strategy; a variant has its name")
        names = _names(variants, every)
        if every or len(names) > 1:
            _supervise(names, json_file, exchange if feed == "exchange" else None, exchange_url)
            return
    elif variants or every or overrides:
        raise UsageError("--strategy cannot be combined with --variant, --all or --set")
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.paper import prepare_strategy, run_paper
    from sigil_ext.services.paper_feeds import PaperRequest

    console = Console(stderr=True)
    configure(console)
    what = load_variant(names[0], overrides) if run is None else prepare_strategy(name, run)
    request = PaperRequest(
        what,
        feed=feed,  # type: ignore[arg-type]  # click has checked it
        candles=candles.resolve() if candles else None,
        start_ms=parse_instant(start, "--start") if start else None,
        finish_ms=parse_instant(finish, "--finish") if finish else None,
        speed=_speed(speed), restart=restart, fresh=fresh, until_end=until_end, alerts=alerts, exchange=exchange,
        symbols=_symbols(symbols), stream=stream, base_url=exchange_url,
        on_gap=on_gap,  # type: ignore[arg-type]
    )  # fmt: skip
    with _lines() if report_lines else _bar(console, what.name) as progress:
        report = run_paper(request, progress=progress)
    document = _document(what.name, report)
    if report_lines:
        _say({"event": "report", **document})
        return
    if json_file is not None:
        _write(json_file, {"variant": document["variant"], "trades": document["trades"]})
    click.echo(_sentence(document))


def _names(variants: tuple[str, ...], every: bool) -> tuple[str, ...]:
    if variants and every:
        raise UsageError("--variant and --all do not go together: --all is the four")
    if not variants and not every:
        raise UsageError("say which variant: --variant V, or --all for the four")
    names = TRADED_VARIANTS if every else tuple(dict.fromkeys(variants))
    for name in names:
        if load_variant(name).research_only:
            raise UsageError(f"variant '{name}' is for research only; backtest it instead")
    return names


def _speed(text: str) -> Speed:
    if text == "max":
        return "max"
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1e6:
        raise UsageError(f"--speed must be max or a number above 0 (1 is the pace of the market), was '{text}'")
    return speed


def _symbols(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--symbols: cannot read {text[1:]}: {error.strerror}") from None
    names = tuple(part for part in text.replace(",", " ").split() if part)
    if not names:
        raise UsageError("--symbols names none; example: --symbols TST-USDT,DOGS-USDT")
    return names


def _state(session: PaperSession, share: float | None) -> dict[str, Any]:
    cash, held, count = session.host.worth()
    return {
        "event": "minute", "variant": session.variant.name, "last_ms": session.last_ms, "share": share,
        "equity": cash + held, "open": count, "trades": len(session.host.trades),
        "database_lost": session.lost_since is not None,
    }  # fmt: skip


@contextlib.contextmanager
def _lines() -> Iterator[Callable[[PaperSession, float | None], bool]]:
    """For a supervisor: one JSON object a line on stdout, at most some a second; a supervisor that is gone ends the session."""
    import time

    told = 0.0

    def progress(session: PaperSession, share: float | None) -> bool:
        nonlocal told
        if time.monotonic() - told < 0.5:
            return True
        told = time.monotonic()
        try:
            _say(_state(session, share))
        except BrokenPipeError:
            return False
        return True

    yield progress


@contextlib.contextmanager
def _bar(console: Console, label: str) -> Iterator[Callable[[PaperSession, float | None], bool]]:
    if not console.is_terminal:
        yield lambda session, share: True
        return
    with _bars(console) as bars:
        task = bars.add_task(label, total=1.0, said="")

        def progress(session: PaperSession, share: float | None) -> bool:
            _show(bars, task, _state(session, share))
            return True

        yield progress


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[said]}"),
        console=console,
    )  # fmt: skip


def _show(bars: Progress, task: TaskID, state: dict[str, Any]) -> None:
    from sigil_ext.instants import clock

    last = clock(state["last_ms"] + 60_000) if state["last_ms"] is not None else "waiting for the first minute"
    lost = "  DATABASE LOST, exits tracked" if state["database_lost"] else ""
    said = f"{last}  equity {state['equity']:.2f}  open {state['open']}  trades {state['trades']}{lost}"
    share = state["share"]
    bars.update(task, completed=share if share is not None else 1.0, said=said)


def _supervise(names: tuple[str, ...], json_file: Path | None, exchange: str | None, exchange_url: str | None) -> None:
    from sigil_ext.db.journal import Journal
    from sigil_ext.services.database import open_database
    from sigil_ext.services.paper_feeds import demand_reachable
    from sigil_ext.services.supervisor import WRONG_USE, supervise

    project = find_project()
    is_new = False
    for name in names:
        database = open_database(name, project)  # once, before four processes start the server at the same moment
        is_new |= Journal(database).running() is None
        database.close()
    if exchange is not None and is_new:
        asyncio.run(demand_reachable(exchange, exchange_url))
    console = Console(stderr=True)
    arguments = _passed_on(sys.argv[1:])
    with _bars(console) if console.is_terminal else contextlib.nullcontext() as bars:
        tasks = {name: bars.add_task(name, total=1.0, said="starts") for name in names} if bars else {}

        def progress(child: Child) -> None:
            if bars and child.last:
                _show(bars, tasks[child.variant], child.last)

        children = supervise(project, names, arguments, say=console.print, progress=progress)
    reports = [child.report for child in children if child.report]
    if json_file is not None:
        _write(json_file, [{"variant": r["variant"], "trades": r["trades"]} for r in reports])
    for report in reports:
        click.echo(_sentence(report))
    failed = [child for child in children if child.status]
    if failed:
        wrong_use = all(child.status == WRONG_USE for child in failed)
        said = f"these sessions did not end well: {', '.join(child.variant for child in failed)}"
        raise UsageError(said) if wrong_use else SigilError(said)


def _passed_on(line: list[str]) -> list[str]:
    """Return the options of this command line that belong to each session: all but which variants, and where to report."""
    options = line[line.index("paper") + 1 :]
    passed: list[str] = []
    skip = False
    for option in options:
        if skip:
            skip = False
        elif option in ("--variant", "-v", "--json"):
            skip = True
        elif option != "--all" and not option.startswith(("--variant=", "--json=")):
            passed.append(option)
    return passed


def _document(variant: str, report: SessionReport) -> dict[str, Any]:
    from sigil_ext.research.backtest_report import trade_row

    return {
        "variant": variant, "trades": [trade_row(trade) for trade in report.trades], "cash": report.cash,
        "equity": report.equity, "open": report.open_positions, "rebuilt": report.rebuilt,
        "processed": report.processed, "finished": report.finished,
    }  # fmt: skip


def _sentence(r: dict[str, Any]) -> str:
    held = f"{r['open']} open, " if r["open"] else ""
    return (
        f"{r['variant']}: {len(r['trades'])} trades, {held}equity {r['equity']:.2f} USD, cash {r['cash']:.2f} USD; "
        f"{r['rebuilt']} minutes recovered, {r['processed']} processed; {ENDED if r['finished'] else STOPPED}"
    )


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, allow_nan=False) + "\n")
    sys.stdout.flush()


def _write(file: Path, document: Any) -> None:
    write_whole(file, json.dumps(document, indent=2, allow_nan=False) + "\n", "the trades")
