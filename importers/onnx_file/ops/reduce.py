"""Operators that reduce over axes."""

from __future__ import annotations

from functools import partial
from typing import Any

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import IMPORTERS
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.types import DType, normalize_axis
from kir.ops import reduce as ops
from kir.ops.elementwise import Cast, Log
from kir.ops.shape import Reshape


def _reduce(cls: Any, call: OperatorCall, x: Operand, axes: Operand | None = None) -> Operand:
    """Read a reduction; without axes it is over all of them, or none, as `noop_with_empty_axes` says."""
    keepdims = bool(call.attributes.integer("keepdims", 1))
    given = call.attributes.integers("axes", ()) if axes is None else call.known(axes, "axes")
    does_nothing = bool(call.attributes.integer("noop_with_empty_axes", 0)) and not given
    rank = x.type.rank
    chosen = call.axes(given, rank) if given else tuple(range(rank))
    if does_nothing and rank:
        # Over an axis of its own, of size 1, each element is reduced alone.
        alone = call.add(Reshape((*x.type.shape, 1)), x)
        return _reduced(call, cls, (rank,), False, alone)
    return _reduced(call, cls, chosen, keepdims, x)


def _reduced(call: OperatorCall, cls: Any, axes: tuple[int, ...], keepdims: bool, x: Operand) -> Operand:
    if x.type.dtype is DType.BOOL and cls in (ops.ReduceMax, ops.ReduceMin):
        result = call.add(cls(axes, keepdims), call.add(Cast(DType.UINT8), x))
        return call.add(Cast(DType.BOOL), result)
    if cls is not None:
        return call.add(cls(axes, keepdims), x)
    return call.add(Log(), call.add(ops.ReduceSum(axes, keepdims), x))


for _name, _class in {
    "ReduceL1": ops.ReduceL1,
    "ReduceL2": ops.ReduceL2,
    "ReduceLogSum": None,
    "ReduceLogSumExp": ops.ReduceLogSumExp,
    "ReduceMax": ops.ReduceMax,
    "ReduceMean": ops.ReduceMean,
    "ReduceMin": ops.ReduceMin,
    "ReduceProd": ops.ReduceProd,
    "ReduceSum": ops.ReduceSum,
    "ReduceSumSquare": ops.ReduceSumSquare,
}.items():
    IMPORTERS[_name] = partial(_reduce, _class)


def _place(cls: Any, call: OperatorCall, x: Operand) -> Operand:
    axis = normalize_axis(call.attributes.integer("axis", 0), max(x.type.rank, 1))
    keepdims = bool(call.attributes.integer("keepdims", 1))
    if call.attributes.integer("select_last_index", 0):
        raise UnsupportedError(f"kir has no {cls.__name__} with select_last_index=1")
    return call.add(cls(axis, keepdims), x)


IMPORTERS["ArgMax"] = partial(_place, ops.ArgMax)
IMPORTERS["ArgMin"] = partial(_place, ops.ArgMin)
