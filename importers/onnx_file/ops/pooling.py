"""Pooling."""

from __future__ import annotations

from typing import Any

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.ops.windows import read_padding, read_windows
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.reduce import ReduceMax, ReduceMean


@imports("MaxPool")
def max_pool(call: OperatorCall, x: Operand) -> Results:
    call.attributes.integer("storage_order", 0)  # of the indices
    if any(call.outputs[1:]):
        raise UnsupportedError("kir has no MaxPool that gives the indices of the largest elements")
    return call.add(MaxPool(**_fields(call, x)), x)


@imports("AveragePool")
def average_pool(call: OperatorCall, x: Operand) -> Results:
    include = bool(call.attributes.integer("count_include_pad", 0))
    return call.add(AveragePool(**_fields(call, x), count_include_pad=include), x)


def _fields(call: OperatorCall, x: Operand) -> dict[str, Any]:
    windows = read_windows(call, x.type)
    return {
        "kernel_shape": tuple(window.size for window in windows),
        "strides": tuple(window.stride for window in windows),
        "dilations": tuple(window.dilation for window in windows),
        "padding": read_padding(call, windows, x.type.shape[2:]),
        "ceil_mode": bool(call.attributes.integer("ceil_mode", 0)),
    }


@imports("GlobalMaxPool")
def global_max_pool(call: OperatorCall, x: Operand) -> Results:
    return call.add(ReduceMax(tuple(range(2, x.type.rank)), True), x)


@imports("GlobalAveragePool")
def global_average_pool(call: OperatorCall, x: Operand) -> Results:
    return call.add(ReduceMean(tuple(range(2, x.type.rank)), True), x)
