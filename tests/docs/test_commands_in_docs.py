"""Every command that README and docs show is run, in a project of its own, and must end well."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from sigil_ext.db import embedded
from sigil_ext.settings.project import Project

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))

# Commands that another test runs, or that stand for the reader's own files.
ELSEWHERE = {
    "sigil run": "tests/integration/test_dashboard.py",
    "sigil panel": "tests/acceptance/test_panel_server.py",
    "sigil gate --variant V": "test_verdict_commands.py",  # not yet is exit status 1
    "sigil backtest --strategy my_module:MyStrategy --timeframe 15m --symbols TST-USDT --candles sample": "test_strategies_of_users.py",
    "sigil run paper --strategy my_module:MyStrategy --timeframe 15m --data-timeframe 1h --symbols TST-USDT,NFP-USDT --candles sample": "test_paper_strategies.py",
}


def commands_of(page: Path) -> list[str]:
    """Return the lines of the code blocks of `page` that are sigil commands, without what explains them."""
    blocks = re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [re.split(r"\s{2,}|\s+#", line)[0] for line in lines if line.startswith("sigil ")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    home = tmp_path_factory.mktemp("reader")
    for name in ("overlays", "migrations", "strategies", "sample", "scripts", "pools"):
        shutil.copytree(ROOT / name, home / name)
    (home / "storage").mkdir()
    yield home
    run(home, "sigil db stop")
    run(home, "sigil feed server stop")
    demo = home / "storage" / "demo" / "project"
    subprocess.run([sys.executable, str(home / "scripts" / "demo.py"), "stop"], cwd=home, check=False)
    if demo.exists():
        embedded.stop(Project(demo, demo / "storage"))


def run(home: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SIGIL_"))}
    return subprocess.run(
        [sys.executable, "-m", "sigil_ext", *shlex.split(command)[1:]],
        cwd=home, env=environment, capture_output=True, text=True, timeout=560,
    )  # fmt: skip


README_COMMANDS = [c for c in commands_of(README) if c not in ELSEWHERE]
# The pages speak of a reader's folder as DIR; what names other things of the reader's (N, V, [options]) cannot be run.
PAGE_COMMANDS = sorted(
    {c.replace("DIR", "sample") for page in PAGES for c in commands_of(page)} - set(README_COMMANDS) - set(ELSEWHERE)
)
PAGE_COMMANDS = [c for c in PAGE_COMMANDS if not re.search(r"\b[A-Z]+\b(?!-)|[\[|<]", c)]


def test_readme_shows_commands_and_the_two_that_matter_stand_first():
    text = README.read_text(encoding="utf-8")
    assert len(README_COMMANDS) >= 8
    assert text.index("make demo") < text.index("make test") < text.index("sigil ")


@pytest.mark.slow
@pytest.mark.parametrize("command", [*README_COMMANDS, *PAGE_COMMANDS])
def test_a_command_of_readme_and_pages_ends_well(command, project):
    done = run(project, command)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_demo_prints_the_table_and_shows_where_the_page_is(project):
    done = subprocess.run(
        [sys.executable, str(project / "scripts" / "demo.py")], cwd=project, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stderr
    for name in ("backtest.html", "grid.html"):
        page = project / "storage" / "demo" / name
        assert page.is_file()
        assert str(page) in done.stdout
    (address,) = set(re.findall(r"http://127\.0\.0\.1:\d+/sigil/", done.stdout))
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert "Sigil" in answer.read().decode()
    sessions = Path("/proc") / (project / "storage" / "demo" / "paper.pid").read_text().strip()
    assert b"paper" in (sessions / "cmdline").read_bytes()  # the market's last day goes on while people look
    subprocess.run([sys.executable, str(project / "scripts" / "demo.py"), "stop"], cwd=project, check=True)
    assert not sessions.exists() or not (sessions / "cmdline").read_bytes()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=30)
    for variant in ("baseline", "moderate", "aggressive", "unhinged", "legacy"):
        assert variant in done.stdout
    said = r"^(\w+): (\d+) trades, (?:(\d+) open, )?equity .*; stopped, continues with the same command$"
    paper = {v: int(ended) + int(held or 0) for v, ended, held in re.findall(said, done.stdout, re.MULTILINE)}
    assert set(paper) == {"baseline", "moderate", "aggressive", "unhinged"}
    for variant, trades in paper.items():
        row = next(line for line in done.stdout.splitlines() if line.startswith(f"│ {variant} "))
        matched, *differing = (int(cell) for cell in re.findall(r"│ (\d+) +(?=│)", row)[1:])
        assert (matched, differing) == (trades, [0, 0, 0, 0]), row


def test_every_link_in_readme_and_docs_leads_somewhere():
    for page in (README, ROOT / "CHANGELOG.md", *PAGES):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_named_anywhere_exists():
    from sigil_ext.entrypoints.cli.main import COMMANDS

    for page in (README, *PAGES):
        for word in re.findall(r"`sigil ([a-z]+)", page.read_text(encoding="utf-8")):
            assert word in COMMANDS, f"{page.name}: sigil {word}"
