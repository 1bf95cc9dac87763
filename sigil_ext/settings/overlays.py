"""Overlays: base.yaml, then <variant>.yaml, then --set, merged into `VariantSettings` with the origin of each value.

Start at `load_variant`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sigil_ext.errors import SettingsError, UnknownVariant, hint
from sigil_ext.settings.models import VariantSettings
from sigil_ext.settings.plain_yaml import PlainLoader, read_value
from sigil_ext.settings.project import Project, find_project

BASE = "base"
RESEARCH_ONLY = frozenset({"legacy"})
TRADED_VARIANTS = ("baseline", "moderate", "aggressive", "unhinged")


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant's name, its settings, and the file (or --set) that each key's value came from."""

    name: str
    settings: VariantSettings
    origins: Mapping[str, str]

    @property
    def research_only(self) -> bool:
        """True for controls such as `legacy`, which are never traded on paper."""
        return self.name in RESEARCH_ONLY


def known_variants(project: Project | None = None) -> list[str]:
    """Return the names of all overlays, the four traded ones first, others by name."""
    folder = (project or find_project()).overlays
    names = {p.stem for p in folder.glob("*.yaml")} - {BASE}
    return [v for v in TRADED_VARIANTS if v in names] + sorted(names - set(TRADED_VARIANTS))


def load_variant(name: str, overrides: Sequence[str] = (), project: Project | None = None) -> Variant:
    """Return the variant `name`, with `overrides` (`key.path=value`) on top.

    Raises:
        UnknownVariant: there is no overlays/<name>.yaml.
        SettingsError: a file is not YAML, a key is unknown, a value is refused; the message names key, value and file.
    """
    project = project or find_project()
    if name not in known_variants(project):
        raise UnknownVariant(name, known_variants(project))
    layers = [
        (f"overlays/{BASE}.yaml", _read(project.overlays / f"{BASE}.yaml")),
        (f"overlays/{name}.yaml", _read(project.overlays / f"{name}.yaml")),
    ]
    return merge(name, [*layers, *(("--set", parse_override(text)) for text in overrides)])


def merge(name: str, layers: Iterable[tuple[str, Mapping[str, Any]]]) -> Variant:
    """Return the variant made of `layers` (origin and flat key paths), later ones on top."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for path, value in layer.items():
            if path not in KEY_PATHS:
                raise SettingsError(_unknown(path, origin))
            _demand_kind(path, value, origin)
            values[path], origins[path] = value, origin
    try:
        settings = VariantSettings.model_validate(_nest(values))
    except ValidationError as error:
        raise SettingsError(_explain(error, values, origins)) from error
    return Variant(name, settings, origins)


def parse_override(text: str) -> dict[str, Any]:
    """Return the one key path of `--set key=value`, its value read as in an overlay."""
    path, sign, value = text.partition("=")
    if not sign or not path.strip():
        raise SettingsError(f"--set '{text}' is not key=value; example: --set hard_stop.multiplier=2.5")
    try:
        return {path.strip(): read_value(value)}
    except SettingsError as error:
        raise SettingsError(f"--set {path.strip()}: {error}") from None


def flatten(settings: VariantSettings) -> dict[str, Any]:
    """Return every key path of `settings` with its value as it would stand in an overlay."""
    return _flat(settings.model_dump(mode="json"))


def _unknown(path: str, origin: str) -> str:
    inside = [known for known in KEY_PATHS if known.startswith(f"{path}.")]
    if inside:
        return f"'{path}' in {origin} is a section, it has no value of its own; give a key in it, like {inside[0]}"
    return f"unknown key '{path}' in {origin}; {key_hint(path)}"


def _demand_kind(path: str, value: Any, origin: str) -> None:
    """Refuse what pydantic would quietly convert: a quoted number is a mistake, and so is yes for a number."""
    kind = KEY_KINDS[path]
    if kind is bool and not isinstance(value, bool):
        raise SettingsError(f"{path} = {value!r} ({origin}): must be true or false")
    if kind in (int, float) and isinstance(value, bool | str):
        plainly = ", written plainly like 2.5 or 1000" if isinstance(value, str) and _is_number(value) else ""
        raise SettingsError(f"{path} = {value!r} ({origin}): must be a valid number{plainly}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _OverlayLoader(PlainLoader):
    """YAML that names the line of a mistake and refuses a key given twice, where the last one would win silently."""

    def unclear(self, text: str, node: yaml.ScalarNode) -> SettingsError:
        return SettingsError(f"line {node.start_mark.line + 1}: {super().unclear(text, node)}")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise SettingsError(f"key '{key}' is given twice (line {key_node.start_mark.line + 1})")
            seen.add(key)
        return found


def _read(path: Path) -> dict[str, Any]:
    name = f"overlays/{path.name}"
    try:
        return _values(name, yaml.load(path.read_text(encoding="utf-8"), Loader=_OverlayLoader))
    except FileNotFoundError:
        raise SettingsError(f"{name} is missing; restore it from the project") from None
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except RecursionError:
        raise SettingsError(f"{name} is nested without an end; a YAML alias (*) there names what holds it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} is not YAML: {_one_line(error)}") from error
    except SettingsError as error:
        raise SettingsError(f"{name}: {str(error).removeprefix(f'{name} ')}") from None


def _values(name: str, document: Any) -> dict[str, Any]:
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(f"{name} must hold keys and values, found {type(document).__name__}")
    return _flat(document)


def _flat(document: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}{key}"
        found = _flat(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
        for twice in found.keys() & flat.keys():  # a.b: 1 beside a: {b: 2}
            raise SettingsError(f"key '{twice}' is given twice")
        flat |= found
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return nested


def key_hint(path: str) -> str:
    """Return the way out for an unknown key path: the key of the same name elsewhere, else the nearest ones."""
    leaf = path.rsplit(".", 1)[-1]
    same_leaf = [known for known in KEY_PATHS if known.rsplit(".", 1)[-1] == leaf]
    return f"did you mean '{same_leaf[0]}'?" if same_leaf else hint(path, KEY_PATHS)


def _explain(error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    sentences = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"] if part != "function-before[parse_duration(), timedelta]")
        message = problem["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        if path in values:
            sentences.append(f"{path} = {values[path]!r} ({origins[path]}): {message}")
        elif problem["type"] == "missing":
            sentences.append(f"{path} has no value; overlays/{BASE}.yaml must hold every key")
        else:
            named = sorted({origins[p] for p in values if p in message and origins[p] != f"overlays/{BASE}.yaml"})
            sentences.append(message + (f" (see {', '.join(named)})" if named else ""))
    return "; ".join(sentences)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _kinds(model: type[Any], prefix: str = "") -> dict[str, Any]:
    kinds: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            kinds |= _kinds(inner, f"{prefix}{key}.")
        else:
            kinds[f"{prefix}{key}"] = inner
    return kinds


KEY_KINDS: Mapping[str, Any] = _kinds(VariantSettings)
KEY_PATHS: tuple[str, ...] = tuple(KEY_KINDS)
