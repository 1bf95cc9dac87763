"""What is registered is documented: the docs are the index that a newcomer reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sigil_ext.entrypoints.cli.main import COMMANDS
from sigil_ext.rules.breaker import BREAKER_TRIPS
from sigil_ext.rules.exits import EXIT_RULES
from sigil_ext.rules.guard import GUARD_CHECKS
from sigil_ext.rules.types import EXIT_REASONS, REFUSAL_REASONS
from sigil_ext.rules.universe import ACCEPTED, HELD, RANKED_OUT, UNIVERSE_FILTERS
from sigil_ext.settings.check import SETTINGS_WARNINGS
from sigil_ext.settings.overlays import KEY_PATHS, known_variants

ROOT = Path(__file__).resolve().parents[2]
RULES = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
VARIANTS = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    sorted({*EXIT_RULES, *EXIT_REASONS, *GUARD_CHECKS, *REFUSAL_REASONS, *UNIVERSE_FILTERS, *BREAKER_TRIPS,
            ACCEPTED, HELD, RANKED_OUT}),
)  # fmt: skip
def test_every_rule_and_reason_stands_in_the_page_on_rules(name):
    assert f"`{name}`" in RULES


@pytest.mark.parametrize("name", SETTINGS_WARNINGS)
def test_every_settings_warning_stands_in_the_page_on_variants(name):
    assert f"`{name}`" in VARIANTS


@pytest.mark.parametrize("name", known_variants())
def test_every_variant_stands_in_the_page_on_variants(name):
    assert name in VARIANTS


@pytest.mark.parametrize("path", KEY_PATHS)
def test_the_page_on_variants_shows_the_values_of_the_overlays(path):
    for name in ("baseline", "moderate", "aggressive", "unhinged"):
        document = yaml.safe_load((ROOT / "overlays" / f"{name}.yaml").read_text()) or {}
        section, _, leaf = path.partition(".")
        if leaf and leaf in (document.get(section) or {}):
            assert path in VARIANTS, f"{name} changes {path}"


def test_every_key_has_a_comment_in_the_base_overlay():
    lines = (ROOT / "overlays" / "base.yaml").read_text(encoding="utf-8").splitlines()
    for path in KEY_PATHS:
        leaf = path.rsplit(".", 1)[-1]
        section = path.split(".")[0]
        found = [line for line in lines if line.strip().startswith(f"{leaf}:")]
        assert found, path
        header = next((line for line in lines if line.startswith(f"{section}:")), "")
        neighbours = [lines[max(0, lines.index(line) - 1)] for line in found]
        assert any("#" in line for line in [*found, header, *neighbours]), f"{path} has no comment"


def test_every_command_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"sigil {name}" in readme, name
