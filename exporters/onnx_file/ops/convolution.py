"""Convolutions."""

from __future__ import annotations

from typing import Any

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports, names_of
from kir.ir.dims import Dim, is_known
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.windows import SAME, Padding, Window, settle_padding


@exports(Conv)
def conv(emitter: Emitter, op: Conv, x: FileTensor, kernel: FileTensor, bias: FileTensor | None = None) -> Names:
    """Write a Conv. onnxruntime refuses auto_pad with dilations: there the zeros are put around x before."""
    windows = op.windows(tuple(filter(is_known, kernel.type.shape[2:])))
    data = x.name
    padding = op.padding
    if padding == SAME and max(op.dilations) > 1:
        padding = settle_padding(windows, x.type.shape[2:], padding)
        if padding == SAME:
            data, padding = _pad_same(emitter, op, x, windows), (0,) * (2 * len(windows))
    return emitter.node(
        "Conv",
        [data, *names_of([kernel, bias])],
        kernel_shape=[window.size for window in windows],
        strides=op.strides,
        dilations=op.dilations,
        group=op.groups,
        **padding_attributes(padding),
    )


@exports(ConvTranspose)
def conv_transpose(
    emitter: Emitter, op: ConvTranspose, x: FileTensor, kernel: FileTensor, bias: FileTensor | None = None
) -> Names:
    return emitter.node(
        "ConvTranspose",
        names_of([x, kernel, bias]),
        kernel_shape=kernel.type.shape[2:],
        strides=op.strides,
        dilations=op.dilations,
        group=op.groups,
        pads=op.padding,
        output_padding=op.output_padding if any(op.output_padding) else None,
    )


def padding_attributes(padding: Padding) -> dict[str, Any]:
    """Return how ONNX says a padding."""
    return {"auto_pad": "SAME_UPPER"} if padding == SAME else {"pads": padding}


def _pad_same(emitter: Emitter, op: Conv, x: FileTensor, windows: list[Window]) -> str:
    """Pad x with the zeros that "same" asks for, whose number is only known when the model runs."""
    before: list[Dim] = [0, 0]
    after: list[Dim] = [0, 0]
    for window, size in zip(windows, x.type.shape[2:], strict=True):
        if window.extent < window.stride:
            raise UnsupportedError(
                f"{op} of {x.type} leaves elements out between its windows; give the input concrete sizes "
                f"(--input-shapes)"
            )
        total = (-(-size // window.stride) - 1) * window.stride + window.extent - size
        before.append(total // 2)
        after.append(total - total // 2)
    return emitter.node("Pad", [x.name, emitter.sizes([*before, *after])])
