"""Arithmetic with sizes, and the symbols behind numbers that differ between two recordings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from equipot_kernels._program.ir import Size

ZERO, ONE = Size(), Size(1)


def constant(value: int) -> Size:
    """A size that is the same in every call."""
    return Size(value)


def _made(value: int, factors: dict[int, int]) -> Size:
    return Size(value, tuple(sorted((symbol, factor) for symbol, factor in factors.items() if factor)))


def add(first: Size, second: Size, factor: int = 1) -> Size:
    """The first plus a multiple of the second."""
    factors = dict(first.factors)
    for symbol, value in second.factors:
        factors[symbol] = factors.get(symbol, 0) + factor * value
    return _made(first.constant + factor * second.constant, factors)


def scaled(size: Size, factor: int) -> Size:
    """The size times a number."""
    return _made(size.constant * factor, {symbol: value * factor for symbol, value in size.factors})


def times(first: Size, second: Size) -> Size | None:
    """The product, None if it is not linear in the symbols."""
    if not second.factors:
        return scaled(first, second.constant)
    return None if first.factors else scaled(second, first.constant)


def product(sizes: Sequence[Size]) -> Size | None:
    """The product of all, None if it is not linear in the symbols."""
    made: Size | None = ONE
    if any(size == ZERO for size in sizes):
        return ZERO
    for size in sizes:
        made = None if made is None else times(made, size)
    return made


def divided(first: Size, second: Size) -> Size | None:
    """The quotient, None unless it is linear in the symbols and exact."""
    numbers = [first.constant, *(value for _, value in first.factors)]
    if not second.factors:
        by = second.constant
        if by == 0 or any(number % by for number in numbers):
            return None
        return _made(first.constant // by, {symbol: value // by for symbol, value in first.factors})
    if [symbol for symbol, _ in first.factors] != [symbol for symbol, _ in second.factors]:
        return None
    quotient, rest = divmod(first.factors[0][1], second.factors[0][1])
    return Size(quotient) if not rest and scaled(second, quotient) == first else None


class Symbols:
    """The sizes of a call, known by their values in two recordings.

    Args:
        values: Pair of values of every symbol; large and without common divisors, so that a number which happens to
            look like a multiple of a symbol does not occur.
    """

    def __init__(self, values: Sequence[tuple[int, int]]) -> None:
        self._values = list(values)
        self._known: dict[tuple[int, int], Size | None] = {}

    def size(self, first: int, second: int) -> Size | None:
        """The size that has these values in the two recordings, None if it is not linear in the symbols."""
        if first == second:
            return Size(first)
        if (first, second) not in self._known:
            self._known[first, second] = self._found(first, second)
        return self._known[first, second]

    def _found(self, first: int, second: int) -> Size | None:
        for symbol, (one, other) in enumerate(self._values):
            factor, rest = divmod(second - first, other - one)
            if not rest and abs(first - factor * one) < _LARGEST_CONSTANT:
                return _made(first - factor * one, {symbol: factor})
        pairs = itertools.combinations(enumerate(self._values), 2)
        for (symbol, (a, b)), (symbol_2, (c, d)) in pairs:  # a·f + c·g = first, b·f + d·g = second
            f, rest = divmod(first * d - second * c, a * d - b * c)
            g, rest_2 = divmod(a * second - b * first, a * d - b * c)
            if not rest and not rest_2:
                return _made(0, {symbol: f, symbol_2: g})
        return None


_LARGEST_CONSTANT = 4096


def chosen_sizes(names: Sequence[str]) -> list[tuple[int, int]]:
    """Values for two recordings, for each name of a size."""
    return [(_PRIMES[2 * i], _PRIMES[2 * i + 1]) for i in range(len(names))]


# Neither the primes nor the differences of pairs have common divisors.
_PRIMES = (
    10007,
    30011,
    15013,
    40009,
    20011,
    50021,
    25013,
    60013,
    12007,
    70001,
    17011,
    80021,
    22003,
    90001,
    27011,
    100003,
    32003,
    110017,
    37003,
    120011,
    42013,
    130003,
    47017,
    140009,
)
