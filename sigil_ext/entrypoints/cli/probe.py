"""`sigil probe`: is every variant alive, asked from outside."""

from __future__ import annotations

from datetime import datetime

import rich_click as click
from rich.table import Table

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.services.probe import ProbeRun
from sigil_ext.services.probe import probe as run_probe
from sigil_ext.services.probe import retire as retire_session
from sigil_ext.services.probe_look import Look


@click.command()
@variant_option(multiple=True)
@click.option("--all", "every", is_flag=True, help="Every variant that trades on paper; the default.")
@click.option("--no-trip", is_flag=True, help="Trip no breaker; findings are told and noted all the same.")
@click.option(
    "--retire", metavar="NAME", help="Do not look, but note that nothing is expected of a session of your own."
)
@click.option("--reason", help="Why it is retired; stored with the act.")
@json_option()
def probe(
    variants: tuple[str, ...], every: bool, no_trip: bool, retire: str | None, reason: str | None, as_json: bool
) -> None:
    """See whether every variant is alive, trip the breakers of those that are not, and tell of it once.

    Exit status: 0 all alive, or nothing is expected of them; 1 a variant is stale; 3 a database cannot be read; 4 all alive, but the probe itself had not
    been running; 5 the probe could not trip a breaker, tell a person or leave its trace; 2 wrong use.
    """
    if retire is not None:
        if variants or every or no_trip or as_json:
            raise UsageError("--retire goes with --reason alone: it does not look")
        retire_session(retire, reason or "")
        click.echo(f"{retire} is retired: the probe expects nothing of it until it is started again")
        return
    if reason is not None:
        raise UsageError("--reason belongs to --retire NAME")
    if every and variants:
        raise UsageError("--all and --variant exclude each other; give one of them")
    try:
        run = run_probe(list(dict.fromkeys(variants)), trip=not no_trip)
    except OSError as error:
        raise _CannotProbe(
            f"the probe cannot use {error.filename or 'this machine'}: {error.strerror or error}"
        ) from error
    if as_json:
        print_json(run.document())
    else:
        _show(run)
    raise SystemExit(run.exit_status)


class _CannotProbe(SigilError):
    """Nothing could be looked at; to a supervisor that is not a variant found stale."""

    exit_status = 5


def _show(run: ProbeRun) -> None:
    table = Table("variant", "alive", "last scan", "last candle", "last write", "breaker", box=None)
    for look in run.looks:
        beat = look.heartbeat
        times = (beat.last_scan_end, beat.last_candle, beat.last_write) if beat else (None, None, None)
        well = all(f.kind == "probe_gap" for f in look.findings)
        alive = ("rests" if look.rests else "yes") if well else "NO"
        table.add_row(look.variant, alive, *(_when(at) for at in times), _breaker(look))
    console = wide_console()
    console.print(table)
    lines = [f"{look.variant}: {line}" for look in run.looks for line in _lines(look)]
    for line in [*lines, *([run.gap.detail] if run.gap else []), *(f"could not: {p}" for p in run.problems)]:
        click.echo(line)
    if any(look.findings and look.channels == 0 for look in run.looks):
        click.echo("nobody is told: no alert channel is configured; see docs/alerts.md")


def _lines(look: Look) -> list[str]:
    found = [*([look.rests] if look.rests else []), *(f.detail for f in look.findings)]
    process = [look.process] if look.process else []
    tripped = ["breaker tripped by this run"] if look.tripped_now else []
    return [*found, *process, *tripped, *(f"could not: {p}" for p in look.problems)]


def _breaker(look: Look) -> str:
    if look.breaker is None:
        return "-"
    return "tripped" if look.breaker.tripped else "armed"


def _when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else "-"
