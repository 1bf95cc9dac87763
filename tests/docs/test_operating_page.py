"""The operator's page and the page on paper: commands that cannot be run here are at least commands, with options that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from sigil_ext.db.migrate import load_migrations
from tests.acceptance.test_units import UNITS, parse

ROOT = Path(__file__).resolve().parents[2]
OPERATING = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
PAPER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\w*\n(.*?)```", OPERATING, re.DOTALL) + re.findall(r"(?:^    .*\n)+", OPERATING, re.MULTILINE)


def command_lines() -> list[str]:
    """Return every `sigil ...` of both pages that stands on a line of its own, after sudo, or in a unit or cron line."""
    found = []
    for line in (OPERATING + PAPER).splitlines():
        if match := re.search(
            r"(?:^\s*|sigil/\.venv/bin/|trial \.venv/bin/|\{ \.venv/bin/)sigil (?P<rest>[a-z].*)", line
        ):
            rest = re.split(r"\s{2,}|\s+#|\\n| >|'\$", match["rest"])[0]
            found.append(rest + (" baseline" if rest.endswith("--variant ") or rest.endswith("--variant") else ""))
    return sorted(set(found))


def typed(line: str) -> list[str]:
    """Return what a reader would type: names instead of V, $VARIANT, N, TIME."""
    values = {"V": "baseline", "$VARIANT": "baseline", "%%i": "baseline", "N": "21", "...": "x"}
    words = [values.get(word, word) for word in shlex.split(line)]
    return [str(ROOT / "README.md") if word.endswith("-TIME.tar") else word for word in words]


def test_the_pages_hold_commands() -> None:
    lines = command_lines()
    assert len(lines) > 25
    assert any(line.startswith("db restore") for line in lines)
    assert any(line.startswith("run paper") and "--feed redis" in line for line in lines)
    assert any(line.startswith("probe --variant") for line in lines)


@pytest.mark.parametrize("line", command_lines())
def test_a_command_of_the_page_exists_with_its_options(line: str) -> None:
    parse(typed(line))


def test_a_command_that_does_not_exist_would_be_seen() -> None:
    with pytest.raises(Exception, match="no-such"):
        parse(typed("db restore storage/backups/sigil-V-TIME.tar --variant V --no-such"))


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_shell(block: str) -> None:
    text = "\n".join(re.sub(r"^    ", "", line) for line in block.splitlines())
    done = subprocess.run(
        ["/bin/sh", "-n"], input=re.sub(r"\s{4,}.*$", "", text, flags=re.MULTILINE), text=True, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_unit_that_the_page_names_exists_and_the_newest_schema_is_on_the_way_back() -> None:
    names = {unit.stem.removesuffix("@") for unit in UNITS}
    for name in re.findall(r"\bsigil-(?:paper|probe|feed|database)\b", OPERATING):
        assert name in names
    newest = load_migrations(ROOT / "migrations")[-1].version
    assert f"\n| {newest - 1:03d} |" in OPERATING, "what the way back from the newest version loses is not told"
