"""Convolutions."""

from __future__ import annotations

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.ops.windows import AUTO_PADS, read_padding, read_windows
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.dims import Dim, is_known
from kir.ir.types import Shape
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.windows import Window


@imports("Conv")
def conv(call: OperatorCall, x: Operand, kernel: Operand, bias: Operand | None = None) -> Results:
    windows = read_windows(call, x.type, kernel.type.shape[2:])
    padding = read_padding(call, windows, x.type.shape[2:])
    groups = call.attributes.integer("group", 1)
    op = Conv(tuple(w.stride for w in windows), tuple(w.dilation for w in windows), groups, padding)
    return call.add(op, x, kernel, bias)


@imports("ConvTranspose")
def conv_transpose(call: OperatorCall, x: Operand, kernel: Operand, bias: Operand | None = None) -> Results:
    windows = read_windows(call, x.type, kernel.type.shape[2:])
    extra = call.attributes.integers("output_padding", (0,) * len(windows))
    groups = call.attributes.integer("group", 1)
    if len(extra) != len(windows):
        raise FormatError(
            f"ConvTranspose of {x.type} has output_padding={list(extra)}; expected {len(windows)} numbers"
        )
    padding, extra = _cut(call, windows, x.type.shape[2:], extra)
    strides, dilations = tuple(w.stride for w in windows), tuple(w.dilation for w in windows)
    return call.add(ConvTranspose(strides, dilations, groups, padding, extra), x, kernel, bias)


def _cut(
    call: OperatorCall, windows: list[Window], sizes: Shape, extra: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what is cut off and what is added: as stated, or as many as give the output's stated size.

    Raises:
        UnsupportedError: the size of the output is stated, and that of the input unknown.
    """
    kind = call.attributes.text("auto_pad", "NOTSET") or "NOTSET"
    if kind not in AUTO_PADS:
        raise FormatError(f"ConvTranspose has auto_pad={kind!r}; expected one of {', '.join(AUTO_PADS)}")
    stated: tuple[Dim, ...] | None = call.attributes.integers("output_shape", None)
    pads: tuple[int, ...] = call.attributes.integers("pads", ()) or (0,) * (2 * len(windows))
    if stated is None and not kind.startswith("SAME"):
        return ((0,) * len(pads) if kind == "VALID" else pads), extra
    if stated is None:
        stated = tuple(size * w.stride for size, w in zip(sizes, windows, strict=True))
    before, after, added = [], [], []
    # Older exporters state the batch and the channels too.
    for size, w, more, wanted in zip(sizes, windows, extra, stated[-len(windows) :], strict=True):
        surplus = (size - 1) * w.stride + more + w.extent - wanted
        if not is_known(surplus):
            raise UnsupportedError("ConvTranspose states the size of its output; kir needs that of its input known")
        less, half = max(surplus, 0), max(surplus, 0) // 2
        before.append(half if kind == "SAME_UPPER" else less - half)
        after.append(less - before[-1])
        added.append(more + max(-surplus, 0))
    return (*before, *after), tuple(added)
