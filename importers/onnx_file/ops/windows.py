"""The attributes that convolutions and pooling have in common."""

from __future__ import annotations

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.translate import OperatorCall
from kir.ir.dims import Dim, is_known
from kir.ir.types import Shape, TensorType
from kir.ops.windows import SAME, Padding, Window, settle_padding

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def read_windows(call: OperatorCall, x: TensorType, kernel: Shape | None = None) -> list[Window]:
    """Return the window along each spatial axis of x; `kernel` has their sizes where an input says them.

    Raises:
        FormatError: an attribute lacks a number of 1 or more for an axis.
        UnsupportedError: a size of the kernel is unknown.
    """
    ones = (1,) * (x.rank - 2)
    declared = call.attributes.integers("kernel_shape") if kernel is None else kernel_shape(call, kernel)
    if not all(map(is_known, declared)):
        raise UnsupportedError(f"{call.op_type} has a kernel of unknown size {declared}; kir needs it known")
    named = {
        "kernel_shape": declared,
        "strides": call.attributes.integers("strides", ones),
        "dilations": call.attributes.integers("dilations", ones),
    }
    for name, numbers in named.items():
        if len(numbers) != x.rank - 2 or min(numbers, default=1) < 1:
            raise FormatError(
                f"{call.op_type} of {x} has {name}={list(numbers)}; expected numbers of 1 or more, one for each "
                f"spatial axis"
            )
    return [Window(*each) for each in zip(*named.values(), strict=True)]


def kernel_shape(call: OperatorCall, kernel: Shape) -> tuple[Dim, ...]:
    """Return the spatial sizes of a kernel; the attribute, if it is there, must repeat them."""
    stated: tuple[int, ...] = call.attributes.integers("kernel_shape", ())
    if stated and any(is_known(a) and a != b for a, b in zip(kernel, stated, strict=False)):
        raise FormatError(f"{call.op_type} has kernel_shape={list(stated)} and a kernel of {list(kernel)}")
    return kernel


def read_padding(call: OperatorCall, windows: list[Window], sizes: Shape) -> Padding:
    """Return the padding, in numbers unless it is the upper "same".

    Raises:
        FormatError: it is not one of ONNX.
        UnsupportedError: it is the lower "same" of unknown sizes.
    """
    kind = call.attributes.text("auto_pad", "NOTSET") or "NOTSET"
    pads: tuple[int, ...] = call.attributes.integers("pads", ()) or (0,) * (2 * len(windows))
    if kind not in AUTO_PADS:
        raise FormatError(f"{call.op_type} has auto_pad={kind!r}; expected one of {', '.join(AUTO_PADS)}")
    if kind == "SAME_UPPER":
        return SAME
    if kind == "SAME_LOWER":
        return _lower_padding(call, windows, sizes)
    return (0,) * (2 * len(windows)) if kind == "VALID" else pads


def _lower_padding(call: OperatorCall, windows: list[Window], sizes: Shape) -> Padding:
    """Return the padding of "same", with the odd element in front."""
    settled = settle_padding(windows, sizes, SAME)
    if isinstance(settled, str):
        raise UnsupportedError(f"{call.op_type} has auto_pad=SAME_LOWER for unknown sizes; kir needs them known")
    return (*settled[len(windows) :], *settled[: len(windows)])
