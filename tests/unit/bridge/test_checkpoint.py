"""A checkpoint that would not give back, bit for bit, what was packed is refused."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.bridge.checkpoint import CheckpointRefused, pack, restore

rng = random.Random(4)
# Prices beside each other, as in a real one: some of it repeats, most of it does not.
STATE = b"".join(struct.pack("<2d", 1.75e12 + 60_000 * i, 0.0195 + rng.random() * 1e-4) for i in range(3000))
PACKED = pack(STATE)
DAMAGED = "damaged, or packed by another version"


def refused(packed: bytes) -> str:
    with pytest.raises(CheckpointRefused) as why:
        restore(None, packed, {})  # type: ignore[arg-type]  # it is refused before the host is looked at
    return str(why.value)


def test_one_that_is_whole_is_unpacked():
    assert "other versions of Sigil, Jesse or Python" in refused(PACKED)  # what is asked after that


def turned(bits):
    packed = bytearray(PACKED)
    for bit in bits:
        packed[bit // 8] ^= 1 << bit % 8
    return bytes(packed)


def is_found_unless_it_changes_nothing(packed: bytes) -> bool:
    # A few bits mean nothing to whoever unpacks, say an unused one of the header: the state is the same then.
    return DAMAGED in refused(packed) or zstandard.decompress(packed) == STATE


@given(st.sets(st.integers(0, 8 * len(PACKED) - 1), min_size=1, max_size=3))
def test_no_bits_of_it_can_be_turned_without_being_found(bits):
    assert is_found_unless_it_changes_nothing(turned(bits))


def test_no_bit_of_its_header_or_of_its_end_either():
    ends = {*range(8 * 24), *range(8 * (len(PACKED) - 16), 8 * len(PACKED))}
    assert all(is_found_unless_it_changes_nothing(turned({bit})) for bit in ends)
    assert sum(DAMAGED in refused(turned({bit})) for bit in ends) > 0.95 * len(ends)


@pytest.mark.parametrize(
    "other", [PACKED[:-1], PACKED + b"\0", PACKED[:50], b"", zlib.compress(STATE), zstandard.compress(STATE, 1), STATE]
)
def test_nor_can_it_be_cut_lengthened_or_packed_otherwise(other):
    assert DAMAGED in refused(other)
