"""Temporary folders: gone at the end, and those of a killed process gone when the next one is made."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sigil_ext.settings.temporary import temporary_folder

HOLDER = """
import sys
from sigil_ext.settings.temporary import temporary_folder
with temporary_folder("candles") as folder:
    (folder / "TST-USDT.npy").write_bytes(b"candles")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # the place is asked for anew
    return tmp_path


def held() -> tuple[subprocess.Popen[str], Path]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    return holder, Path(holder.stdout.readline().strip())


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


def test_the_folder_is_there_for_its_time_only(place: Path) -> None:
    with temporary_folder("candles") as folder:
        (folder / "file").write_text("x")
        assert folder.parent == place
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_by_the_next_folder_and_what_is_in_use_stays(place: Path) -> None:
    killed, left = held()
    running, used = held()
    try:
        end(killed)
        assert left.is_dir()
        with temporary_folder("audit"):
            assert not left.exists()
            assert (used / "TST-USDT.npy").read_bytes() == b"candles"
    finally:
        end(running)


def test_folders_of_others_and_links_are_left_alone(place: Path) -> None:
    elsewhere = place / "elsewhere"
    for name in ("elsewhere", "sigil-candles-unlocked", "other-candles-1"):
        (place / name).mkdir()
    (elsewhere / ".in-use").touch()
    (place / "other-candles-1" / ".in-use").touch()
    (place / "sigil-candles-link").symlink_to(elsewhere)
    with temporary_folder("candles"):
        pass
    assert sorted(p.name for p in place.iterdir()) == [
        "elsewhere", "other-candles-1", "sigil-candles-link", "sigil-candles-unlocked",
    ]  # fmt: skip
    assert (elsewhere / ".in-use").exists()


REMOVED = """
import sys
from pathlib import Path
from sigil_ext.settings.temporary import temporary_folder
with temporary_folder("candles") as folder:
    for name in ("a", "b", "z"):
        (folder / name).write_bytes(b"candles")
    (folder / "more").mkdir()
    (folder / "more" / "c").write_bytes(b"candles")
    sys.addaudithook(lambda event, args: print(Path(args[0]).name) if event == "os.remove" else None)
"""


def test_the_lock_file_goes_last_so_that_a_process_killed_while_it_tidies_leaves_no_unknown_folder(place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", REMOVED], capture_output=True, text=True, check=True)
    *files, last = done.stdout.split()
    assert sorted(files) == ["a", "b", "c", "z"]
    assert last == ".in-use"
    assert list(place.iterdir()) == []
