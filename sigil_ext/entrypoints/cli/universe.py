"""`sigil universe show | explain | diff | scan`: which symbols may be entered, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.options import json_option, print_json, set_option, variant_option, wide_console
from sigil_ext.errors import UsageError
from sigil_ext.rules.types import UniverseRow, UniverseScan
from sigil_ext.rules.universe_words import number
from sigil_ext.settings.overlays import TRADED_VARIANTS

if TYPE_CHECKING:
    from sigil_ext.services.universe import Difference, Explained, Move, StoredScan, Universes

F = TypeVar("F", bound=Callable[..., Any])


def _targets(command: F) -> F:
    """`--variant V` (baseline without it), `--all`, and `--json`."""
    every = click.option("--all", "every", is_flag=True, help="The four variants that trade on paper.")
    return variant_option()(every(json_option()(command)))


def _scan_option(command: F) -> F:
    return click.option("--scan", "scan_id", type=int, metavar="ID", help="A scan by its number (default: the last).")(
        command
    )


@click.group()
def universe() -> None:
    """Which symbols of the pool may be entered now, with the reason for each, and what changed."""


@universe.command()
@_scan_option
@_targets
def show(scan_id: int | None, variant: str | None, every: bool, as_json: bool) -> None:
    """Show the last scan: every symbol with reason, rank, score and figures."""
    found = [(name, _of(name).one(scan_id)) for name in _names(variant, every, scan_id is not None)]
    if as_json:
        _print([{"variant": name, "scan": _stored_document(stored)} for name, stored in found], every)
        return
    for name, stored in found:
        if stored is None:
            click.echo(f"variant {name} has no scan yet; a paper session scans, and so does sigil universe scan")
        else:
            _print_scan(f"variant {name}, scan {stored.id}", stored.scan)


@universe.command()
@click.argument("symbol")
@_scan_option
@_targets
def explain(symbol: str, scan_id: int | None, variant: str | None, every: bool, as_json: bool) -> None:
    """Say why SYMBOL may be entered or not: which filter, with which figure against which setting."""
    found = [(name, _of(name).explain(symbol, scan_id)) for name in _names(variant, every, scan_id is not None)]
    if as_json:
        _print([_explained_document(name, explained) for name, explained in found], every)
        return
    for name, explained in found:
        _print_explained(name, explained)


@universe.command()
@click.argument("first", type=int, required=False, metavar="[A")
@click.argument("second", type=int, required=False, metavar="B]")
@_targets
def diff(first: int | None, second: int | None, variant: str | None, every: bool, as_json: bool) -> None:
    """Say who came and who left from scan A to scan B, and why; without numbers, of the last two scans."""
    if first is not None and second is None:
        raise UsageError(f"name two scans, or none for the last two; only {first} was given")
    numbers = [] if first is None or second is None else [first, second]
    found = [(name, _of(name).difference(numbers)) for name in _names(variant, every, bool(numbers))]
    if as_json:
        _print([{"variant": name, "difference": _difference_document(d)} for name, d in found], every)
        return
    for name, difference in found:
        if difference is None:
            click.echo(f"variant {name} has fewer than two scans, so there is nothing to compare yet")
        else:
            _print_difference(name, difference)


@universe.command()
@variant_option(required=True)
@click.option(
    "--candles", "folder", metavar="DIR", type=click.Path(path_type=Path),
    help="Scan these candle files instead of what the last paper session recorded.",
)  # fmt: skip
@click.option("--at", metavar="DATE", help="The instant of the scan, UTC (default: the end of the candles).")
@click.option("--store", is_flag=True, help="Keep the scan in the variant's database.")
@set_option()
@json_option()
def scan(
    variant: str, folder: Path | None, at: str | None, store: bool, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Scan by hand, as a session does: of recorded candles, or of a folder. Nothing is kept without --store."""
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.universe import scan_now
    from sigil_ext.settings.overlays import load_variant

    at_ms = parse_instant(at, "--at") if at else None
    found = scan_now(load_variant(variant, overrides), folder=folder, at_ms=at_ms, store=store)
    if as_json:
        print_json(
            {
                "variant": variant,
                "stored_as": found.stored_as,
                "candles": found.candles_from,
                "considered": found.considered,
                "scan": _scan_document(found.scan),
            }
        )
        return
    kept = f", stored as scan {found.stored_as}" if found.stored_as is not None else ", not stored"
    _print_scan(f"variant {variant}, candles of {found.candles_from}{kept}", found.scan)
    click.echo(f"considered: {found.considered}")


def _names(variant: str | None, every: bool, numbered: bool) -> list[str]:
    if every and variant:
        raise UsageError("--all and --variant exclude each other; give one of them")
    if every and numbered:
        raise UsageError("numbers of scans are a variant's own; give --variant instead of --all")
    return list(TRADED_VARIANTS) if every else [variant or "baseline"]


def _of(variant: str) -> Universes:
    from sigil_ext.services.database import open_store
    from sigil_ext.services.universe import Universes

    return Universes(open_store(variant))


def _print(documents: list[dict[str, Any]], every: bool) -> None:
    print_json(documents if every else documents[0])


# --- tables -----------------------------------------------------------------------------------------------------------


def _print_scan(title: str, scan: UniverseScan) -> None:
    table = Table(title=Text(f"{title}, {scan.at:%Y-%m-%d %H:%M} UTC"), title_justify="left")
    for head in ("symbol", "may be entered", "reason"):
        table.add_column(head, no_wrap=True)
    for head in ("rank", "score", "price", "volume 24 h", "ATR %", "change %", "tick %", "no trade %", "age h"):
        table.add_column(head, justify="right", no_wrap=True)
    keys = ("price", "quote_volume_usd", "atr_pct", "change_pct", "tick_pct", "zero_volume_pct", "age_hours")
    for row in scan.rows:
        table.add_row(
            Text(row.symbol), "yes" if row.accepted else "no", row.reason, "-" if row.rank is None else str(row.rank),
            "-" if row.score is None else f"{row.score:.3f}", *(_figure(row, key) for key in keys),
            style="bold" if row.accepted else "",
        )  # fmt: skip
    console = wide_console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)
    click.echo(f"{len(scan.accepted)} of {len(scan.rows)} symbols may be entered")


def _figure(row: UniverseRow, key: str) -> str:
    value = row.measures.get(key, math.nan)
    if not math.isfinite(value):
        return "-"
    return f"{value:.2f}" if key.endswith("_pct") else number(value)


def _print_explained(variant: str, found: Explained) -> None:
    click.echo(f"variant {variant}, scan {found.stored.id}, {found.stored.scan.at:%Y-%m-%d %H:%M} UTC")
    click.echo(found.why.sentence)
    if not found.why.follows:
        click.echo(f"The stored reason '{found.row.reason}' does not follow from the settings below.")
    table = Table(
        "filter", "", "figure against setting", title=f"Settings: {found.settings_from}", title_justify="left"
    )
    words = {True: "refuses", False: "passes", None: "unknown"}
    for check in found.why.checks:
        table.add_row(check.filter, words[check.refuses], Text(check.sentence), style="bold" if check.refuses else "")
    wide_console().print(table)
    if found.why.score:
        weights = sum(part.weight for part in found.why.score)
        parts = "; ".join(
            f"{p.measure} number {p.place} of {p.of}, rank {p.rank:.3f}, weight {p.weight:g}" for p in found.why.score
        )
        click.echo(f"Score: mean of ranks from 0 (worst) to 1 (best), weights sum to {weights:g}: {parts}")


def _print_difference(variant: str, d: Difference) -> None:
    click.echo(
        f"variant {variant}, scan {d.first.id} ({d.first.scan.at:%Y-%m-%d %H:%M}) to "
        f"scan {d.second.id} ({d.second.scan.at:%Y-%m-%d %H:%M} UTC)"
    )
    for move in d.moves:
        click.echo(f"  {'+' if move.came else '-'} {move.symbol} {'came' if move.came else 'left'}: {move.why}")
    if not d.moves:
        click.echo("  nobody came, nobody left")
    click.echo(f"  {d.stayed} stayed; {len(d.other_reasons)} others have another reason than before")
    for symbol, before, after in d.other_reasons:
        click.echo(f"    {symbol}: {before} -> {after}")


# --- documents --------------------------------------------------------------------------------------------------------


def _stored_document(stored: StoredScan | None) -> dict[str, Any] | None:
    return None if stored is None else {"id": stored.id, **_scan_document(stored.scan)}


def _scan_document(scan: UniverseScan) -> dict[str, Any]:
    return {
        "at": _iso(scan.at),
        "accepted": sorted(scan.accepted),
        "symbols": [_row_document(row) for row in scan.rows],
    }


def _row_document(row: UniverseRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "symbol": row.symbol,
        "accepted": row.accepted,
        "reason": row.reason,
        "rank": row.rank,
        "score": row.score,
        "measures": {key: value if math.isfinite(value) else None for key, value in row.measures.items()},
    }


def _explained_document(variant: str, found: Explained) -> dict[str, Any]:
    return {
        "variant": variant,
        "scan_id": found.stored.id,
        "at": _iso(found.stored.scan.at),
        "sentence": found.why.sentence,
        "settings_from": found.settings_from,
        "reason_follows": found.why.follows,
        "row": _row_document(found.row),
        "filters": [{"filter": c.filter, "refuses": c.refuses, "sentence": c.sentence} for c in found.why.checks],
        "score_parts": [
            {"measure": p.measure, "place": p.place, "of": p.of, "rank": p.rank, "weight": p.weight}
            for p in found.why.score
        ],
    }


def _difference_document(d: Difference | None) -> dict[str, Any] | None:
    if d is None:
        return None
    return {
        "from": {"id": d.first.id, "at": _iso(d.first.scan.at)},
        "to": {"id": d.second.id, "at": _iso(d.second.scan.at)},
        "came": [_move_document(move) for move in d.moves if move.came],
        "left": [_move_document(move) for move in d.moves if not move.came],
        "stayed": d.stayed,
        "other_reasons": [{"symbol": s, "before": before, "after": after} for s, before, after in d.other_reasons],
    }


def _move_document(move: Move) -> dict[str, Any]:
    return {
        "symbol": move.symbol,
        "why": move.why,
        "before": _row_document(move.before),
        "after": _row_document(move.after),
    }


def _iso(at: datetime) -> str:
    return at.isoformat()
