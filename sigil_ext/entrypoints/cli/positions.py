"""`sigil positions list | show`: what is open, what was closed and why."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.errors import UsageError
from sigil_ext.rules.universe_words import number

if TYPE_CHECKING:
    from sigil_ext.services.positions import Detail, Listing, Position, Positions

NOTHING = "-"
UNKNOWN = "a price that is not known"
AT_ADOPTION = "at its adoption; a trail may have raised it since"


@click.group()
def positions() -> None:
    """Positions of a variant, of both books: its own, and the one the earlier bot left (numbers with a p)."""


@positions.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only open ones.")
@click.option("--closed", "only_closed", is_flag=True, help="Only closed ones.")
@click.option("--symbol", metavar="SYMBOL", help="Only of this symbol.")
@click.option("--since", metavar="DATE", help="Only what is open or was closed since then, UTC.")
@click.option(
    "--limit", type=click.IntRange(0), default=50, show_default=True, metavar="N",
    help="Besides the open ones, the N newest.",
)  # fmt: skip
@variant_option(default="baseline")
@json_option()
def list_(
    only_open: bool, only_closed: bool, symbol: str | None, since: str | None, limit: int, variant: str, as_json: bool
) -> None:
    """Show positions, open ones first: stop, trail, R, and how the closed ones ended."""
    if only_open and only_closed:
        raise UsageError("--open and --closed exclude each other; leave both out for all positions")
    found = _of(variant).listed(
        "open" if only_open else "closed" if only_closed else "all", symbol, _instant(since), limit
    )
    if as_json:
        print_json(
            {
                "variant": variant,
                "open": found.open,
                "closed": found.closed,
                "superseded": found.superseded,
                "unpriced": found.unpriced,
                "pnl_usd": found.pnl_usd,
                "left_out": found.left_out,
                "positions": [_document(p) for p in found.positions],
            }
        )
        return
    _print_list(variant, found)


@positions.command()
@click.argument("position", metavar="ID")
@variant_option(default="baseline")
@json_option()
def show(position: str, variant: str, as_json: bool) -> None:
    """Show one position: entry, stop, signal, universe, exit, how far it went for and against."""
    found = _of(variant).one(position)
    if as_json:
        print_json({"variant": variant, **_detail_document(found)})
        return
    table = Table(show_header=False, box=None)
    for name, value in _lines(found):
        table.add_row(name, Text(value))
    wide_console().print(table)


def _of(variant: str) -> Positions:
    from sigil_ext.services.database import open_store
    from sigil_ext.services.positions import Positions

    return Positions(open_store(variant))


def _instant(text: str | None) -> datetime | None:
    from sigil_ext.services.backtest import parse_instant

    return datetime.fromtimestamp(parse_instant(text, "--since") / 1000, UTC) if text else None


def _print_list(variant: str, found: Listing) -> None:
    if not found.positions:
        click.echo(f"variant {variant} has no such position" if found.left_out == 0 else f"{found.left_out} left out")
        return
    table = Table(title=f"variant {variant}, UTC", title_justify="left")
    for head in ("id", "symbol", "side", "status", "opened", "closed"):
        table.add_column(head, no_wrap=True)
    for head in ("entry", "stop", "trail", "price", "R", "P&L $", "MAE R", "MFE R", "scan"):
        table.add_column(head, justify="right", no_wrap=True)
    for p in found.positions:
        row = p.row
        table.add_row(
            row.name, Text(row.symbol), p.side, Text(row.exit_reason or row.status), _when(row.opened_at),
            _when(row.closed_at), number(row.entry_price), _number(row.stop_price) + "*" * p.at_adoption, _trail(p), _number(p.price), _signed(p.r),
            _signed(row.pnl_usd), _plain(row.mae_r), _plain(row.mfe_r),
            NOTHING if row.universe_id is None else str(row.universe_id), style="bold" if row.status == "open" else "",
        )  # fmt: skip
    console = wide_console()
    if not console.is_terminal:
        console.width = 170
    console.print(table)
    if any(p.at_adoption for p in found.positions):
        click.echo(f"* the stop {AT_ADOPTION}")
    superseded = f", {found.superseded} superseded" if found.superseded else ""
    more = f"; {found.left_out} older ones are left out, see --limit" if found.left_out else ""
    unpriced = f" without {found.unpriced} of which no price is known" if found.unpriced else ""
    click.echo(
        f"{found.open} open, {found.closed} closed{superseded}, P&L of the closed{unpriced} {found.pnl_usd:+.2f} USD{more}"
    )


def _lines(found: Detail) -> list[tuple[str, str]]:
    p, row = found.position, found.position.row
    lines = [
        ("position", f"{row.name} ({row.table})"),
        ("symbol", row.symbol),
        ("status", row.status + (f", position {row.kept_id} was kept open" if row.kept_id is not None else "")),
        ("opened", f"{_when(row.opened_at)} UTC at {number(row.entry_price)}, {p.side}, {abs(row.qty):g} coins"),
        ("size", _size(p)),
        ("stop", _stop(p)),
        ("trail", {True: "armed", False: "not armed", None: "not known"}[row.trail_armed]),
        ("ATR at entry", _number(row.atr_at_entry)),
        ("highest high", _number(row.high_water)),
        ("universe", _universe(found)),
        ("signal", _signal(found)),
    ]
    if row.status == "open":
        at = f" at {_when(p.price_at)} UTC, {_signed(p.r)} R, {_signed(p.move_pct)} %" if p.price_at else ""
        lines.append(("price now", f"{number(p.price)}{at}" if p.price is not None else "not known: none is recorded"))
    if row.closed_at is not None or row.exit_reason is not None:
        lines += [
            (
                "closed",
                f"{_when(row.closed_at)} UTC at {_number(row.exit_price) if row.exit_price is not None else UNKNOWN}: "
                f"{row.exit_reason or 'no reason stored'}",
            ),
            ("detail", row.exit_detail or NOTHING),
            (
                "result",
                f"{_signed(row.pnl_usd)} USD after {row.fees_usd:.4f} USD of costs; {_signed(p.r)} R before costs"
                if row.pnl_usd is not None
                else "not known",
            ),
        ]
    source = ", measured from the recorded minutes" if found.measured else ""
    lines.append(("MAE, MFE", f"{_plain(found.mae_r)} R against it, {_plain(found.mfe_r)} R for it{source}"))
    if row.downtime:
        lines.append(("downtime", "entered or left on candles that were fetched after an outage"))
    return lines


def _stop(p: Position) -> str:
    row = p.row
    if row.stop_price is None:
        return NOTHING
    first = f"{_number(row.stop_price)}, {_plain(row.stop_pct)} % under the entry at first"
    return f"{first}; {AT_ADOPTION}" if p.at_adoption else first


def _size(p: Position) -> str:
    row = p.row
    if row.notional_usd is None:
        return f"{abs(row.qty) * row.entry_price:.2f} USD"
    cap = ", the cap on size binds" if row.cap_bound else ""
    more = f", {row.increases} increases" if row.increases else ""
    return f"{row.notional_usd:.2f} USD, {_plain(row.risk_usd)} USD at risk{cap}{more}"


def _universe(found: Detail) -> str:
    row = found.position.row
    if row.universe_id is None:
        return "no scan is stored with it"
    if found.universe is None:
        return f"scan {row.universe_id}, which holds it no more"
    u = found.universe
    rank = f", number {u.rank} by score" if u.rank is not None else ""
    return f"scan {row.universe_id}: {u.reason}{rank}" + (f" ({u.score:.3f})" if u.score is not None else "")


def _signal(found: Detail) -> str:
    s = found.signal
    if s is None:
        return "none is stored with it"
    return (
        f"{s.rule}: close {_number(s.close)} over {_number(s.highest_high)}, volume {_number(s.volume_ratio)} times its mean, "
        f"RSI {_number(s.rsi)}"
    )


# --- documents --------------------------------------------------------------------------------------------------------


def _document(p: Position) -> dict[str, Any]:
    row = p.row
    return {
        "id": row.name,
        "table": row.table,
        "symbol": row.symbol,
        "side": p.side,
        "status": row.status,
        "opened_at": _iso(row.opened_at),
        "entry_price": row.entry_price,
        "qty": row.qty,
        "notional_usd": row.notional_usd,
        "risk_usd": row.risk_usd,
        "cap_bound": row.cap_bound,
        "increases": row.increases,
        "atr_at_entry": row.atr_at_entry,
        "stop_pct": row.stop_pct,
        "stop_price": row.stop_price,
        "stop_at_adoption": p.at_adoption,
        "trail_armed": row.trail_armed,
        "high_water": row.high_water,
        "price": p.price,
        "price_at": _iso(p.price_at),
        "r": p.r,
        "move_pct": p.move_pct,
        "closed_at": _iso(row.closed_at),
        "exit_price": row.exit_price,
        "exit_reason": row.exit_reason,
        "exit_detail": row.exit_detail,
        "fees_usd": row.fees_usd,
        "pnl_usd": row.pnl_usd,
        "mae_r": row.mae_r,
        "mfe_r": row.mfe_r,
        "universe_id": row.universe_id,
        "superseded_by": row.kept_id,
        "downtime": row.downtime,
    }


def _detail_document(found: Detail) -> dict[str, Any]:
    s, u = found.signal, found.universe
    return {
        **_document(found.position),
        "mae_r": found.mae_r,
        "mfe_r": found.mfe_r,
        "excursions_measured_now": found.measured,
        "signal": None
        if s is None
        else {
            "rule": s.rule,
            "close": _finite(s.close),
            "highest_high": _finite(s.highest_high),
            "volume_ratio": _finite(s.volume_ratio),
            "rsi": _finite(s.rsi),
            "score": s.score,
        },
        "universe": None if u is None else {"reason": u.reason, "rank": u.rank, "score": u.score},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _trail(p: Position) -> str:
    return {True: "armed", False: "no", None: NOTHING}[p.row.trail_armed]


def _number(value: float | None) -> str:
    return NOTHING if value is None or not math.isfinite(value) else number(value)


def _plain(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.2f}"


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else NOTHING


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


@positions.command("close")
@click.argument("symbol", required=False)
@click.option("--stale", is_flag=True, help="Every open row that no session manages, such as the earlier bot's.")
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="SYMBOL=USD",
    help="With --stale: at this price.  [default: the last recorded one; where there is none, P&L stays unknown]",
)
@click.option("--reason", required=True, help="Why; stored with the act.")
@variant_option(default="baseline")
@json_option()
def close_(
    symbol: str | None, stale: bool, prices: tuple[str, ...], reason: str, variant: str, as_json: bool
) -> None:  # fmt: skip
    """Close the position on SYMBOL at its last price; or with --stale those that nobody manages."""
    from sigil_ext.entrypoints.cli.logs import configure
    from sigil_ext.services.closing import close, close_stale

    configure(Console(stderr=True))
    if stale == (symbol is not None):
        raise UsageError("say which: a SYMBOL, or --stale for those that no session manages")
    if prices and not stale:
        raise UsageError("--price is for --stale; a session closes at its own last price")
    if symbol is not None:
        done = close(variant, reason, symbol=symbol)
        if as_json:
            print_json({"variant": variant, "outcome": done.outcome, "still_open": done.still_open})
        else:
            click.echo(f"{variant}: {done.outcome}; {done.still_open} still open")
        return
    closed = close_stale(variant, reason, prices=dict(_price(text) for text in prices))
    if as_json:
        print_json(
            [
                {"table": c.position.table, "id": c.position.id, "symbol": c.position.symbol, "price": c.price,
                 "source": c.source}
                for c in closed
            ]
        )  # fmt: skip
        return
    for c in closed:
        at = "" if c.price is None else f" at {c.price:.10g}"
        click.echo(f"{variant}: closed {c.position.symbol} ({c.position.table} {c.position.id}){at}: {c.source}")
    if not closed:
        click.echo(f"{variant}: no open position without a session")


def _price(text: str) -> tuple[str, float]:
    symbol, _, number = text.partition("=")
    try:
        price = float(number)
    except ValueError:
        price = math.nan
    if not symbol or not 0 < price < math.inf:
        raise UsageError(f"--price must be SYMBOL=USD with a price above 0, as in TST-USDT=0.0123, was '{text}'")
    return symbol, price
