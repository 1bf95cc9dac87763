"""Whether the installed Jesse is the one that the bridge was written against. Reads its files, imports nothing of it.

Start at `jesse_contract`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from sigil_ext.bridge.replay import PRIVATE_FUNCTIONS

WRITTEN_AGAINST = "3.5.3"


@dataclass(frozen=True, slots=True)
class JesseContract:
    """The installed version (None: none), and the private functions that are not as the bridge expects them."""

    version: str | None
    changed: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """True when nothing that the bridge calls or mirrors has changed."""
        return self.version == WRITTEN_AGAINST and not self.changed


def jesse_contract() -> JesseContract:
    """Return how the installed Jesse compares with the one that the bridge was written against."""
    try:
        version = importlib.metadata.version("jesse")
    except importlib.metadata.PackageNotFoundError:
        return JesseContract(None, ())
    found = importlib.util.find_spec("jesse")
    if found is None or not found.submodule_search_locations:
        return JesseContract(None, ())
    root = Path(found.submodule_search_locations[0]).parent
    changed = tuple(name for name, expected in PRIVATE_FUNCTIONS.items() if _fingerprint(root, name) != expected)
    return JesseContract(version, changed)


def _fingerprint(root: Path, name: str) -> str | None:
    """Return the fingerprint of `module:function` from its file, as `replay.fingerprint` has it of the function itself."""
    module, _, function = name.partition(":")
    path = root.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            lines = text.splitlines(keepends=True)[first - 1 : node.end_lineno]
            return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
    return None
