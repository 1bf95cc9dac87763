"""Options that several commands share, and the console for people (stderr carries progress, stdout results)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click
from rich.console import Console
from rich.text import Text

from sigil_ext.entrypoints.cli.streams import is_utf8, shown

F = TypeVar("F", bound=Callable[..., Any])


def variant_option(required: bool = False, default: str | None = None, multiple: bool = False) -> Callable[[F], F]:
    """`--variant V`, repeatable with `multiple`."""
    return click.option(
        "--variant",
        "variants" if multiple else "variant",
        multiple=multiple,
        required=required,
        default=() if multiple else default,
        show_default=default is not None,
        metavar="NAME",
        help="A variant: the name of a file in overlays/." + (" Repeatable." if multiple else ""),
    )


def set_option() -> Callable[[F], F]:
    """`--set key.path=value`, repeatable; on every command that reads a variant."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one setting, like hard_stop.multiplier=2.5. Repeatable.",
    )


def json_option() -> Callable[[F], F]:
    """`--json`: the result as JSON on stdout and nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


class _PlainConsole(Console):
    """Prints text as it is: brackets are no markup, colons no emoji, and control characters are escaped."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(shown(text), **options | {"markup": False, "emoji": False})


def wide_console() -> Console:
    """Return the console for tables: as wide as the terminal, 110 columns into a file or pipe, which have no width."""
    console = _PlainConsole()
    return console if console.is_terminal else _PlainConsole(width=110)


def print_json(document: Any) -> None:
    """Print `document` as JSON; NaN and infinity are refused, because JSON has no word for them."""
    click.echo(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=not is_utf8(sys.stdout)))


def json_text(document: Any) -> str:
    """Return `document` as the text of a JSON file."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
