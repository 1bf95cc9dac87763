"""A recorded minute is read back whole or named as damaged."""

from __future__ import annotations

import math
import struct

import pytest

from sigil_ext.db.recorded_minutes import RecordedMinutes
from sigil_ext.errors import DamagedRecord

MINUTE = 1_750_107_600_000  # 2025-06-16 21:00
RECORDED = RecordedMinutes("baseline", 7, symbols=2)


def packed(*places: float) -> bytes:
    return b"".join(struct.pack("6d", place, 1.0, 2.0, 3.0, 4.0, 5.0) for place in places)


def test_whole_minutes_are_read_an_empty_one_too():
    assert RECORDED.unpack(MINUTE, packed(0, 1)).tolist() == [[0, 1, 2, 3, 4, 5], [1, 1, 2, 3, 4, 5]]
    assert RECORDED.unpack(MINUTE, memoryview(b"")).shape == (0, 6)


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        (packed(0, 1)[:-9], "is cut off: 87 bytes, where a candle has 48"),
        *[(packed(0, place), "names a symbol that is none of its 2") for place in (2, -1, 0.5, math.nan, math.inf)],
    ],
)
def test_a_damaged_minute_is_named_with_its_session_and_the_way_out(damaged, what):
    with pytest.raises(DamagedRecord) as refused:
        RECORDED.unpack(MINUTE, damaged)
    assert str(refused.value) == (
        f"variant 'baseline', session 7: its recorded minute 2025-06-16 21:00 UTC {what}; restore a backup "
        "(docs/operating.md), or begin a new session with --restart, where positions are open with --fresh"
    )
