"""`sigil panel`: the panel and its API on a host without Jesse's dashboard."""

from __future__ import annotations

import rich_click as click


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1, or APP_HOST in .env]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port.  [default: 9000, or APP_PORT in .env]")
def panel(host: str | None, port: int | None) -> None:
    """Serve the panel and the API alone; `sigil run` serves them beside Jesse's dashboard."""
    from sigil_ext.entrypoints.panel.server import serve
    from sigil_ext.services.dashboard import demand_free_port, password_of
    from sigil_ext.settings.environment import environment_warnings, load_environment
    from sigil_ext.settings.project import find_project

    project = find_project()
    for warning in environment_warnings(project):
        click.echo(f"warning: {warning}", err=True)
    environment = load_environment(project)
    bind, at = host or environment.app_host, port or environment.app_port
    demand_free_port(bind, at)
    shown = f"[{bind}]" if ":" in bind else bind
    click.echo(f"Sigil's panel: http://{shown}:{at}/sigil/ (password: {password_of(project)[1]}); Ctrl-C stops it")
    serve(project, bind, at)
