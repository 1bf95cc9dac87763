"""`sigil feed publish | status | server`: closed minutes into a Redis stream that many sessions read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import rich_click as click
from rich.console import Console
from rich.table import Table

from sigil_ext.entrypoints.cli.options import json_option, print_json, wide_console
from sigil_ext.errors import UsageError

if TYPE_CHECKING:
    from sigil_ext.paper.feed import FeedEvent
    from sigil_ext.paper.replay_feed import Speed
    from sigil_ext.services.feed import Published, PublishedFeed, StreamStatus

_TOLD_EVERY = 60  # minutes published between two lines where nobody watches,
_QUIET_S = 10  # and seconds at least


@click.group()
def feed() -> None:
    """One process publishes closed minutes into a Redis stream, many sessions read it (sigil run paper --feed redis)."""


@feed.command()
@click.option("--feed", "kind", type=click.Choice(["replay", "exchange"]), default="exchange", show_default=True,
              help="Recorded candles, or an exchange's public ones.")  # fmt: skip
@click.option(
    "--exchange", default="binance", show_default=True, help="As ccxt spells it; for a recording just a name."
)
@click.option("--exchange-url", metavar="URL", help="Another server that speaks the exchange's protocol.")
@click.option("--symbols", metavar="A,B|@FILE", help="TST-USDT,DOGS-USDT or @FILE. Default: all of --candles.")
@click.option("--candles", metavar="DIR", type=click.Path(path_type=Path), help="Folder of candle files.")
@click.option("--speed", default="max", show_default=True, metavar="1|60|max", help="Recorded minutes in a minute.")
@click.option("--start", metavar="DATE", help="Where an empty stream begins, UTC.")
@click.option("--finish", metavar="DATE", help="Instant after a recording's last minute, UTC.")
@click.option("--stream", metavar="NAME", help="Name of the stream.  [default: sigil:FEED:EXCHANGE]")
@click.option("--keep", metavar="MINUTES", type=click.IntRange(1), help="Length of the stream.  [default: a week]")
@click.option("--standby", is_flag=True, help="Wait while another publisher is at it, and take over when it is gone.")
def publish(
    kind: str, exchange: str, exchange_url: str | None, symbols: str | None, candles: Path | None, speed: str, start: str | None,
    finish: str | None, stream: str | None, keep: int | None, standby: bool,
) -> None:  # fmt: skip
    """Publish minutes until the recording ends, SIGTERM or Ctrl-C; started again, it goes on where it was.

    The server is SIGIL_REDIS_URL in .env, else the embedded one. One publisher a stream: a second is refused.
    """
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.feed import PublishPlan, run_publisher

    plan = PublishPlan(
        feed=cast("PublishedFeed", kind),
        exchange=exchange,
        symbols=_listed(symbols),
        candles=candles,
        speed=_speed(speed),
        start_ms=parse_instant(start, "--start") if start else None,
        finish_ms=parse_instant(finish, "--finish") if finish else None,
        stream=stream,
        kept_minutes=keep,
        standby=standby,
        base_url=exchange_url,
    )
    with _watching() as progress:
        done = run_publisher(plan, tell=_tell, begin=_announce, progress=progress)
    if done.ended and not done.minutes:
        click.echo(f"{done.stream} holds the whole recording already; choose another --stream to publish it anew")
        return
    last = f", the last of {_when(done.last_ms)}" if done.last_ms is not None else ""
    ending = "the recording is over" if done.ended else "stopped, goes on with the same command"
    click.echo(f"{done.minutes} minutes published into {done.stream}{last}; {ending}")


@feed.command()
@click.option("--stream", metavar="NAME", help="This stream only.")
@json_option()
@click.pass_context
def status(ctx: click.Context, stream: str | None, as_json: bool) -> None:
    """Say how the Redis server stands, what each stream holds and who fills it. Exit status 1 if something is wrong."""
    from sigil_ext.services.feed import feed_status

    found = feed_status(stream=stream)
    if as_json:
        print_json({
            "server": found.place, "configured": found.configured, "pid": found.pid, "finding": found.finding,
            "streams": [_document(s) for s in found.streams],
        })  # fmt: skip
    else:
        click.echo(f"{found.place}: {found.finding or 'answers'}" + (f", pid {found.pid}" if found.pid else ""))
        if found.streams:
            wide_console().print(_table(found.streams))
            for s in found.streams:
                _say_missing(s)
        elif found.finding is None:
            click.echo("no streams yet; fill one with: sigil feed publish")
    if found.finding or any(s.finding for s in found.streams):
        ctx.exit(1)


@feed.group()
def server() -> None:
    """The embedded Redis, used where .env names none. It keeps running, and its data, until it is stopped."""


@server.command("start")
def start_server() -> None:
    """Start the embedded Redis. Does nothing if it runs."""
    from sigil_ext.services import feed as service

    found = service.start_server()
    click.echo(f"runs: 127.0.0.1:{found.port}, pid {found.pid}")


@server.command("stop")
def stop_server() -> None:
    """Stop the embedded Redis. Publishers and sessions wait for it. Does nothing if it does not run."""
    from sigil_ext.services import feed as service

    click.echo("stopped" if service.stop_server() else "was not running")


def _listed(symbols: str | None) -> list[str] | None:
    if symbols is None:
        return None
    if symbols.startswith("@"):
        try:
            symbols = Path(symbols[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--symbols: cannot read {symbols[1:]}: {error.strerror}") from None
    listed = symbols.replace(",", " ").split()
    if not listed:
        raise UsageError("--symbols names no symbol; example: --symbols TST-USDT,DOGS-USDT")
    return listed


def _speed(text: str) -> Speed:
    if text == "max":
        return "max"
    try:
        speed = float(text)
    except ValueError:
        raise UsageError(f"--speed '{text}' is no number; write 1, 60 or max") from None
    if not 0 < speed < float("inf"):
        raise UsageError(f"--speed must be above 0, was {text}; max never waits")
    return speed


def _announce(so_far: Published) -> None:
    click.echo(f"publishing {so_far.symbols} symbols into {so_far.stream} on {so_far.place}; Ctrl-C stops it", err=True)


def _tell(event: FeedEvent) -> None:
    symbol = f" {event.symbol}" if event.symbol else ""
    click.echo(f"{_when(event.at_ms, '%Y-%m-%d %H:%M:%S')} {event.kind}{symbol}: {event.detail}", err=True)


@contextmanager
def _watching() -> Iterator[Callable[[Published], None]]:
    """Yield what shows the progress: one line that changes on a terminal, now and then a line elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        quiet_until = time.monotonic()

        def line(so_far: Published) -> None:
            nonlocal quiet_until
            if so_far.minutes % _TOLD_EVERY == 1 and time.monotonic() >= quiet_until:
                quiet_until = time.monotonic() + _QUIET_S
                click.echo(f"{_now()} published: minute {_when(so_far.last_ms)}", err=True)

        yield line
        return
    with console.status("waiting for the first minute") as shown:
        yield lambda so_far: shown.update(f"{so_far.minutes} minutes, the last of {_when(so_far.last_ms or 0)}")


def _table(streams: tuple[StreamStatus, ...]) -> Table:
    table = Table(box=None)
    for name in ("stream", "symbols", "minutes", "first", "last"):
        table.add_column(name, no_wrap=True)
    for name in ("publisher", "finding"):
        table.add_column(name, overflow="fold")
    for s in streams:
        table.add_row(
            s.name, str(len(s.symbols)), str(s.entries - s.ended), _when(s.first_ms), _when(s.last_ms),
            s.publisher or ("done" if s.ended else "-"), s.finding or "",
        )  # fmt: skip
    return table


def _say_missing(s: StreamStatus) -> None:
    if s.dropped:
        click.echo(f"{s.name}: no longer published: {', '.join(s.dropped)}")
    if s.silent:
        click.echo(f"{s.name}: no candle in its last 10 minutes: {', '.join(s.silent)}")


def _document(s: StreamStatus) -> dict[str, Any]:
    return {
        "stream": s.name, "source": s.source, "symbols": list(s.symbols), "entries": s.entries,
        "first": _iso(s.first_ms), "last": _iso(s.last_ms), "ended": s.ended, "publisher": s.publisher,
        "finding": s.finding, "dropped": list(s.dropped), "silent": list(s.silent),
    }  # fmt: skip


def _iso(at_ms: float | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def _when(at_ms: float | None, form: str = "%Y-%m-%d %H:%M") -> str:
    return "-" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).strftime(form)


def _now() -> str:
    return _when(time.time() * 1000, "%Y-%m-%d %H:%M:%S")
