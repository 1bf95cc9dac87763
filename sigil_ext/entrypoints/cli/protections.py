"""`sigil protections list | show | add | ban | lift | history`: what bars a symbol, and a person's hand on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import rich_click as click
from rich.table import Table

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.rules.protections import active_bar
from sigil_ext.rules.types import Protection
from sigil_ext.services.database import open_store
from sigil_ext.services.protections import Protections, protections_of

F = TypeVar("F", bound=Callable[..., Any])


def _hours_option() -> Callable[[F], F]:
    return click.option(
        "--hours", type=float, required=True, metavar="N", help="How long, in hours; in a replay those of its market."
    )


def _new_option() -> Callable[[F], F]:
    return click.option("--new", is_flag=True, help="SYMBOL is one that this variant has not met yet.")


@click.group()
def protections() -> None:
    """Cooldowns and bans of a variant's symbols, in a replay by its market's time. Acts are stored with who, when and why."""


@protections.command("list")
@variant_option(default="baseline")
@json_option()
def list_(variant: str, as_json: bool) -> None:
    """Show every symbol that was ever barred, the barred ones first."""
    held = _of(variant)
    found, now = held.all(), held.now
    if as_json:
        print_json([_document(p, now) for p in found])
        return
    if not found:
        click.echo(f"no symbol of variant {variant} was ever barred")
        return
    table = Table(
        "symbol", "barred by", "cooldown until", "ban until", "violations", "reason",
        title=f"variant {variant}, UTC, as of {_when(now)}",
    )  # fmt: skip
    for p in found:
        bar = active_bar(p, now) or "-"
        table.add_row(
            p.symbol, bar, _when(p.expires_at), _when(p.ban_until), str(p.violation_count), p.reason or "-",
            style="" if bar == "-" else "bold",
        )  # fmt: skip
    wide_console().print(table)


@protections.command()
@click.argument("symbol")
@variant_option(default="baseline")
@json_option()
def show(symbol: str, variant: str, as_json: bool) -> None:
    """Show what bars SYMBOL."""
    held = _of(variant)
    _print(held.one(symbol), as_json, held.now)


@protections.command()
@click.argument("symbol")
@_hours_option()
@click.option("--reason", default="", help="Why; stored with the act.")
@_new_option()
@variant_option(default="baseline")
@json_option()
def add(symbol: str, hours: float, reason: str, new: bool, variant: str, as_json: bool) -> None:
    """Put a cooldown on SYMBOL. One that ends later stays as it is."""
    held = _of(variant)
    _print(held.cool_down(symbol, hours=hours, reason=reason, new=new), as_json, held.now)


@protections.command()
@click.argument("symbol")
@_hours_option()
@click.option("--reason", default="", help="Why; stored with the act.")
@_new_option()
@variant_option(default="baseline")
@json_option()
def ban(symbol: str, hours: float, reason: str, new: bool, variant: str, as_json: bool) -> None:
    """Ban SYMBOL. A ban that ends later stays as it is."""
    held = _of(variant)
    _print(held.ban(symbol, hours=hours, reason=reason, new=new), as_json, held.now)


@protections.command()
@click.argument("symbol")
@click.option("--reason", required=True, help="Why it may be entered again; stored with the act.")
@variant_option(default="baseline")
@json_option()
def lift(symbol: str, reason: str, variant: str, as_json: bool) -> None:
    """End cooldown and ban of SYMBOL now. Its violations stay counted."""
    held = _of(variant)
    _print(held.lift(symbol, reason=reason), as_json, held.now)


@protections.command()
@click.argument("symbol")
@variant_option(default="baseline")
@json_option()
def history(symbol: str, variant: str, as_json: bool) -> None:
    """Show everything that happened to SYMBOL's protection, oldest first."""
    events = _of(variant).history(symbol)
    if as_json:
        print_json(
            [
                {
                    "symbol": e.symbol,
                    "at": e.at.isoformat(),
                    "kind": e.kind,
                    "actor": e.actor,
                    "reason": e.reason,
                    "expires_at": _iso(e.expires_at),
                    "ban_until": _iso(e.ban_until),
                    "violation_count": e.violation_count,
                }
                for e in events
            ]
        )
        return
    if not events:
        click.echo(f"nothing ever happened to the protection of {symbol} in variant {variant}")
        return
    table = Table(
        "at", "what", "who", "why", "cooldown until", "ban until", "violations", title=f"{events[0].symbol}, UTC"
    )
    for e in events:
        table.add_row(
            _when(e.at, seconds=True), e.kind, e.actor, e.reason or "-", _when(e.expires_at), _when(e.ban_until),
            str(e.violation_count),
        )  # fmt: skip
    wide_console().print(table)


def _of(variant: str) -> Protections:
    return protections_of(open_store(variant))


def _print(p: Protection, as_json: bool, now: datetime) -> None:
    if as_json:
        print_json(_document(p, now))
        return
    bar = active_bar(p, now)
    table = Table(show_header=False, box=None)
    table.add_row("symbol", p.symbol)
    table.add_row("barred by", bar or "nothing")
    table.add_row("cooldown until", _when(p.expires_at) + (" UTC" if p.expires_at else ""))
    table.add_row("ban until", _when(p.ban_until) + (" UTC" if p.ban_until else ""))
    table.add_row("violations", str(p.violation_count))
    table.add_row("reason", p.reason or "-")
    wide_console().print(table)


def _document(p: Protection, now: datetime) -> dict[str, Any]:
    return {
        "symbol": p.symbol,
        "barred_by": active_bar(p, now),
        "expires_at": _iso(p.expires_at),
        "ban_until": _iso(p.ban_until),
        "violation_count": p.violation_count,
        "created_at": _iso(p.created_at),
        "last_violation_at": _iso(p.last_violation_at),
        "reason": p.reason,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _when(at: datetime | None, *, seconds: bool = False) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M") if at else "-"
