"""Unknown sizes that must be multiples of something for the layers of a model to fit.

A U-Net halves an image three times, and doubles it again to join it with what it was: on (None, None, 3) that works
for multiples of 8 alone. Keras finds out when the model runs. Here sizes h and w that leave the question open become
8*h and 8*w, which answers it, and the exported file says so.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TypeVar

from kir.errors import UndecidedSizesError
from kir.ir.dims import Dim, FloorDiv, Sym, symbol
from kir.ir.types import BATCH, DType, TensorType
from kir.modeling.given_shapes import GivenSize
from kir.support.naming import symbol_name

T = TypeVar("T")

# Networks halve images a few times; what asks for more than that is no halving.
LARGEST_FACTOR = 4096

# What is known of the unknown sizes of inputs: the shapes of inputs by name, and what sizes are multiples of, by their
# own names.
GIVEN_SIZES: ContextVar[Mapping[str, Sequence[Dim]] | None] = ContextVar("given_sizes", default=None)
FACTORS: ContextVar[Mapping[str, int] | None] = ContextVar("factors", default=None)


def build_fitting(build: Callable[[], T]) -> T:
    """Return what `build` gives, with factors for the unknown sizes of inputs where it needs them.

    For those it runs again. Warns of the factors: the model takes no other sizes.

    Raises:
        KirError: whatever `build` raised first, if no factors help.
    """
    factors: dict[str, int] = {}
    first: Exception | None = None
    while True:
        token = FACTORS.set(factors)
        try:
            result = build()
        except Exception as error:
            first = first or error
            larger = _larger_factors(error, factors)
            if larger is None:
                raise first from None
            factors = larger
            continue
        finally:
            FACTORS.reset(token)
        if factors:
            shown = ", ".join(f"{name} of {factor}" for name, factor in sorted(factors.items()))
            warnings.warn(
                f"the layers fit only where unknown sizes of inputs are multiples: {shown}; the model takes no others",
                stacklevel=2,
            )
        return result


@contextlib.contextmanager
def given_sizes(shapes: Mapping[str, Sequence[Dim]]) -> Iterator[None]:
    """Give the unknown sizes of inputs of these names, while open, these values from the start, but for the batch.

    Some layers must know the sizes when they are made: an antialiased Resizing, a Dense after Flatten.
    """
    token = GIVEN_SIZES.set(shapes)
    try:
        yield
    finally:
        GIVEN_SIZES.reset(token)


def _larger_factors(error: BaseException, factors: Mapping[str, int]) -> dict[str, int] | None:
    """Return the factors with which every division in the sizes of an error is exact; None if they are known."""
    undecided = next((one for one in _causes(error) if isinstance(one, UndecidedSizesError)), None)
    larger = dict(factors)
    for size in undecided.sizes if undecided is not None else ():
        for name, divisor in _divisions(size):
            larger[name] = math.lcm(larger.get(name, 1), divisor)
    is_news = larger != dict(factors) and max(larger.values()) <= LARGEST_FACTOR
    return larger if is_news else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _divisions(size: Dim) -> Iterator[tuple[str, int]]:
    """Return the names in a size that are divided by a number, and the number."""
    pending = [size]
    while pending:
        here = pending.pop()
        for monomial, _ in here.terms if isinstance(here, Sym) else ():
            for atom in monomial:
                if not isinstance(atom, FloorDiv):
                    continue
                pending.append(atom.numerator)
                if isinstance(atom.numerator, Sym) and isinstance(atom.denominator, int):
                    yield from ((name, atom.denominator) for name in sorted(atom.numerator.names()))


def input_type(name: str, shape: Sequence[GivenSize], dtype: DType) -> TensorType:
    """Return the type of a model input: None on the first axis is the shared batch size, any other None its own size.

    Text names an unknown size, so that two inputs may share it; a symbolic size is taken as it is. Inside the functions
    above an unknown size may have a factor, or be known, but for the batch.
    """
    given = (GIVEN_SIZES.get() or {}).get(name, ())
    dims: list[Dim] = []
    for axis, size in enumerate(shape):
        if size is None and axis > 0 and len(given) == len(shape):
            dims.append(given[axis])
        elif size is None:
            dims.append(BATCH if axis == 0 else _unknown_size(f"{name}_{axis}"))
        else:
            dims.append(_unknown_size(size) if isinstance(size, str) else size)
    return TensorType(dtype, tuple(dims))


def _unknown_size(text: str) -> Dim:
    name = symbol_name(text)
    return symbol(name) * (FACTORS.get() or {}).get(name, 1)
