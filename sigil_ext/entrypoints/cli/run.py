"""`sigil run`: Jesse's own `run`, with the database started first."""

from __future__ import annotations

import rich_click as click

from sigil_ext.entrypoints.cli.paper import paper

_START = "import sys; from sigil_ext.entrypoints.panel.server import beside_jesse; beside_jesse(sys.argv[1:])"


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
    click.echo(f"Sigil's panel: {dashboard.url}/sigil/")
    become_jesse(dashboard, _START, skip_lsp=not lsp, skip_agent_rules=not agent_rules)


run.add_command(paper)
