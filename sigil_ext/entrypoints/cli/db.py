"""`sigil db start | stop | status`: the embedded PostgreSQL. `sigil db backup | restore`: any variant's database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click
from rich.table import Table

from sigil_ext.db.embedded import Status
from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.errors import SigilError
from sigil_ext.services import backup as backups
from sigil_ext.services import database as service
from sigil_ext.services.migrations import chosen_variants
from sigil_ext.settings.environment import environment_warnings, load_environment
from sigil_ext.settings.project import find_project


@click.group()
def db() -> None:
    """Start, stop and look at the embedded PostgreSQL, which runs until it is stopped; back up and restore databases."""


@db.command()
@json_option()
def start(as_json: bool) -> None:
    """Start the embedded server, making it first if need be. Does nothing if it runs."""
    _warn()
    was_running = service.server_status().running
    status = service.start_server()
    if as_json:
        print_json({**_document(status), "started": not was_running})
    else:
        click.echo(f"{'already running' if was_running else 'started'}: {status.host}:{status.port}, pid {status.pid}")


@db.command()
@json_option()
def stop(as_json: bool) -> None:
    """Stop the embedded server, breaking off what its clients do. Does nothing if it does not run."""
    stopped = service.stop_server()
    if as_json:
        print_json({**_document(service.server_status()), "stopped": stopped})
    else:
        click.echo("stopped" if stopped else "was not running")


@db.command()
@json_option()
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say whether the embedded server runs, where, and which server each setting names. Exit status 1 if it does not."""
    _warn()
    found = service.server_status()
    if as_json:
        print_json(_document(found))
    else:
        table = Table(show_header=False, box=None)
        table.add_row("running", "yes" if found.running else "no")
        table.add_row("address", f"{found.host}:{found.port}" if found.port else "not chosen yet")
        table.add_row("pid", str(found.pid) if found.pid else "-")
        table.add_row("version", f"PostgreSQL {found.version}")
        table.add_row("data", str(found.data) + ("" if found.initialised else " (not made yet)"))
        table.add_row("log", str(found.log))
        table.add_row("in use", "no: .env names a server" if _configured() else "yes: no server is configured")
        wide_console().print(table)
    if not found.running:
        ctx.exit(1)


@db.command("backup")
@variant_option(multiple=True)
@click.option("--all", "every", is_flag=True, help="All variants that are traded and have a database.")
@click.option(
    "--to", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="Folder.  [default: storage/backups]"
)
@json_option()
def back_up(variants: tuple[str, ...], every: bool, to: Path | None, as_json: bool) -> None:
    """Save databases, one file each, also while sessions run; baseline's without --variant. No session notices it."""
    _warn()
    done: list[backups.BackedUp] = []
    for result in backups.back_up(chosen_variants(variants, every), to):
        done.append(result)
        if result.manifest is not None and not as_json:
            m = result.manifest
            click.echo(
                f"{result.variant}: {result.place}, schema {m.schema_version:03d}, {m.contents().rows:,} rows in "
                f"{len(m.tables)} tables, saved to {result.file} ({result.size / 1e6:.1f} MB)"
            )
    if as_json:
        print_json([backups.document(result) for result in done])
    missing = [result for result in done if result.problem]
    for result in missing:
        click.echo(f"{result.variant}: not backed up: {result.problem}", err=True)
    # Of all variants a machine may have but some; nothing at all, or one that was named, is a failure.
    if any(not result.absent for result in missing) or (missing and (not every or len(missing) == len(done))):
        raise SigilError(f"{len(missing)} of {len(done)} databases were not backed up")


@db.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@variant_option(required=True)
@click.option("--replace", is_flag=True, help="Delete what the database holds now. Asks first.")
@click.option("--yes", is_flag=True, help="With --replace: do not ask.")
@json_option()
def bring_back(file: Path, variant: str, replace: bool, yes: bool, as_json: bool) -> None:
    """Bring a backup back: whole, every table counted, or not at all. Stop the variant's session first."""
    _warn()
    result = backups.restore(file, variant, replace=replace, agree=lambda question: yes or _agreed(question))
    if as_json:
        print_json(backups.document(result))
        return
    m = result.manifest
    click.echo(
        f"{variant}: {result.place} is as on {m.taken_at:%Y-%m-%d %H:%M:%S} UTC: {m.contents().rows:,} rows in {len(m.tables)} "
        f"tables, counted, schema {result.version:03d}" + (", not the newest" if result.pending else "")
    )


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question, default=False, err=True)
    except click.Abort:  # nobody there to ask
        click.echo(err=True)
        return False


def _configured() -> bool:
    return load_environment(find_project()).database("baseline") is not None


def _document(found: Status) -> dict[str, Any]:
    return {
        "running": found.running,
        "host": found.host,
        "port": found.port,
        "pid": found.pid,
        "version": found.version,
        "data": str(found.data),
        "log": str(found.log),
        "initialised": found.initialised,
        "in_use": not _configured(),
    }


def _warn() -> None:
    for sentence in environment_warnings(find_project()):
        click.echo(f"warning: {sentence}", err=True)
