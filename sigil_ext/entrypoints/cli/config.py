"""`sigil config show | check`: what a variant is made of, and what is probably not meant."""

from __future__ import annotations

import rich_click as click
from rich.console import Console
from rich.table import Table

from sigil_ext.entrypoints.cli.options import json_option, print_json, set_option, variant_option
from sigil_ext.errors import SettingsError
from sigil_ext.settings.check import warnings_of
from sigil_ext.settings.environment import load_environment
from sigil_ext.settings.overlays import flatten, known_variants, load_variant
from sigil_ext.settings.project import find_project


@click.group()
def config() -> None:
    """Show and check the settings of variants."""


@config.command()
@variant_option(required=True)
@set_option()
@json_option()
def show(variant: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print every setting of a variant with the file it came from."""
    load_environment(find_project())
    loaded = load_variant(variant, overrides)
    values = flatten(loaded.settings)
    if as_json:
        print_json({"variant": variant, "config": values, "origins": dict(loaded.origins)})
        return
    table = Table("key", "value", "from", title=f"variant {variant}", title_justify="left")
    for path, value in values.items():
        origin = loaded.origins[path]
        table.add_row(path, _text(value), origin, style="" if origin.endswith("/base.yaml") else "bold")
    Console().print(table)


@config.command()
@variant_option(multiple=True)
@set_option()
@json_option()
def check(variants: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> None:
    """Check `.env` and all overlays, or the named ones: refuse what is wrong, warn of what is probably not meant."""
    load_environment(find_project())
    found: dict[str, dict[str, list[str]]] = {}
    for name in variants or known_variants():
        try:
            found[name] = {"errors": [], "warnings": warnings_of(load_variant(name, overrides).settings)}
        except SettingsError as error:
            found[name] = {"errors": [str(error)], "warnings": []}
    if as_json:
        print_json(found)
    else:
        for name, sentences in found.items():
            click.echo(f"{name}: {'refused' if sentences['errors'] else 'fine'}")
            for kind in ("errors", "warnings"):
                for sentence in sentences[kind]:
                    click.echo(f"  {kind[:-1]}: {sentence}")
    if any(sentences["errors"] for sentences in found.values()):
        raise SystemExit(2)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
