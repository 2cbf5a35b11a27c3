"""Arrays that are the same, and values of a graph that are arrays."""

from __future__ import annotations

import numpy as np

from kir.ir.graph import Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant
from kir.ops import shape as shaping
from kir.ops.elementwise import Cast


def is_same_array(a: Array, b: Array) -> bool:
    """Return whether two arrays have the same dtype, shape and bytes."""
    if a is b:
        return True
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype == object:
        return bool(a.ravel().tolist() == b.ravel().tolist())
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def array_of(value: Value | None) -> Array | None:
    """Return the array of a constant, or of one that is transposed, reshaped and cast; None for any other value."""
    ops: list[Op] = []
    while value is not None and not isinstance(value.node.op, Constant):
        if not isinstance(value.node.op, shaping.Transpose | shaping.Reshape | Cast):
            return None
        ops.append(value.node.op)
        value = value.node.inputs[0]
    if value is None:
        return None
    array: Array = value.node.op.value.array  # type: ignore[attr-defined]
    for op in reversed(ops):
        array = op.eval(array)
    return array
