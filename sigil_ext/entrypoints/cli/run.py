"""`sigil run`: Jesse's own `run`, with the database started first."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from sigil_ext.entrypoints.cli.options import one_bar, set_option, variant_option
from sigil_ext.errors import SigilError
from sigil_ext.settings.overlays import load_variant


@click.group(invoke_without_command=True)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1, or APP_HOST in .env]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port.  [default: 9000, or APP_PORT in .env]")
@click.option("--lsp/--skip-lsp", default=False, help="Jesse's language server for its editor (downloads it).")
@click.option(
    "--agent-rules/--skip-agent-rules", default=False, help="Let Jesse write its assistant rules into the project."
)
@click.pass_context
def run(ctx: click.Context, host: str | None, port: int | None, lsp: bool, agent_rules: bool) -> None:
    """Open Jesse's dashboard in the browser: candles, backtests and the variants' strategies."""
    if ctx.invoked_subcommand is not None:
        return
    from sigil_ext.services.dashboard import become_jesse, prepare
    from sigil_ext.settings.environment import environment_warnings
    from sigil_ext.settings.project import find_project

    project = find_project()
    for warning in environment_warnings(project):
        click.echo(f"warning: {warning}", err=True)
    dashboard = prepare(project, host, port)
    click.echo(f"Jesse's dashboard: {dashboard.url} (password: {dashboard.password_from}); Ctrl-C stops it")
    become_jesse(dashboard, skip_lsp=not lsp, skip_agent_rules=not agent_rules)


@run.command()
@variant_option(required=True)
@click.option(
    "--candles", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of candle files to replay."
)
@click.option(
    "--feed",
    type=click.Choice(["replay", "exchange", "redis"]),
    default="replay",
    show_default=True,
    help="Where minutes come from.",
)
@click.option("--start", metavar="DATE", help="First instant of a new session, UTC.")
@click.option("--finish", metavar="DATE", help="Instant after the last one, UTC.")
@click.option(
    "--until-end/--keep-open",
    default=True,
    show_default=True,
    help="When the candles end: close what is open and end the session, or keep it.",
)
@click.option("--restart", is_flag=True, help="End a session that was broken off, and begin a new one.")
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the trades, with the keys of the backtest.",
)
@set_option()
def paper(
    variant: str, candles: Path, feed: str, start: str | None, finish: str | None, until_end: bool, restart: bool,
    json_file: Path | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Trade a variant on paper: every minute in its database, equal to the backtest, continued after a crash.

    Only --feed replay is built so far: recorded candles, at full speed.
    """
    if feed != "replay":
        raise SigilError(f"--feed {feed} is not built yet; --feed replay runs on recorded candles")
    from sigil_ext.research.backtest_report import trade_row
    from sigil_ext.services.backtest import parse_instant
    from sigil_ext.services.paper import PaperRequest, run_paper

    with one_bar(variant) as bar:
        report = run_paper(
            PaperRequest(
                load_variant(variant, overrides),
                feed="replay",
                candles=candles.resolve(),
                start_ms=parse_instant(start, "--start") if start else None,
                finish_ms=parse_instant(finish, "--finish") if finish else None,
                restart=restart,
                until_end=until_end,
            ),
            progress=lambda session, share: bar(share or 0.0),
        )
    if json_file is not None:
        document = {"variant": variant, "trades": [trade_row(trade) for trade in report.trades]}
        json_file.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    ending = "ended" if report.finished else "stopped, continues with the same command"
    click.echo(
        f"{variant}: {len(report.trades)} trades, balance {report.balance:.2f} USD; {report.rebuilt} minutes recovered, "
        f"{report.processed} processed; {ending}"
    )
