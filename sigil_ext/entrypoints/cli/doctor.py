"""`sigil doctor`: what Sigil needs around it, each line fine or with what to do."""

from __future__ import annotations

import rich_click as click
from rich.table import Table
from rich.text import Text

from sigil_ext.entrypoints.cli.options import json_option, print_json, wide_console

MARKS = {"ok": "ok", "note": "note", "problem": "DO"}
STYLES = {"ok": "", "note": "", "problem": "bold"}


@click.command()
@click.option("--offline", is_flag=True, help="Ask nothing of the exchange.")
@click.option(
    "--exchange", default="binance", show_default=True, metavar="NAME", help="As ccxt spells it; public data, no key."
)
@click.option("--exchange-url", metavar="URL", help="Another server that speaks the exchange's protocol.")
@json_option()
@click.pass_context
def doctor(ctx: click.Context, offline: bool, exchange: str, exchange_url: str | None, as_json: bool) -> None:
    """Check what Sigil needs: each line ok, worth a note, or what to DO. Exit status 1 if a line needs something."""
    from sigil_ext.services.doctor import examine

    lines = examine(exchange=exchange, exchange_url=exchange_url, offline=offline)
    problems = sum(line.level == "problem" for line in lines)
    if as_json:
        print_json(
            {
                "problems": problems,
                "lines": [
                    {"check": line.check, "level": line.level, "found": line.found, "to_do": line.to_do}
                    for line in lines
                ],
            }
        )
    else:
        table = Table(show_header=False, box=None, pad_edge=False)
        for line in lines:
            said = f"{line.found}; {line.to_do}" if line.to_do else line.found
            table.add_row(MARKS[line.level], line.check, Text(said), style=STYLES[line.level])
        wide_console().print(table)
        click.echo("nothing needs doing" if not problems else f"{problems} of {len(lines)} lines need something")
    if problems:
        ctx.exit(1)
