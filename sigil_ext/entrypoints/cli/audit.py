"""`sigil audit`: was paper what a backtest of the same minutes says?"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option, wide_console
from sigil_ext.errors import UsageError
from sigil_ext.settings.overlays import TRADED_VARIANTS

if TYPE_CHECKING:
    from sigil_ext.services.audit import AuditReport


@click.command()
@variant_option(multiple=True)
@click.option("--all", "every", is_flag=True, help="The four variants that trade on paper.")
@click.option("--since", metavar="DATE", help="Compare only trades opened since then, UTC.")
@click.option("--session", type=click.IntRange(1), help="Number of a session.  [default: the newest]")
@json_option()
def audit(variants: tuple[str, ...], every: bool, since: str | None, session: int | None, as_json: bool) -> None:
    """Replay what paper recorded as a backtest and compare trade by trade; exit status 1 for a difference without a cause."""
    from sigil_ext.services.audit import audit as run_audit
    from sigil_ext.services.backtest import parse_instant

    if bool(variants) == every:
        raise UsageError("say which variant: --variant V, or --all for the four")
    names = TRADED_VARIANTS if every else tuple(dict.fromkeys(variants))
    since_ms = parse_instant(since, "--since") if since else None
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # each replays in a process of its own
        reports = list(pool.map(lambda name: run_audit(name, since_ms=since_ms, session=session), names))
    if as_json:
        print_json([r.document() for r in reports] if len(reports) > 1 else reports[0].document())
    else:
        _show(reports)
    if any(r.comparison.unexplained for r in reports):
        raise SystemExit(1)


def _show(reports: list[AuditReport]) -> None:
    table = Table(
        "variant", "session", "from", "to", "matched", "paper only", "backtest only", "differ", "without a cause",
        title="UTC", title_justify="left",
    )  # fmt: skip
    for r in reports:
        c = r.comparison
        table.add_row(
            r.variant, str(r.session), f"{r.since:%Y-%m-%d %H:%M}", f"{r.until:%Y-%m-%d %H:%M}", str(c.matched),
            str(c.count("paper_only")), str(c.count("backtest_only")), str(c.count("differs")), str(c.unexplained),
        )  # fmt: skip
    console = wide_console()
    console.print(table)
    for r in reports:
        for d in r.comparison.differences:
            opened = datetime.fromtimestamp(d.opened_at_ms / 1000, UTC)
            what = ", ".join(f"{name} {a} / {b}" for name, (a, b) in d.fields.items())
            console.print(
                f"{r.variant} {d.symbol} {opened:%Y-%m-%d %H:%M} {d.kind.replace('_', ' ')}: {d.cause or 'no known cause'} {what}"
            )
