"""Where results go: a full disk, a closed stdout, an encoding without the letter, a file that is no plain file.

Never on the machine's own devices by their names in /dev but /dev/full on stdout: what is to be replaced or not is made here.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sigil_ext.errors import UsageError
from sigil_ext.settings.files import demand_writable, write_whole

ROOT = Path(__file__).resolve().parents[2]
SHOW = "config show --variant baseline"


def sigil(line: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = f"exec {sys.executable} -m sigil_ext.entrypoints.cli.main {line} {redirect}"
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONUNBUFFERED", "PYTHONIOENCODING", "LC_ALL", "LANG")
    }
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=inherited | environment, capture_output=True, text=True, timeout=120,
        errors="surrogateescape",
    )  # fmt: skip


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("line", [f"{SHOW} --json", SHOW, "config check", "--help"])
def test_a_full_disk_is_an_error_and_one_sentence(line, environment):
    ran = sigil(line, "> /dev/full", **environment)
    assert ran.returncode == 1, ran
    assert ran.stderr == "error: cannot print the result, it is cut short or missing: no space left on device\n"


def test_a_result_that_fits_in_part_is_an_error_without_a_buffer_too(tmp_path):
    limit = "ulimit -f 1; trap '' XFSZ;"  # the file may grow to 1024 bytes
    command = f"{limit} exec {sys.executable} -m sigil_ext.entrypoints.cli.main {SHOW} --json > {tmp_path / 'out'}"
    ran = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, capture_output=True, text=True
    )
    assert (tmp_path / "out").stat().st_size == 1024
    assert ran.returncode == 1, ran
    assert ran.stderr == "error: cannot print the result, it is cut short or missing: file too large\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&-"])
def test_a_closed_stream_is_nobody_listening(closed):
    ran = sigil(SHOW, closed)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    ran = sigil(SHOW, "| head -1")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_letters_that_the_encoding_lacks_are_no_traceback():
    told = sigil("config show --variant fräulein", PYTHONIOENCODING="ascii")
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "known: aggressive, baseline" in told.stderr
    assert json.loads(sigil(f"{SHOW} --json", PYTHONIOENCODING="ascii").stdout)["variant"] == "baseline"
    assert sigil(SHOW, PYTHONIOENCODING="ascii").returncode == 0


def test_a_locale_without_letters_is_refused_with_the_way_out():
    ran = sigil(SHOW, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: this locale knows ASCII only; set LC_ALL=C.UTF-8 and call again\n"


def test_a_file_is_replaced_in_one_step_and_keeps_its_mode(tmp_path):
    page = tmp_path / "new" / "page.html"
    write_whole(page, "old", "the page")
    page.chmod(0o640)
    write_whole(page, "new", "the page")
    assert (page.read_text(), stat.S_IMODE(page.stat().st_mode)) == ("new", 0o640)
    assert os.listdir(page.parent) == ["page.html"]


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "pages").mkdir()
    link = tmp_path / "link.html"
    for target in (tmp_path / "pages" / "there.html", tmp_path / "pages" / "dangling.html"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        demand_writable(link, "the page")
        write_whole(link, "whole", "the page")
        assert link.is_symlink()
        assert target.read_text() == "whole"


def test_a_pipe_and_a_device_are_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    demand_writable(pipe, "the page")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "through", "the page")
    reader.join()
    assert heard == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_full_device_is_an_error_and_stays_what_it_is(tmp_path):
    device = tmp_path / "full"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        device.open("w").close()
    except PermissionError:
        pytest.skip("devices can be made and opened by root only, and not everywhere")
    demand_writable(device, "the page")
    with pytest.raises(UsageError, match="No space left on device"):
        write_whole(device, "x" * 10_000, "the page")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert os.listdir(tmp_path) == ["full"]


@pytest.mark.parametrize("name", ["", ".", "folder", "file/page.html", "loop", "n" * 300])
def test_where_no_file_can_be_is_one_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    for attempt in (demand_writable, lambda path, what: write_whole(path, "text", what)):
        with pytest.raises(UsageError, match=r"^cannot write the page to .*; name another file$"):
            attempt(Path(name), "the page")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "line",
    ["backtest --variant baseline --candles sample --html ''", "run paper --variant baseline --candles sample --json ''",
     "run paper --all --candles sample --json pyproject.toml/trades.json"],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_refused_before_anything_starts(line, tmp_path):
    ran = sigil(line, SIGIL_DATABASE_URL="postgresql://nobody:x@127.0.0.1:9")
    assert (ran.returncode, ran.stdout) == (2, ""), ran
    assert ran.stderr.startswith("error: cannot write the "), ran.stderr
    assert ran.stderr.count("\n") == 1
