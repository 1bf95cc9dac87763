"""Jesse's sums of money: both numbers as their shortest decimals, added exactly, rounded to a float once.

Jesse adds to its wallet and to its quantities through `sum_floats` and `subtract_floats`, which add decimals; a plain `+`
differs in the last bit every fifth time. Here the same in compiled code, on 128-bit integers kept as two of 64 bits.
Start at `decimal_sum`.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from sigil_ext.research.kernel.compiling import kernel

Word: TypeAlias = Any  # an unsigned integer of 64 bits: a plain int beside one makes numba count in floats
U: Any = np.uint64
LOW32 = U(0xFFFFFFFF)
ZERO, ONE, TWO, FIVE, TEN, S32, S63, S64 = U(0), U(1), U(2), U(5), U(10), U(32), U(63), U(64)
TOP = U(1 << 52)
LONGEST = 27  # decimals; 5**27 is the last that fits 64 bits with one to spare
POW5 = np.array([5**k for k in range(LONGEST + 1)], dtype=np.uint64)
POW10 = np.array([10**k for k in range(20)], dtype=np.uint64)
UNKNOWN = np.iinfo(np.int64).min


@kernel
def decimal_sum(a: float, b: float) -> float:
    """Return a + b as Jesse adds them, NaN where that takes more digits than are kept here.

    Args:
        a: >= 0. b: any sign, -b <= a. Either below 1e17.
    """
    if b == 0.0:
        return a
    if a == 0.0:
        return b if b > 0.0 else math.nan
    x, places_x = shortest(a)
    y, places_y = shortest(abs(b))
    if places_x == UNKNOWN or places_y == UNKNOWN:
        return math.nan
    places = max(places_x, places_y)
    if places - min(places_x, places_y) > 19:
        return math.nan
    x_hi, x_lo = multiplied(x, POW10[places - places_x])
    y_hi, y_lo = multiplied(y, POW10[places - places_y])
    if b > 0.0:
        lo = x_lo + y_lo
        hi = x_hi + y_hi + (ONE if lo < x_lo else ZERO)
    else:
        if x_hi < y_hi or (x_hi == y_hi and x_lo < y_lo):
            return math.nan
        lo = x_lo - y_lo
        hi = x_hi - y_hi - (ONE if x_lo < y_lo else ZERO)
    if hi >> S32 != ZERO:  # Jesse's decimals hold 96 bits
        return math.nan
    return nearest(hi, lo, places)


@kernel
def shortest(value: float) -> tuple[Word, int]:
    """Return (digits, decimal places) of the shortest decimal that reads back as `value` > 0; UNKNOWN places: too long."""
    fraction, exponent = math.frexp(value)
    m = U(fraction * 9007199254740992.0)  # 2**53
    e = exponent - 53
    magnitude = math.floor(math.log10(value))
    for digits in range(15, 18):
        places = min(digits - 1 - magnitude, LONGEST)
        if places < 0:
            return ZERO, UNKNOWN
        d, fits = rounded(m, e, places)
        if places < LONGEST and d < POW10[digits - 1]:  # the logarithm was rounded up to a whole number
            places += 1
            d, fits = rounded(m, e, places)
        elif d > POW10[digits] and places > 0:
            places -= 1
            d, fits = rounded(m, e, places)
        if fits:
            while places > 0 and d % TEN == ZERO:
                d //= TEN
                places -= 1
            return d, places
    return ZERO, UNKNOWN


@kernel
def rounded(m: Word, e: int, places: int) -> tuple[Word, bool]:
    """Return (d, fits): m * 2**e rounded to `places` decimals is d / 10**places, and whether that reads back as the float."""
    five = POW5[places]
    hi, lo = multiplied(m, five)
    shift = -(e + places)
    if shift <= 0:
        return lo << U(-shift), True
    if shift >= 128:
        return ZERO, False
    d, rest_hi, rest_lo = divided_by_power(hi, lo, shift)
    half_hi, half_lo = shifted_left(ZERO, ONE, shift - 1)
    above = greater(rest_hi, rest_lo, half_hi, half_lo) or (
        rest_hi == half_hi and rest_lo == half_lo and d & ONE == ONE
    )
    if above:  # round up: the distance is 2**shift - rest
        d += ONE
        full_hi, full_lo = shifted_left(ZERO, ONE, shift) if shift < 128 else (ZERO, ZERO)
        borrow = ONE if full_lo < rest_lo else ZERO
        rest_lo = full_lo - rest_lo
        rest_hi = full_hi - rest_hi - borrow
    if rest_hi != ZERO or rest_lo >> S63 != ZERO:
        return d, False
    if m == TOP and not above:  # the float below a power of two is only half as far
        return d, rest_lo << ONE < five and (rest_lo << TWO <= five and rest_lo >> U(62) == ZERO)
    twice = rest_lo << ONE
    return d, twice < five or (twice == five and m & ONE == ZERO)


@kernel
def nearest(hi: Word, lo: Word, places: int) -> float:
    """Return the float nearest to (hi * 2**64 + lo) / 10**places, ties to even."""
    if hi == ZERO and lo == ZERO:
        return 0.0
    guess = (float(hi) * 18446744073709551616.0 + float(lo)) / (float(POW5[places]) * 2.0**places)
    fraction, exponent = math.frexp(guess)
    m = U(fraction * 9007199254740992.0)
    e = exponent - 53
    five = POW5[places]
    for _ in range(8):
        p_hi, p_lo = multiplied(m, five)
        shift = e + places
        n_hi, n_lo, u_hi, u_lo = hi, lo, ZERO, five
        if shift >= 0:
            p_hi, p_lo = shifted_left(p_hi, p_lo, shift)
            u_hi, u_lo = shifted_left(u_hi, u_lo, shift)
        else:
            n_hi, n_lo = shifted_left(n_hi, n_lo, -shift)
        if greater(n_hi, n_lo, p_hi, p_lo):
            borrow = ONE if n_lo < p_lo else ZERO
            d_hi, d_lo = shifted_left(n_hi - p_hi - borrow, n_lo - p_lo, 1)
            if greater(d_hi, d_lo, u_hi, u_lo) or (d_hi == u_hi and d_lo == u_lo and m & ONE == ONE):
                m += ONE
                continue
        elif greater(p_hi, p_lo, n_hi, n_lo):
            if m == TOP:  # below a power of two floats are twice as dense
                m, e = m << ONE, e - 1
                continue
            borrow = ONE if p_lo < n_lo else ZERO
            d_hi, d_lo = shifted_left(p_hi - n_hi - borrow, p_lo - n_lo, 1)
            if greater(d_hi, d_lo, u_hi, u_lo) or (d_hi == u_hi and d_lo == u_lo and m & ONE == ONE):
                m -= ONE
                continue
        return math.ldexp(float(m), e)
    return math.nan


@kernel
def multiplied(a: Word, b: Word) -> tuple[Word, Word]:
    """Return (high, low) 64 bits of the product."""
    a_lo, a_hi, b_lo, b_hi = a & LOW32, a >> S32, b & LOW32, b >> S32
    low, first, second = a_lo * b_lo, a_hi * b_lo, a_lo * b_hi
    middle = (low >> S32) + (first & LOW32) + (second & LOW32)
    return a_hi * b_hi + (first >> S32) + (second >> S32) + (middle >> S32), (middle << S32) | (low & LOW32)


@kernel
def shifted_left(hi: Word, lo: Word, by: int) -> tuple[Word, Word]:
    """Return a 128-bit number times 2**by, 0 <= by < 128."""
    if by == 0:
        return hi, lo
    if by >= 64:
        return lo << U(by - 64), ZERO
    return (hi << U(by)) | (lo >> U(64 - by)), lo << U(by)


@kernel
def divided_by_power(hi: Word, lo: Word, by: int) -> tuple[Word, Word, Word]:
    """Return (quotient, rest high, rest low) of a 128-bit number by 2**by, 0 < by < 128; the quotient fits 64 bits."""
    if by >= 64:
        keep = U(by - 64)
        mask = (ONE << keep) - ONE
        return hi >> keep, hi & mask, lo
    quotient = (hi << U(64 - by)) | (lo >> U(by))
    return quotient, ZERO, lo & ((ONE << U(by)) - ONE)


@kernel
def greater(a_hi: Word, a_lo: Word, b_hi: Word, b_lo: Word) -> bool:
    """Return whether one 128-bit number is greater than another."""
    return bool(a_hi > b_hi or (a_hi == b_hi and a_lo > b_lo))
