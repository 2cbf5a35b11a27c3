"""Arithmetic on sizes: nodes that compute integers from known ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from kir.importers.onnx_file import sizes
from kir.importers.onnx_file.reading import read_dtype
from kir.importers.onnx_file.sizes import Sizes
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.types import DType


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
