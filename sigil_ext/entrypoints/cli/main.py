"""`sigil`: the command line. Commands are loaded when they are called, so that --help is quick.

Exit status: 0 fine, 1 found a problem, 2 wrong use. A SigilError is one sentence on stderr; --debug adds the traceback.
"""

from __future__ import annotations

import codecs
import importlib
import locale
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from sigil_ext import __version__
from sigil_ext.entrypoints.cli import streams
from sigil_ext.errors import SigilError, UsageError, hint

# command -> module and attribute, one-line help. The index of the command line.
COMMANDS: dict[str, tuple[str, str]] = {
    "alerts": ("sigil_ext.entrypoints.cli.alerts:alerts", "Messages to people: test the channels, list, send."),
    "audit": ("sigil_ext.entrypoints.cli.audit:audit", "Was paper what a backtest of the same minutes says?"),
    "backtest": ("sigil_ext.entrypoints.cli.backtest:backtest", "Backtest variants or any Jesse strategy."),
    "breaker": ("sigil_ext.entrypoints.cli.breaker:breaker", "The circuit breaker: status, trip, reset."),
    "candles": ("sigil_ext.entrypoints.cli.candles:candles", "Import, list and check candles."),
    "compare": ("sigil_ext.entrypoints.cli.compare:compare", "Two variants, runs or paper periods: which is better?"),
    "config": ("sigil_ext.entrypoints.cli.config:config", "Show and check the settings of variants."),
    "db": ("sigil_ext.entrypoints.cli.db:db", "The embedded PostgreSQL; backup and restore of any database."),
    "diagnose": (
        "sigil_ext.entrypoints.cli.diagnose:diagnose",
        "Why hard stops fire, and what others would have done.",
    ),
    "doctor": ("sigil_ext.entrypoints.cli.doctor:doctor", "What Sigil needs around it: each line ok or what to do."),
    "feed": ("sigil_ext.entrypoints.cli.feed:feed", "Publish minutes into a Redis stream; how it stands."),
    "flatten": ("sigil_ext.entrypoints.cli.flatten:flatten", "Close everything a variant holds, verified."),
    "grid": ("sigil_ext.entrypoints.cli.grid:grid", "Variants over grids of settings; how sure is the best cell?"),
    "gate": ("sigil_ext.entrypoints.cli.gate:gate", "May a variant graduate from paper? A written verdict."),
    "migrate": ("sigil_ext.entrypoints.cli.migrate:migrate", "Bring databases to a schema version, up or down."),
    "panel": ("sigil_ext.entrypoints.cli.panel:panel", "Sigil's panel and API in the browser, without Jesse's."),
    "pause": ("sigil_ext.entrypoints.cli.breaker:pause", "Block entries of a variant until resume."),
    "probe": ("sigil_ext.entrypoints.cli.probe:probe", "See whether every variant is alive, from outside."),
    "positions": ("sigil_ext.entrypoints.cli.positions:positions", "Open and closed positions: list, show, close."),
    "protections": ("sigil_ext.entrypoints.cli.protections:protections", "Cooldowns and bans: list, add, lift."),
    "resume": ("sigil_ext.entrypoints.cli.breaker:resume", "End a pause."),
    "run": ("sigil_ext.entrypoints.cli.run:run", "Jesse's dashboard in the browser."),
    "status": ("sigil_ext.entrypoints.cli.status:status", "All variants side by side: alive, equity, what is wrong."),
    "universe": ("sigil_ext.entrypoints.cli.universe:universe", "Which symbols may be entered, and why."),
    "walkforward": (
        "sigil_ext.entrypoints.cli.walkforward:walkforward",
        "Choose on one window, trade the next, roll on.",
    ),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command '{args[0]}'; {hint(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


def _status_of(command: Callable[[], Any], debug: bool) -> int:
    """Run `command` and return its exit status; what a user can cause or meet is one sentence on stderr."""
    try:
        status = command()
        streams.flush()
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "sigil"
        return _tell(f"error: {error.format_message().rstrip('.')}; see {where} --help", error.exit_code)
    except click.Abort:
        return _tell("stopped", 130)
    except SigilError as error:
        if debug:
            traceback.print_exc()
        return _tell(f"error: {error}", error.exit_status)
    except UnicodeEncodeError as error:
        if debug:
            traceback.print_exc()
        return _tell(f"error: this is not UTF-8 text: {ascii(error.object)[:200]}", 2)
    except BrokenPipeError:
        streams.silence()  # the reader of a pipe has seen enough
        return 0
    except OSError as error:
        if debug:
            traceback.print_exc()
        if streams.is_broken():
            streams.silence()
            return _tell(f"error: cannot print the result, it is cut short or missing: {_said(error)}", 1)
        where = f"cannot use {os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return _tell(f"error: {where}{_said(error)}{'' if where else '; sigil --debug shows where'}", 1)


def _said(error: OSError) -> str:
    text = error.strerror or str(error) or type(error).__name__
    return text[0].lower() + text[1:]


def _tell(sentence: str, status: int) -> int:
    with suppress(OSError):
        click.echo(streams.shown(sentence), err=True)
    return status


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sigil")
@click.option("--debug", is_flag=True, help="Print tracebacks with errors.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Sigil: backtest, sweep and paper-trade long-only breakout variants on low-cap spot coins. Never a real order."""
    ctx.obj = {"debug": debug}


def _run(line: list[str]) -> Any:
    if codecs.lookup(locale.getpreferredencoding(False)).name == "ascii":
        raise UsageError("this locale knows ASCII only; set LC_ALL=C.UTF-8 and call again")
    return cli.main(args=line, prog_name="sigil", standalone_mode=False)


def main() -> None:
    """Run the command line and exit with its status."""
    with suppress(ValueError):  # not the main thread: a test
        # Unwind on SIGTERM, so that child processes and temporary files go with the command.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # Where --strategy MODULE:CLASS is looked for, however sigil was started. Last, so that it hides no library.
    sys.path.append(os.getcwd())
    debug = "--debug" in sys.argv[1:]
    arguments = [a for a in sys.argv[1:] if a != "--debug"] if debug else sys.argv[1:]  # accepted anywhere
    line = ["--debug", *arguments] if debug else arguments
    streams.prepare()
    try:
        status = _status_of(lambda: _run(line), debug)
    except SystemExit as ended:  # a command that found a problem, or was told to stop
        code = ended.code
        status = _status_of(lambda: code, debug)
    sys.exit(status)


if __name__ == "__main__":
    main()
