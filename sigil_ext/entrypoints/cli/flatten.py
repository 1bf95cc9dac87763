"""`sigil flatten`: close everything a variant holds, verified."""

from __future__ import annotations

import rich_click as click
from rich.console import Console

from sigil_ext.entrypoints.cli.options import json_option, print_json, variant_option
from sigil_ext.errors import SigilError, UsageError
from sigil_ext.settings.overlays import TRADED_VARIANTS


@click.command()
@variant_option(multiple=True)
@click.option("--all", "every", is_flag=True, help="The four variants that trade on paper.")
@click.option("--reason", required=True, help="Why; stored with the act.")
@json_option()
def flatten(variants: tuple[str, ...], every: bool, reason: str, as_json: bool) -> None:
    """Close all positions at their last price; done is said only when the database shows none open.

    Entries go on: `sigil pause` or `sigil breaker trip` first keeps it flat.
    """
    from sigil_ext.entrypoints.cli.logs import configure
    from sigil_ext.services.closing import close

    configure(Console(stderr=True))
    if bool(variants) == every:
        raise UsageError("say which variant: --variant V, or --all for the four")
    results = []
    failed: list[str] = []
    for name in TRADED_VARIANTS if every else dict.fromkeys(variants):
        try:
            done = close(name, reason, exit_reason="kill_switch")
            results.append({"variant": name, "outcome": done.outcome, "still_open": done.still_open})
        except SigilError as error:
            if not every:
                raise
            failed.append(str(error))  # one that cannot be closed must not keep the others open
    if as_json:
        print_json(results)
    else:
        for result in results:
            click.echo(f"{result['variant']}: {result['outcome']}; {result['still_open']} still open")
    if failed:
        raise SigilError("; ".join(failed))
