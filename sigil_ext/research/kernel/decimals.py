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
PLACES = 28  # that Jesse's decimals have; a number with more is rounded to them, half up
SMALLEST = 45  # decimals that a number of 17 digits needs to be told from others down to 1e-28
POW5 = np.array([5**k for k in range(LONGEST + 1)], dtype=np.uint64)
POW5_HIGH = np.array([5**k >> 64 for k in range(SMALLEST + 1)], dtype=np.uint64)
POW5_LOW = np.array([5**k & (2**64 - 1) for k in range(SMALLEST + 1)], dtype=np.uint64)
POW10 = np.array([10**k for k in range(20)], dtype=np.uint64)
FLOAT10 = np.array([float(10**k) for k in range(PLACES + 1)])
# For a float between 2**(n - 1) and 2**n: the power of ten at or under the lower end, and the next one.
LOWEST_POWER = -100
MAGNITUDES = np.array([math.floor(math.log10(2.0 ** (n - 1))) for n in range(LOWEST_POWER, 64)])
NEXT_TEN = np.array([10.0 ** (k + 1) for k in MAGNITUDES])
UNKNOWN = np.iinfo(np.int64).min


@kernel
def decimal_sum(a: float, b: float) -> float:
    """Return a + b as Jesse adds them, NaN where that takes more digits than are kept here.

    Args:
        a: >= 0. b: any sign, -b <= a. Either 0 or between 1e-28 and 1e15.
    """
    if b == 0.0 or math.isnan(a):
        return a
    if a == 0.0:
        return b if b > 0.0 else math.nan
    x, places_x = shortest(a)
    y, places_y = shortest(abs(b))
    if places_x == UNKNOWN or places_y == UNKNOWN:
        return math.nan
    # The one with fewer decimals gets as many as the other has, or as fit 96 bits; the other then loses the rest.
    more = max(places_x, places_y)
    if places_x < more:
        x_hi, x_lo, lost = widened(x, more - places_x)
        y_hi, y_lo = ZERO, cut(y, lost)
    else:
        y_hi, y_lo, lost = widened(y, more - places_y)
        x_hi, x_lo = ZERO, cut(x, lost)
    if b > 0.0:
        lo = x_lo + y_lo
        hi = x_hi + y_hi + (ONE if lo < x_lo else ZERO)
    else:
        if x_hi < y_hi or (x_hi == y_hi and x_lo < y_lo):
            return math.nan
        lo = x_lo - y_lo
        hi = x_hi - y_hi - (ONE if x_lo < y_lo else ZERO)
    return nearest(hi, lo, more - lost)


@kernel
def widened(x: Word, places: int) -> tuple[Word, Word, int]:
    """Return (high, low, lost): x with up to `places` zeros more, as many as 96 bits allow, and how many they did not."""
    lost = 0
    while True:
        first = min(places, 19)
        hi, lo = multiplied(x, POW10[first])
        if places > first:  # twice, where the first product leaves room
            if hi == ZERO:
                hi, lo = multiplied(lo, POW10[places - first])
            else:
                hi = LOW32 << S32
        if hi >> S32 == ZERO or places == 0:
            return hi, lo, lost
        places -= 1
        lost += 1


@kernel
def cut(x: Word, digits: int) -> Word:
    """Return x without its last digits, rounded half up."""
    if digits == 0:
        return x
    if digits > 19:
        return ZERO
    rest = x % POW10[digits]
    return x // POW10[digits] + (ONE if rest >= FIVE * POW10[digits - 1] else ZERO)


@kernel
def shortest(value: float) -> tuple[Word, int]:
    """Return (digits, decimal places) of the shortest decimal that reads back as `value` > 0, PLACES of them at most.

    UNKNOWN places where it is 1e15 or more, or under 1e-28.
    """
    fraction, exponent = math.frexp(value)
    if exponent < LOWEST_POWER or exponent >= 64:
        return ZERO, UNKNOWN
    m = U(fraction * 9007199254740992.0)  # 2**53
    e = exponent - 53
    magnitude = MAGNITUDES[exponent - LOWEST_POWER]
    if value >= NEXT_TEN[exponent - LOWEST_POWER]:
        magnitude += 1
    places = 15 - magnitude  # for 16 digits; every second float has a decimal of so many
    if places < 1 or places >= SMALLEST:
        return ZERO, UNKNOWN
    d, fits = rounded(m, e, places)
    if fits:
        shorter, fits = rounded(m, e, places - 1)
        if fits:
            d, places = shorter, places - 1
    else:
        d, fits = rounded(m, e, places + 1)
        places += 1
    while places > 0 and d % TEN == ZERO:
        d //= TEN
        places -= 1
    if places > PLACES:
        d = cut(d, places - PLACES)
        places = PLACES
    return d, places


@kernel
def rounded(m: Word, e: int, places: int) -> tuple[Word, bool]:
    """Return (d, fits): m * 2**e rounded to `places` decimals is d / 10**places, and whether that reads back as the float."""
    if places > LONGEST:
        return rounded_small(m, e, places)
    five = POW5[places]
    hi, lo = multiplied(m, five)
    shift = -(e + places)
    if shift <= 0:
        return lo << U(-shift), True
    if shift < 63 and m != TOP:  # what is cut off fits one word
        rest = lo & ((ONE << U(shift)) - ONE)
        d = (hi << U(64 - shift)) | (lo >> U(shift))
        if rest >= ONE << U(shift - 1):
            rest = (ONE << U(shift)) - rest
            d += ONE
        rest <<= ONE
        return d, rest < five or (rest == five and m & ONE == ZERO)
    if shift >= 128:
        return ZERO, False
    d, rest_hi, rest_lo = divided_by_power(hi, lo, shift)
    d, rest_hi, rest_lo, above = to_the_nearer(d, rest_hi, rest_lo, shift)
    if m == TOP and not above:  # the float below a power of two is only half as near
        twice_hi, twice_lo = shifted_left(rest_hi, rest_lo, 1)
        return d, rest_hi >> S32 == ZERO and not greater(twice_hi << ONE | twice_lo >> S63, twice_lo << ONE, ZERO, five)
    return d, reads_back(m, rest_hi, rest_lo, ZERO, five)


@kernel
def rounded_small(m: Word, e: int, places: int) -> tuple[Word, bool]:
    """Return what `rounded` does for a number so small that its product takes 192 bits."""
    five_hi, five_lo = POW5_HIGH[places], POW5_LOW[places]
    middle, low = multiplied(m, five_lo)
    high, carry = multiplied(m, five_hi)
    middle += carry
    high += ONE if middle < carry else ZERO
    shift = -(e + places)
    if shift <= 0 or shift >= 126:
        return ZERO, False
    if shift < 64:
        d, rest_hi, rest_lo = divided_by_power(middle, low, shift)
    else:
        keep = U(shift - 64)
        d = middle if keep == ZERO else (middle >> keep) | (high << (S64 - keep))
        rest_hi, rest_lo = middle & ((ONE << keep) - ONE), low
    d, rest_hi, rest_lo, _ = to_the_nearer(d, rest_hi, rest_lo, shift)
    return d, reads_back(m, rest_hi, rest_lo, five_hi, five_lo)


@kernel
def to_the_nearer(d: Word, rest_hi: Word, rest_lo: Word, shift: int) -> tuple[Word, Word, Word, bool]:
    """Return (d, distance high, distance low, whether d was raised) of d and a rest under 2**shift.

    A tie is raised, as Rust does where it writes a float down.
    """
    half_hi, half_lo = shifted_left(ZERO, ONE, shift - 1)
    if not greater(half_hi, half_lo, rest_hi, rest_lo):
        full_hi, full_lo = shifted_left(ZERO, ONE, shift)
        borrow = ONE if full_lo < rest_lo else ZERO
        return d + ONE, full_hi - rest_hi - borrow, full_lo - rest_lo, True
    return d, rest_hi, rest_lo, False


@kernel
def reads_back(m: Word, rest_hi: Word, rest_lo: Word, unit_hi: Word, unit_lo: Word) -> bool:
    """Return whether a distance is under half a unit of the last place, or just that of an even number."""
    if rest_hi >> S63 != ZERO:
        return False
    twice_hi, twice_lo = shifted_left(rest_hi, rest_lo, 1)
    if twice_hi == unit_hi and twice_lo == unit_lo:
        return bool(m & ONE == ZERO)
    return greater(unit_hi, unit_lo, twice_hi, twice_lo)


@kernel
def nearest(hi: Word, lo: Word, places: int) -> float:
    """Return the float nearest to (hi * 2**64 + lo) / 10**places, ties to even."""
    if hi == ZERO and lo == ZERO:
        return 0.0
    guess = (float(hi) * 18446744073709551616.0 + float(lo)) / FLOAT10[places]
    fraction, exponent = math.frexp(guess)
    m = U(fraction * 9007199254740992.0)
    e = exponent - 53
    for _ in range(8):
        p_hi, p_lo = multiplied(m, POW5[min(places, LONGEST)])
        if places > LONGEST:
            four_hi, four_lo = shifted_left(p_hi, p_lo, 2)
            p_lo += four_lo
            p_hi += four_hi + (ONE if p_lo < four_lo else ZERO)
        shift = e + places
        n_hi, n_lo, u_hi, u_lo = hi, lo, POW5_HIGH[places], POW5_LOW[places]
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
