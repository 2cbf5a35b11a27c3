"""Arithmetic on sizes: nodes that compute integers from known ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from kir.importers.onnx_file import sizes
from kir.importers.onnx_file.reading import read_dtype
from kir.importers.onnx_file.sizes import Sizes
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.structural import Constant
from kir.ir.types import DType

# More integers are no pads, axes or sizes.
MAX_FOLDED_ELEMENTS = 64


def fold_sizes(call: OperatorCall, inputs: Sequence[Operand | None]) -> Sizes | None:
    """Return what a node that computes integers from known ones gives; None if it is none, or depends on the sizes."""
    rule = FOLDED.get(call.op_type)
    if rule is None or not inputs:
        return None
    given: list[Sizes | None] = []
    for operand in inputs:
        if operand is not None and operand.sizes is None:
            return None
        given.append(None if operand is None else operand.sizes)
    return sizes.safely(lambda: rule(call, *given))


def fold_constants(result: Operand | None) -> Operand | None:
    """Return an operand whose node computes few integers from constants as their array: pads and axes come as that."""
    value = None if result is None else result.value
    if result is None or value is None or value.type.dtype not in (DType.INT64, DType.INT32, DType.BOOL):
        return result
    op, inputs = value.node.op, value.node.inputs
    arrays = [one.node.op.value.array for one in inputs if one is not None and isinstance(one.node.op, Constant)]
    shape = [dim for dim in value.type.shape if isinstance(dim, int)]
    is_plain = len(value.node.outputs) == 1 and op.deterministic and not op.symbols() and not op.bodies()
    if not is_plain or not arrays or len(arrays) < len(inputs):
        return result
    if len(shape) < value.type.rank or max(math.prod(shape), *(array.size for array in arrays)) > MAX_FOLDED_ELEMENTS:
        return result
    return Operand.of_array(result.name, op.eval(*arrays), None, result.origin)


def _fold_slice(call: OperatorCall, data: Sizes, *bounds: Sizes | None) -> Sizes | None:
    if bounds:
        starts, ends, axes, steps = (*bounds, None, None, None)[:4]
        return None if starts is None or ends is None else sizes.slice_(data, starts, ends, axes, steps)
    return sizes.slice_(data, *(Sizes(call.attributes.integers(name, ())) for name in ("starts", "ends")))


def _fold_cast(call: OperatorCall, data: Sizes) -> Sizes | None:
    dtype = read_dtype(call.attributes.integer("to"), "the target of Cast")
    return data if dtype in (DType.INT64, DType.INT32) else None


def _fold_product(call: OperatorCall, data: Sizes, axes: Sizes | None = None) -> Sizes | None:
    total = sizes.total(data)
    return None if total is None or data.is_scalar else Sizes((total,), not call.attributes.integer("keepdims", 1))


FOLDED: dict[str, Callable[..., Sizes | None]] = {
    **{name: partial(lambda rule, call, *given: rule(*given), rule) for name, rule in sizes.ELEMENTWISE.items()},
    "Concat": lambda call, *given: sizes.concat(*given),
    "Gather": lambda call, data, indices: sizes.gather(data, indices),
    "Slice": _fold_slice,
    "Cast": _fold_cast,
    "ReduceProd": _fold_product,
}
