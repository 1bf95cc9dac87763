"""What a supervisor makes of the lines that a session's process writes."""

from __future__ import annotations

import asyncio

from sigil_ext.services.supervisor import Child, _hear


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
