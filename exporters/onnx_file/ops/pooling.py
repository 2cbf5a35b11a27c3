"""Pooling."""

from __future__ import annotations

from typing import Any

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.convolution import padding_attributes
from kir.exporters.onnx_file.ops.table import Names, exports
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.windows import SAME, settle_padding


@exports(MaxPool)
def max_pool(emitter: Emitter, op: MaxPool, x: FileTensor) -> Names:
    return emitter.node("MaxPool", [x.name], **_attributes(op, x), dilations=op.dilations)


@exports(AveragePool)
def average_pool(emitter: Emitter, op: AveragePool, x: FileTensor) -> Names:
    is_dilated = max(op.dilations) > 1
    if is_dilated and emitter.opset < 19:
        raise UnsupportedError(f"{op} needs opset 19, where AveragePool got dilations; received {emitter.opset}")
    return emitter.node(
        "AveragePool",
        [x.name],
        **_attributes(op, x),
        dilations=op.dilations if is_dilated else None,
        count_include_pad=op.count_include_pad or None,
    )


def _attributes(op: MaxPool | AveragePool, x: FileTensor) -> dict[str, Any]:
    """Return the attributes of both. onnxruntime pads wrongly where windows have dilations, or gaps between them."""
    padding, windows = op.padding, op.windows()
    if padding == SAME and any(window.dilation > 1 or window.stride > window.size for window in windows):
        padding = settle_padding(windows, x.type.shape[2:], padding)
        if padding == SAME:
            raise UnsupportedError(
                f"{op} of {x.type}: onnxruntime does not pad windows with dilations, or with strides that are larger "
                f"than they are, by itself; give the input concrete sizes (--input-shapes)"
            )
    return {
        "kernel_shape": op.kernel_shape,
        "strides": op.strides,
        "ceil_mode": op.ceil_mode or None,
        **padding_attributes(padding),
    }
