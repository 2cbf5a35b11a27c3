"""Convolutions."""

from __future__ import annotations

from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.ops.windows import read_padding, read_windows
from kir.importers.onnx_file.translate import Call, Operand
from kir.ops.convolution import Conv


@imports("Conv")
def conv(call: Call, x: Operand, kernel: Operand, bias: Operand | None = None) -> Results:
    windows = read_windows(call, x.type, kernel.type.shape[2:])
    padding = read_padding(call, windows, x.type.shape[2:])
    groups = call.attributes.integer("group", 1)
    op = Conv(tuple(w.stride for w in windows), tuple(w.dilation for w in windows), groups, padding)
    return call.add(op, x, kernel, bias)
