"""`sigil alerts test | list | send`: the messages to people, and the channels they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import rich_click as click
from rich.table import Table
from rich.text import Text

from sigil_ext.db.incidents import Incident, Incidents
from sigil_ext.db.outbox import Outbox, StoredAlert
from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.services.alerts import Tried, deliver_once, try_channels
from sigil_ext.services.database import open_database
from sigil_ext.settings.overlays import TRADED_VARIANTS

F = TypeVar("F", bound=Callable[..., Any])


def _targets(command: F) -> F:
    """`--variant V` (repeatable) or `--all`, and `--json`."""
    every = click.option("--all", "every", is_flag=True, help="The four variants that trade on paper.")
    return variant_option(multiple=True)(every(json_option()(command)))


def _names(variants: tuple[str, ...], every: bool) -> list[str]:
    return list(dict.fromkeys([*(TRADED_VARIANTS if every else ()), *variants])) or ["baseline"]


@click.group()
def alerts() -> None:
    """Messages to people, through the channels that SIGIL_ALERT_URLS in .env names."""


@alerts.command()
@_targets
def test(variants: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Send a test through each channel and say what came of it; exit status 1 if one failed.

    Without --variant or --all: baseline. Filters do not hold it back.
    """
    tried = [t for name in _names(variants, every) for t in try_channels(name)]
    if as_json:
        print_json([_tried(t) for t in tried])
    else:
        for t in tried:
            click.echo(f"{t.variant}, {t.channel} ({t.service}): {t.outcome.error or 'ok'}")
    if any(t.outcome.state != "sent" for t in tried):
        raise SystemExit(1)


@alerts.command("list")
@variant_option(default="baseline")
@click.option("--waiting", is_flag=True, help="Only those that some channel still has to get.")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="How many, the latest.")
@json_option()
def list_(variant: str, waiting: bool, limit: int, as_json: bool) -> None:
    """Show the latest alerts, newest first, and what is wrong now."""
    database = open_database(variant)
    found, wrong = Outbox(database).list(limit=limit, waiting=waiting), Incidents(database).all()
    if as_json:
        print_json([_alert(a) for a in found])
        return
    if not found:
        click.echo(f"no alert of variant {variant}" + (" waits" if waiting else ""))
    else:
        wide_console().print(_table(variant, found))
    for incident in wrong:
        click.echo(_wrong(incident))


@alerts.command()
@_targets
def send(variants: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Deliver what waits and is due; exit status 1 if something failed. A running session does this by itself.

    Without --variant or --all: baseline.
    """
    counts = {name: deliver_once(name) for name in _names(variants, every)}
    if as_json:
        print_json({name: asdict(c) for name, c in counts.items()})
    else:
        for name, c in counts.items():
            click.echo(f"{name}: {c.sent} sent, {c.failed} failed, {c.filtered} filtered, {c.waiting} waiting")
            for error in c.errors:
                click.echo(f"  {error}")
    if any(c.failed for c in counts.values()):
        raise SystemExit(1)


def _table(variant: str, found: list[StoredAlert]) -> Table:
    table = Table("number", "at", "event", "title", "state", title=f"variant {variant}, UTC", title_justify="left")
    for a in found:
        state = Text("\n".join([a.state, *(_delivery(d) for d in a.deliveries if d["error"] or d["state"] != a.state)]))
        table.add_row(str(a.id), f"{a.at:%Y-%m-%d %H:%M}", a.event, Text(a.title), state)
    return table


def _delivery(delivery: Any) -> str:
    error = f" ({delivery['error']})" if delivery["error"] else ""
    return f"{delivery['channel']}: {delivery['state']}{error}"


def _wrong(incident: Incident) -> str:
    return f"wrong since {incident.opened_at:%Y-%m-%d %H:%M} UTC: {incident.key}: {incident.detail}"


def _tried(t: Tried) -> dict[str, Any]:
    return {
        "variant": t.variant, "channel": t.channel, "service": t.service, "ok": t.outcome.state == "sent",
        "error": t.outcome.error or None,
    }  # fmt: skip


def _alert(a: StoredAlert) -> dict[str, Any]:
    return {
        "id": a.id, "at": a.at.isoformat(), "event": a.event, "reason": a.reason, "title": a.title, "body": a.body,
        "state": a.state, "settled_at": a.settled_at.isoformat() if a.settled_at else None,
        "deliveries": list(a.deliveries),
    }  # fmt: skip
