"""Dtypes of operators: which ones an operator takes, and in which precision it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from kir.errors import ShapeError
from kir.ir.op import Array, Op
from kir.ir.types import FLOATS, INTEGERS, DType, TensorType

NUMBERS = FLOATS | INTEGERS
BOOLS = frozenset({DType.BOOL})

_HALF_PRECISION = frozenset({DType.FLOAT16.numpy, DType.BFLOAT16.numpy})


def widen(x: Array) -> Array:
    """Return a float16 or bfloat16 array as float32, to compute in and round once; any other array as it is."""
    return x.astype(np.float32) if x.dtype in _HALF_PRECISION else x


def is_plain(*types: TensorType | None) -> bool:
    """Return whether NumPy's functions can be applied to arrays of these types as they are.

    They compute 16 bits in 16 bits and not in float32, and return numbers and not arrays if all operands are scalars.
    """
    present = [type for type in types if type is not None]
    return all(type.dtype.numpy not in _HALF_PRECISION for type in present) and any(type.rank for type in present)


@dataclass(frozen=True)
class WideOp(Op):
    """An operator that computes floats of 16 bits in float32 and rounds the result once, to the first input's dtype.

    A subclass defines `compute` instead of `eval`. One that is a single function of NumPy names it in its header, as
    well as the dtypes that it accepts: ``class Abs(Unary, compute=np.abs, accepted=NUMBERS)``.
    """

    # From arrays of 32 bits or more to the result, in their dtype; it may give inf and nan, as IEEE 754 says.
    compute: ClassVar[Callable[..., Array]]
    accepted: ClassVar[frozenset[DType]] = FLOATS

    def __init_subclass__(
        cls, compute: Callable[..., Array] | None = None, accepted: frozenset[DType] | None = None
    ) -> None:
        super().__init_subclass__()
        if compute is not None:
            cls.compute = staticmethod(compute)
        if accepted is not None:
            cls.accepted = accepted

    def eval(self, x: Array, *others: Array | None) -> Array:
        wide = widen(x)
        with np.errstate(all="ignore"):
            result = np.asarray(self.compute(wide, *[other if other is None else widen(other) for other in others]))
            # Booleans and indices are results of another dtype, and stay.
            return result.astype(x.dtype, copy=False) if result.dtype == wide.dtype else result

    def prepare(self, *types: TensorType | None) -> Callable[..., Any]:
        return self.compute if is_plain(*types) else self.eval


def require_dtype(op: Op, name: str, given: TensorType, accepted: frozenset[DType]) -> None:
    """Refuse an input whose dtype the operator does not take.

    Raises:
        ShapeError: the message names the input and lists the dtypes that are taken.
    """
    if given.dtype not in accepted:
        known = ", ".join(dtype.value for dtype in DType if dtype in accepted)
        raise ShapeError(f"{op} received {name} of type {given}; expected a dtype of {known}: cast it first")


def require_same_dtype(op: Op, **inputs: TensorType | None) -> None:
    """Refuse inputs of different dtypes; absent ones do not count.

    Raises:
        ShapeError: the message names all the inputs.
    """
    present = {name: given for name, given in inputs.items() if given is not None}
    if len({given.dtype for given in present.values()}) > 1:
        listed = ", ".join(f"{name} of type {given}" for name, given in present.items())
        raise ShapeError(f"{op} received {listed}; expected one dtype: cast one of them first")
