"""Operators that reduce over axes."""

from __future__ import annotations

from functools import partial
from typing import Any

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import IMPORTERS
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.types import DType, normalize_axis
from kir.ops.elementwise import Cast, Log
from kir.ops.reduce import (
    ArgMax,
    ArgMin,
    ReduceL1,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
)
from kir.ops.shape import Reshape


def _reduce(cls: Any, call: OperatorCall, x: Operand, axes: Operand | None = None) -> Operand:
    """Without axes: over all of them, or none, as `noop_with_empty_axes` says."""
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
    if x.type.dtype is DType.BOOL and cls in (ReduceMax, ReduceMin):
        result = call.add(cls(axes, keepdims), call.add(Cast(DType.UINT8), x))
        return call.add(Cast(DType.BOOL), result)
    if cls is not None:
        return call.add(cls(axes, keepdims), x)
    return call.add(Log(), call.add(ReduceSum(axes, keepdims), x))


for _name, _class in {
    "ReduceL1": ReduceL1,
    "ReduceL2": ReduceL2,
    "ReduceLogSum": None,
    "ReduceLogSumExp": ReduceLogSumExp,
    "ReduceMax": ReduceMax,
    "ReduceMean": ReduceMean,
    "ReduceMin": ReduceMin,
    "ReduceProd": ReduceProd,
    "ReduceSum": ReduceSum,
    "ReduceSumSquare": ReduceSumSquare,
}.items():
    IMPORTERS[_name] = partial(_reduce, _class)


def _place(cls: Any, call: OperatorCall, x: Operand) -> Operand:
    axis = normalize_axis(call.attributes.integer("axis", 0), max(x.type.rank, 1))
    keepdims = bool(call.attributes.integer("keepdims", 1))
    if call.attributes.integer("select_last_index", 0):
        raise UnsupportedError(f"kir has no {cls.__name__} with select_last_index=1")
    return call.add(cls(axis, keepdims), x)


IMPORTERS["ArgMax"] = partial(_place, ArgMax)
IMPORTERS["ArgMin"] = partial(_place, ArgMin)


def _global_pool(cls: Any, call: OperatorCall, x: Operand) -> Operand:
    return call.add(cls(tuple(range(2, x.type.rank)), True), x)


IMPORTERS["GlobalAveragePool"] = partial(_global_pool, ReduceMean)
IMPORTERS["GlobalMaxPool"] = partial(_global_pool, ReduceMax)
