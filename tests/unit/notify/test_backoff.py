"""Pauses between tries grow, and end at a cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigil_ext.notify.backoff import Backoff


def test_pauses_double_up_to_the_cap():
    backoff = Backoff(base_s=10, cap_s=300)
    assert [backoff.delay(n, 0.0).total_seconds() for n in range(1, 9)] == [10, 20, 40, 80, 160, 300, 300, 300]


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_chance_only_shortens_and_by_no_more_than_its_share(failures, draw, jitter):
    whole = Backoff(jitter=0).delay(failures, draw).total_seconds()
    shortened = Backoff(jitter=jitter).delay(failures, draw).total_seconds()
    assert whole * (1 - jitter) - 1e-6 <= shortened <= whole <= 300


@pytest.mark.parametrize(("failures", "draw"), [(0, 0.5), (-1, 0.5), (1, 1.0), (1, -0.1)])
def test_what_makes_no_sense_is_refused(failures, draw):
    with pytest.raises(ValueError):
        Backoff().delay(failures, draw)
