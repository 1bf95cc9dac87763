"""`sigil db start | stop | status`: the embedded PostgreSQL."""

from __future__ import annotations

from typing import Any

import rich_click as click
from rich.table import Table

from sigil_ext.db.embedded import Status
from sigil_ext.entrypoints.cli.options import json_option, print_json, wide_console
from sigil_ext.services import database as service
from sigil_ext.settings.environment import environment_warnings, load_environment
from sigil_ext.settings.project import find_project


@click.group()
def db() -> None:
    """Start, stop and look at the embedded PostgreSQL. It keeps running until it is stopped."""


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
