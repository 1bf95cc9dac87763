"""The systemd units and the cron line under scripts/: what systemd says of them, and that what they start exists."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from sigil_ext.db.connection import Database
from sigil_ext.db.heartbeat import Heartbeat
from sigil_ext.entrypoints.cli.main import cli
from sigil_ext.settings.overlays import TRADED_VARIANTS
from sigil_ext.settings.project import Project

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "scripts" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
CRON = ROOT / "scripts" / "sigil-probe.cron"
PLACE = "/opt/sigil"


def read(unit: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit.read_text())
    return parsed


def commands(unit: Path) -> list[list[str]]:
    service = read(unit)["Service"]
    return [shlex.split(service[key]) for key in ("ExecStart", "ExecStop") if key in service]


def parse(arguments: list[str]) -> None:
    """Let click parse a command line, values and all, without running it."""
    command: click.Command = cli
    context = click.Context(cli, info_name="sigil")
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, list(arguments))
        assert found is not None
        command = found
        if not isinstance(command, click.Group):
            command.make_context(name, list(arguments), parent=context)
        context = click.Context(command, info_name=name, parent=context)


def install(target: Path, place: Path) -> list[Path]:
    """Run the loop of docs/liveness.md that installs the units, in the checkout `place`, into `target`."""
    page = (ROOT / "docs" / "liveness.md").read_text()
    (loop,) = re.findall(r"^for unit in .*?^done$", page, re.DOTALL | re.MULTILINE)
    here = loop.replace(
        '| sudo tee "/etc/systemd/system/$(basename "$unit")" >/dev/null', f'> "{target}/$(basename "$unit")"'
    )
    assert here != loop
    (place / "scripts").symlink_to(ROOT / "scripts")
    subprocess.run(["/bin/sh", "-c", here], cwd=place, check=True, env={**os.environ, "PWD": str(place)})
    copies = [target / unit.name for unit in UNITS]
    for copy in copies:
        assert PLACE not in copy.read_text()
        assert "=sigil\n" not in copy.read_text()
    return copies


def make_installation(root: Path) -> Path:
    """Make `root` a checkout with its own .venv/bin/sigil."""
    (root / ".venv" / "bin").mkdir(parents=True)
    program = root / ".venv" / "bin" / "sigil"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m sigil_ext "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here; the tests below read the units")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    make_installation(tmp_path / "place")
    copies = install(tmp_path, tmp_path / "place")
    done = subprocess.run(["systemd-analyze", "verify", *map(str, copies)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    broken = tmp_path / "sigil-probe.service"
    broken.write_text(broken.read_text().replace("ExecStart=", "ExecStrt="))
    done = subprocess.run(["systemd-analyze", "verify", str(broken)], capture_output=True, text=True)
    assert "ExecStrt" in done.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_exists_with_options_that_exist(unit: Path) -> None:
    for program, *arguments in commands(unit):
        assert program == f"{PLACE}/.venv/bin/sigil"
        parse([a.replace("%i", "baseline") for a in arguments])


def test_an_option_that_does_not_exist_would_be_seen() -> None:
    with pytest.raises(click.UsageError, match="--alll"):
        parse(["probe", "--alll"])
    with pytest.raises(click.UsageError, match="smoke"):
        parse(["run", "paper", "--variant", "baseline", "--feed", "smoke"])


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_runs_as_nobody_special_and_writes_only_to_storage(unit: Path) -> None:
    service = read(unit)["Service"]
    assert service["User"] == "sigil"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == f"{PLACE}/storage"
    assert service["CapabilityBoundingSet"] == ""
    assert service["WorkingDirectory"] == PLACE


def test_the_session_is_a_template_of_the_variant_that_starts_again_after_a_crash() -> None:
    unit = next(u for u in UNITS if u.name == "sigil-paper@.service")
    service = read(unit)["Service"]
    assert "%i" in service["ExecStart"]
    assert service["Restart"] == "on-failure"
    assert "WatchdogSec" not in service
    for variant in TRADED_VARIANTS:
        parse([a.replace("%i", variant) for a in commands(unit)[0][1:]])


def test_the_timer_starts_the_probe_every_five_minutes() -> None:
    timer = next(u for u in UNITS if u.suffix == ".timer")
    assert timer.with_suffix(".service") in UNITS
    assert read(timer)["Timer"]["OnCalendar"] == "*:0/5"


def test_the_cron_line_runs_the_probe_and_speaks_only_while_something_is_wrong(
    empty_project: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_installation(empty_project.root)
    empty_project.storage.mkdir()
    (line,) = (text for text in CRON.read_text().splitlines() if text and not text.startswith("#"))
    *schedule, user, command = line.split(None, 6)
    assert (schedule, user) == (["*/5", "*", "*", "*", "*"], "sigil")
    # One variant in the test: three are not what it is about.
    command = command.replace(PLACE, str(empty_project.root)).replace("--all", "--variant baseline")
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", database.address.url().get_secret_value())
    heart = Heartbeat(database)
    heart.scan_started()
    heart.scan_ended()
    heart.progress(int(time.time() * 1000) - 60_000, session_id=1, feed="exchange")
    well = run_as_cron(command)
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    with database.transaction() as cur:
        cur.execute("DELETE FROM scanner_heartbeat")
    ill = run_as_cron(command)
    assert "baseline: no heartbeat at all" in ill.stdout
    assert (empty_project.storage / "probe" / "last.json").exists()


def run_as_cron(command: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k.startswith("SIGIL_DATABASE_URL")}
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "SHELL": "/bin/sh", **kept}
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, env=environment, timeout=120)
