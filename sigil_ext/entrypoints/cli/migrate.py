"""`sigil migrate up | down | status`: bring databases to a schema version."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import rich_click as click
from rich.table import Table

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.services import migrations as service

F = TypeVar("F", bound=Callable[..., Any])


def _all_option() -> Callable[[F], F]:
    return click.option("--all", "every", is_flag=True, help="All variants that are traded, in fixed order.")


@click.group()
def migrate() -> None:
    """Bring databases to a schema version, up or down. Without --variant or --all: baseline's."""


@migrate.command()
@click.option("--to", type=int, metavar="N", help="Stop at this version (default: the newest).")
@variant_option(multiple=True)
@_all_option()
@json_option()
def up(to: int | None, variants: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Apply what is not applied yet; a missing database is created."""
    _report(service.migrate_up(service.chosen_variants(variants, every), to), as_json)


@migrate.command()
@click.option("--to", type=int, metavar="N", required=True, help="The version to go back to; 0 takes back everything.")
@variant_option(multiple=True)
@_all_option()
@json_option()
def down(to: int, variants: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Take back every version after N. The head of each .down.sql says what is lost."""
    _report(service.migrate_down(service.chosen_variants(variants, every), to), as_json)


@migrate.command()
@variant_option(multiple=True)
@_all_option()
@json_option()
@click.pass_context
def status(ctx: click.Context, variants: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Show the version of each database. Exit status 1 if something is not applied yet."""
    found = list(service.standings(service.chosen_variants(variants, every)))
    if as_json:
        print_json([_standing(s) for s in found])
    else:
        table = Table("variant", "database", "version", "not applied yet")
        for s in found:
            version = f"{s.state.version:03d}" if s.state else "no database yet"
            pending = s.state.pending if s.state else s.migrations
            table.add_row(
                s.variant, s.place.removeprefix("database "), version, ", ".join(m.label for m in pending) or "-"
            )
        wide_console().print(table)
    if any(s.state is None or s.state.pending for s in found):
        ctx.exit(1)


def _report(results: Iterable[service.Migrated], as_json: bool) -> None:
    documents = []
    for result in results:
        documents.append(
            {
                "variant": result.variant,
                "database": result.place,
                "version": result.version,
                "steps": [
                    {"version": s.version, "name": s.label, "direction": s.direction, "seconds": round(s.seconds, 3)}
                    for s in result.steps
                ],
            }
        )
        if not as_json:
            for step in result.steps:
                click.echo(f"{result.variant}: {step.label} {step.direction} ({step.seconds * 1000:.0f} ms)")
            done = "now" if result.steps else "already"
            click.echo(f"{result.variant}: {result.place} is {done} at {result.version:03d}")
    if as_json:
        print_json(documents)


def _standing(s: service.Standing) -> dict[str, Any]:
    applied = {row.version: row for row in s.state.applied} if s.state else {}
    return {
        "variant": s.variant,
        "database": s.place,
        "exists": s.state is not None,
        "version": s.state.version if s.state else 0,
        "taken_over": s.state.taken_over if s.state else False,
        "migrations": [
            {
                "version": m.version,
                "name": m.label,
                "applied_at": applied[m.version].applied_at.isoformat() if m.version in applied else None,
            }
            for m in s.migrations
        ],
    }
