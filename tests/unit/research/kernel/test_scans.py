"""Which symbols a scan accepts in a cell that bans some of them: those that the rule ranks in without the banned."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from sigil_ext.research.kernel.ranking import accept_all, sort_all
from sigil_ext.research.kernel.scan import MINUTE_US, accepts, look
from sigil_ext.research.kernel.shapes import CELL, REFUSALS, Scans, Signals, Tape
from sigil_ext.research.kernel.world import world_of
from sigil_ext.rules.universe import weighted_ranks

NOON = 29_000_000  # minutes since 1970


@njit(error_model="numpy")
def asked(worlds, symbols):
    look(worlds[0], 0)
    told = np.zeros(symbols, np.bool_)
    for s in range(symbols):
        told[s] = accepts(worlds[0], s)
    return told


def scans_of(rng: np.random.Generator, symbols: int, size: int) -> Scans:
    def figure() -> np.ndarray:
        values = rng.integers(0, rng.choice([2, 5, 1000]), symbols).astype(np.float64)
        values[rng.random(symbols) < 0.1] = np.nan
        return values[None, :]

    passed = rng.random((1, symbols)) < 0.8
    scans = Scans(
        np.array([NOON], np.int32), np.zeros(1, np.int32), passed, np.zeros_like(passed), figure(), figure(), figure(), size,
        tuple(rng.choice([0.0, 1.0, 0.3], 3)), np.zeros((0, 3, 0), np.int16), np.zeros((0, 3, 0), np.bool_),
    )  # fmt: skip
    accept_all(scans)
    return sort_all(scans)


def best(scans: Scans, kept: np.ndarray) -> list[int]:
    """Return whom the rule ranks in of those that are kept."""
    names = np.flatnonzero(kept)
    scores = weighted_ranks(scans.atr_pct[0, names], scans.volume[0, names], scans.change[0, names], scans.weights)
    ranked = sorted(zip(-scores, names, strict=True))
    return sorted(int(name) for _, name in ranked[: scans.size])


@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_a_ban_leaves_the_others_ranked_as_if_they_were_alone(seed, symbols, size):
    rng = np.random.default_rng(seed)
    scans = scans_of(rng, symbols, size)
    assert np.flatnonzero(scans.accepted[0]).tolist() == best(scans, scans.passed[0])
    none = np.zeros(0)
    tape = Tape(
        np.zeros((0, 6)), np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(symbols, np.int64),
        np.zeros(symbols, np.int64), np.zeros(symbols, np.int64), np.zeros(symbols, np.int64), 15, NOON,
        np.array([NOON], np.int32), np.zeros(1, np.int32), np.zeros((0, 0)), False,
    )  # fmt: skip
    signals = Signals(np.zeros(0, np.int32), np.zeros(0, np.int16), np.zeros(0, np.int64), none, none)
    refused = np.zeros((1, REFUSALS), np.int64)
    worlds, arrays = world_of(tape, scans, signals, np.zeros(1, CELL), np.zeros(1, np.int64), refused, 1)
    until = rng.choice([0, NOON - 1, NOON, NOON + 1], symbols) * MINUTE_US
    arrays["standings"]["ban_until"] = until
    arrays["accounts"]["scan"], arrays["accounts"]["latest_ban"] = -1, until.max()
    kept = scans.passed[0] & (until <= NOON * MINUTE_US)
    assert np.flatnonzero(asked(worlds, symbols)).tolist() == best(scans, kept)
