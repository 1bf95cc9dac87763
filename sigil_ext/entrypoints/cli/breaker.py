"""`sigil breaker status | trip | reset`, `sigil pause`, `sigil resume`: whether a variant may enter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import rich_click as click
from rich.table import Table

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.errors import UsageError
from sigil_ext.rules.types import Breaker
from sigil_ext.services.breaker import Act, Outcome, act_on, look_at, said_of
from sigil_ext.settings.overlays import TRADED_VARIANTS

F = TypeVar("F", bound=Callable[..., Any])


def _targets(command: F) -> F:
    """`--variant V` (repeatable) or `--all`, and `--json`."""
    every = click.option("--all", "every", is_flag=True, help="The four variants that trade on paper.")
    return variant_option(multiple=True)(every(json_option()(command)))


def _reason(command: F) -> F:
    return click.option("--reason", required=True, help="Why; stored with the act.")(command)


@click.group()
def breaker() -> None:
    """The circuit breaker of a variant. It blocks entries, never exits, until a person resets it."""


@breaker.command()
@_targets
def status(variants: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Show breaker and pause; exit status 1 when entries of one of them are blocked."""
    outcome = look_at(_names(variants, every))
    _show(outcome, as_json)
    if (refusal := outcome.refusal("known")) is not None:
        raise refusal
    if any(state.tripped or state.paused for state in outcome.states.values()):
        raise SystemExit(1)


@breaker.command()
@_targets
@_reason
def trip(variants: tuple[str, ...], every: bool, as_json: bool, reason: str) -> None:
    """Block entries until somebody resets the breaker."""
    _act("trip", variants, every, as_json, reason)


@breaker.command()
@_targets
@_reason
def reset(variants: tuple[str, ...], every: bool, as_json: bool, reason: str) -> None:
    """Let entries through again after a trip."""
    _act("reset", variants, every, as_json, reason)


@click.command()
@_targets
@_reason
def pause(variants: tuple[str, ...], every: bool, as_json: bool, reason: str) -> None:
    """Block a variant's entries until `sigil resume`. Exits go on."""
    _act("pause", variants, every, as_json, reason)


@click.command()
@_targets
@_reason
def resume(variants: tuple[str, ...], every: bool, as_json: bool, reason: str) -> None:
    """End a pause; a tripped breaker stays tripped."""
    _act("resume", variants, every, as_json, reason)


def _names(variants: tuple[str, ...], every: bool) -> list[str]:
    if not variants and not every:
        raise UsageError("name a variant with --variant, or all four with --all")
    return list(dict.fromkeys([*(TRADED_VARIANTS if every else ()), *variants]))


def _act(act: Act, variants: tuple[str, ...], every: bool, as_json: bool, reason: str) -> None:
    outcome = act_on(_names(variants, every), act, reason)
    _show(outcome, as_json)
    for name, sentence in outcome.already.items():
        click.echo(f"note: {name} {sentence}", err=True)
    if (refusal := outcome.refusal(said_of(act))) is not None:
        raise refusal


def _show(outcome: Outcome, as_json: bool) -> None:
    if not outcome.states:
        return  # the error says it all
    if as_json:
        print_json({name: _document(state) for name, state in outcome.states.items()})
        return
    table = Table("variant", "entries", "breaker", "since", "by", "reason", title="UTC", title_justify="left")
    for name, s in outcome.states.items():
        table.add_row(
            name, "blocked" if s.tripped or s.paused else "open", "tripped" if s.tripped else "armed",
            _when(s.tripped_at), s.tripped_by or "-", s.reason or "-",
        )  # fmt: skip
        if s.paused:
            table.add_row("", "", "paused", _when(s.paused_at), s.paused_by or "-", s.pause_reason or "-")
    wide_console().print(table)


def _document(s: Breaker) -> dict[str, Any]:
    return {
        "entries_blocked": s.tripped or s.paused,
        "tripped": s.tripped,
        "tripped_at": s.tripped_at.isoformat() if s.tripped_at else None,
        "tripped_by": s.tripped_by,
        "reason": s.reason,
        "paused": s.paused,
        "paused_at": s.paused_at.isoformat() if s.paused_at else None,
        "paused_by": s.paused_by,
        "pause_reason": s.pause_reason,
    }


def _when(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at else "-"
