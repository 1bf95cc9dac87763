"""Files and folders of a project that cannot be read, or are not what they should be: one sentence, no traceback.

As root these commands run without root's power to read everything, which `setpriv` takes from them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POWERLESS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
may_be_locked_out = pytest.mark.skipif(
    bool(POWERLESS) and shutil.which("setpriv") is None, reason="root reads everything, and setpriv is not here"
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project of its own, so that files in it can be spoiled; readable again when the test is over."""
    for folder in ("overlays", "migrations", "strategies"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for folder in ("storage", "sample"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "sample" / "TSTUSDT-1m.parquet", tmp_path / "sample")
    yield tmp_path
    for folder, _, _ in os.walk(tmp_path):
        os.chmod(folder, 0o755)
        for name in os.listdir(folder):
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755)


def sigil(project: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*POWERLESS, sys.executable, "-m", "sigil_ext.entrypoints.cli.main", *line.split()], cwd=project,
        env=os.environ | {"SIGIL_HOME": str(project), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def locked(path: str, mode: int = 0o000) -> Callable[[Path], None]:
    return lambda project: (project / path).chmod(mode)


def locked_cluster(project: Path) -> None:
    (project / "storage" / "postgres").mkdir(mode=0o000)


LOCKED: dict[str, tuple[Callable[[Path], None], str, int, str]] = {
    # name -> (what is done to the project, command, exit status, words of the sentence)
    "an overlay": (locked("overlays/moderate.yaml"), "config show --variant moderate", 2, "overlays/moderate.yaml cannot be read: permission denied"),
    "an overlay, for a backtest": (locked("overlays/moderate.yaml"), "backtest --candles sample", 2, "overlays/moderate.yaml cannot be read"),
    "the overlays": (locked("overlays"), "config check", 1, "overlays/base.yaml: permission denied"),
    "the overlays, names to be seen": (locked("overlays", 0o444), "config check", 1, "overlays/base.yaml: permission denied"),
    "a migration": (locked("migrations/015_protection_history.up.sql"), "migrate status --variant baseline", 1, "015_protection_history.up.sql: permission denied"),
    "the migrations": (locked("migrations"), "migrate status --variant baseline", 1, "migrations: permission denied"),
    "the storage": (locked("storage"), "db status", 1, "storage/postgres/data: Permission denied"),
    "the storage, for a list": (locked("storage"), "protections list", 1, "ermission denied"),
    "the storage, for the probe": (locked("storage"), "probe", 5, "the probe cannot use"),
    "the cluster": (locked_cluster, "db status", 1, "storage/postgres/data: Permission denied"),
    "the cluster, to be started": (locked_cluster, "db start", 1, "storage/postgres/data: Permission denied"),
    "the candles": (locked("sample"), "candles list sample", 2, "'sample' is not readable"),
    "the candles, names to be seen": (locked("sample", 0o444), "candles check sample", 2, "sample cannot be read: permission denied"),
    "the candles, for a backtest": (locked("sample", 0o444), "backtest --candles sample", 2, "sample cannot be read: permission denied"),
}  # fmt: skip


@may_be_locked_out
@pytest.mark.parametrize("name", LOCKED)
def test_what_may_not_be_read_is_one_sentence(name, project):
    spoil, line, status, words = LOCKED[name]
    spoil(project)
    ran = sigil(project, line)
    assert (ran.returncode, ran.stdout) == (status, ""), ran
    assert ran.stderr.startswith("error: ")
    assert words in ran.stderr, ran.stderr
    assert ran.stderr.count("\n") == 1


@may_be_locked_out
def test_the_doctor_says_which_line_cannot_be_looked_at(project):
    locked_cluster(project)
    ran = sigil(project, "doctor --offline")
    assert "Traceback" not in ran.stderr
    assert "settings of baseline" in ran.stdout, ran
    assert "ermission denied" in ran.stdout


def folder_for_overlay(project: Path) -> None:
    (project / "overlays" / "moderate.yaml").unlink()
    (project / "overlays" / "moderate.yaml").mkdir()


def overlay(text: str) -> Callable[[Path], None]:
    def write(project: Path) -> None:
        (project / "overlays" / "moderate.yaml").write_text(text)

    return write


def env_link(project: Path) -> None:
    (project / ".env").symlink_to("gone")


def env_text(text: str) -> Callable[[Path], None]:
    def write(project: Path) -> None:
        (project / ".env").write_text(text)

    return write


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "an overlay that is a folder": (folder_for_overlay, "overlays/moderate.yaml cannot be read: is a directory"),
    "an overlay that holds itself": (overlay("entry: &a\n  rsi_min: *a\n"), "overlays/moderate.yaml is nested without an end"),
    "an overlay of brackets": (overlay("[" * 5000), "overlays/moderate.yaml is nested without an end"),
    "an .env that is a folder": (lambda project: (project / ".env").mkdir(), ".env is a folder"),
    "an .env that leads nowhere": (env_link, ".env leads to gone, which is not there"),
    "a mode that is not paper": (env_text("SIGIL_MODE=live\n"), "SIGIL_MODE: is 'live', but Sigil trades on paper only"),
    "a misspelt key in .env": (env_text("SIGIL_DATABSE_URL=x\n"), "unknown key 'SIGIL_DATABSE_URL'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "line",
    ["config show --variant moderate", "config check", "backtest --variant moderate --candles sample", "db status"],
)
def test_what_is_not_what_it_should_be_is_refused_by_all_that_read_it(name, line, tmp_path, sigil_here):
    spoil, words = ODD[name]
    for folder in ("overlays", "migrations", "strategies"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "storage").mkdir()
    (tmp_path / "sample").symlink_to(ROOT / "sample")
    spoil(tmp_path)
    ran = sigil_here(tmp_path, line)
    if "overlay" in name and line == "db status":
        assert "Traceback" not in ran.err
        return
    assert ran.status == 2, ran
    assert words in ran.out + ran.err
    assert "Traceback" not in ran.err
    if "overlay" in name and line == "config check":
        assert "baseline: fine" in ran.out


@pytest.fixture
def sigil_here(sigil, monkeypatch):
    def run(project: Path, line: str):
        monkeypatch.setenv("SIGIL_HOME", str(project))
        monkeypatch.chdir(project)
        return sigil(*line.split())

    return run
