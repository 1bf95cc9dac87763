"""What a supervisor makes of the lines that a session's process writes, and of one that does not end."""

from __future__ import annotations

import asyncio
import signal

from sigil_ext.services.supervisor import Child, _end, _hear


def heard(*lines: bytes) -> tuple[Child, int]:
    """Return the child after its process wrote `lines` and ended, and how often progress was told."""
    child, told = Child("baseline"), []

    async def hear() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(b"".join(lines))
        stream.feed_eof()
        await _hear(stream, child, told.append)

    asyncio.run(hear())
    return child, len(told)


def test_a_line_that_something_printed_is_passed_on_and_the_next_is_heard(capsys):
    child, told = heard(b"hello from a strategy\n", b"[1, 2]\n", b"\xff\n", b'{"event": "minute", "share": 0.5}\n')
    assert (child.share, told) == (0.5, 1)
    assert capsys.readouterr().err == "baseline: hello from a strategy\nbaseline: [1, 2]\nbaseline: \ufffd\n"


def test_the_report_is_kept():
    child, told = heard(b'{"event": "minute", "share": 1.0}\n', b'{"event": "report", "trades": []}\n')
    assert child.report == {"event": "report", "trades": []}
    assert (child.share, told) == (1.0, 2)


def asked_to_end(*, hung: bool, said_s: float, patience_s: float) -> tuple[int, int, list[str]]:
    """Return process, exit status and what was said of a session that is asked to end; one that hangs does not hear it."""
    said: list[str] = []

    async def ask() -> tuple[int, int]:
        deaf = "trap '' TERM; " if hung else ""
        line = f"{deaf}echo ready; exec sleep 300"
        process = await asyncio.create_subprocess_exec("sh", "-c", line, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        ended = asyncio.create_task(process.wait())
        await _end(process, ended, "moderate", said.append, said_s=said_s, patience_s=patience_s)
        return process.pid, await ended

    return *asyncio.run(ask()), said


def test_a_session_that_hangs_is_waited_for_aloud_and_its_end_is_told():
    pid, status, said = asked_to_end(hung=True, said_s=0.1, patience_s=1.0)
    assert status == -signal.SIGKILL
    assert said == [
        f"moderate: has not ended yet (process {pid}); it is killed 1 s after it was asked to",
        "moderate: did not end within 1 s and was killed; it goes on with the same command",
    ]


def test_a_session_that_ends_in_time_is_not_spoken_of():
    _, status, said = asked_to_end(hung=False, said_s=60.0, patience_s=120.0)
    assert (status, said) == (-signal.SIGTERM, [])
