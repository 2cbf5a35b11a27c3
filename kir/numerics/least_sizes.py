"""The least sizes of inputs that meet demands on the sizes in a graph, and the greatest; see `kir.numerics.reach`.

The larger the sizes of inputs, the larger those in the graph, but for a few that bound them from above. So a size is
doubled until it meets all demands, and then halved in on the least one that does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kir.errors import ShapeError
from kir.ir.dims import Sym, substitute

Sizes = dict[str, int]
Demand = Mapping[Sym, int]

# Sizes above this one ask for more memory than a machine has.
LARGEST_SIZE = 1 << 24


def are_met(demands: Demand, sizes: Sizes, less: int = 0) -> bool:
    """Return whether each size is as large as demanded, or less by so much."""
    try:
        return all(_value(dim, sizes) >= least - less for dim, least in demands.items())
    except ShapeError:  # a division by 0
        return False


def _value(dim: Sym, sizes: Sizes) -> int:
    value = substitute(dim, sizes)
    assert isinstance(value, int)
    return value


def split_demands(demands: Demand, names: Sequence[str]) -> tuple[dict[Sym, int], dict[Sym, int]]:
    """Return the demands that larger sizes meet, and those that smaller ones do."""
    lower: dict[Sym, int] = {}
    upper: dict[Sym, int] = {}
    small, large = dict.fromkeys(names, 1), dict.fromkeys(names, LARGEST_SIZE)
    for dim, least in demands.items():
        try:
            falls = _value(dim, large) < _value(dim, small)
        except ShapeError:
            falls = False
        (upper if falls else lower)[dim] = least
    return lower, upper


def least_sizes(demands: Demand, names: Sequence[str], free: Sequence[str]) -> Sizes | None:
    """Return the least sizes that meet demands which larger sizes meet; None if none were found.

    First all free sizes are one, then each is lessened for itself; the others are 1.
    """
    least = dict.fromkeys(names, 1)
    if not free or are_met(demands, least):
        return least if are_met(demands, least) else None
    for group in (free, *([name] for name in free)):
        size = _least_size(least, group, lambda sizes: are_met(demands, sizes))
        if size is None:
            return None
        least |= dict.fromkeys(group, size)
    return least


def _least_size(sizes: Sizes, group: Sequence[str], fits: Callable[[Sizes], bool]) -> int | None:
    """Return the least size that names in a group may have as one, the others as given; None if none is found."""
    high = sizes[group[0]]
    while not fits(sizes | dict.fromkeys(group, high)):
        high *= 2
        if high > LARGEST_SIZE:
            return None
    low = 0  # does not fit, or is too small to ask about
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(sizes | dict.fromkeys(group, middle)) else (middle, high)
    return high


def greatest_size(demands: Demand, sizes: Sizes, name: str) -> int | None:
    """Return the greatest size that meets demands which smaller ones meet, the others as given; None if all do."""
    if not any(name in dim.names() for dim in demands):
        return None
    low, high = sizes[name], 2 * LARGEST_SIZE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if are_met(demands, sizes | {name: middle}) else (low, middle)
    return low if low <= LARGEST_SIZE else None
