"""Shapes that a function computed with tensors: `K.concatenate([K.expand_dims(K.shape(x)[0], -1), [1, 1]], 0)`.

Where a shape is wanted, the sizes such a tensor is made of are read back from the nodes that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from kir.dims import Dim, Sym, product
from kir.graph import Value
from kir.op import Array, Op
from kir.ops.elementwise import Add, Cast, Mul, Sub
from kir.ops.shape import Concat, Gather, Reshape, Size, Slice, Transpose
from kir.ops.structural import Constant
from kir.trace import Tensor

# Shapes are short, and a table of more integers is data.
MAX_LENGTH = 256

# What each operator makes of sizes, which lie in arrays of objects.
_RULES: Mapping[type[Op], Callable[..., Array]] = {
    Constant: lambda op: op.value.array.astype(object),
    Size: lambda op: np.array(op.dim, object),
    Cast: lambda op, x: x,
    Add: lambda op, a, b: np.array(a + b, object),
    Sub: lambda op, a, b: np.array(a - b, object),
    Mul: lambda op, a, b: np.array(a * b, object),
    **dict.fromkeys((Concat, Gather, Reshape, Slice, Transpose), lambda op, *inputs: op.eval(*inputs)),
}


def sizes_in(x: Tensor) -> tuple[Dim, ...] | None:
    """The elements of an integer tensor of rank 0 or 1 that depends on sizes alone; None of any other."""
    found: dict[Value, Array] = {}
    pending = [x.value]
    while pending:
        value = pending[-1]
        node = value.node
        if value in found:
            pending.pop()
            continue
        if type(node.op) not in _RULES or not _is_short(value):
            return None
        missing = [given for given in node.inputs if given not in found]
        if missing:
            pending.extend(given for given in missing if given is not None)
            continue
        inputs = [found[given] for given in node.inputs if given is not None]
        # Gather picks by integers, not by objects.
        inputs = [inputs[0], inputs[1].astype(np.int64)] if isinstance(node.op, Gather) else inputs
        found[value] = np.asarray(_RULES[type(node.op)](node.op, *inputs), object)
    items = found[x.value]
    is_shape = items.ndim <= 1 and all(isinstance(item, int | Sym) for item in items.ravel().tolist())
    return tuple(items.ravel().tolist()) if is_shape else None


def _is_short(value: Value) -> bool:
    count = product(value.type.shape)
    return value.type.dtype.numpy.kind in "iu" and isinstance(count, int) and count <= MAX_LENGTH
