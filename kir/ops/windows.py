"""Windows that slide over the spatial axes of [N, C, *spatial], for convolutions and poolings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kir.errors import ShapeError
from kir.ir.dims import Dim, is_known
from kir.ir.op import Array, Op
from kir.ir.types import Shape, TensorType, type_of
from kir.ops.shape import pad_constant

SAME = "same"

# "same", or how much to add before each spatial axis, then after each.
Padding = str | tuple[int, ...]

MAX_SPATIAL = 3


@dataclass(frozen=True)
class Window:
    """A window along one axis: `size` elements, `dilation` apart, moved by `stride`."""

    size: int
    stride: int
    dilation: int

    @property
    def extent(self) -> int:
        """From the first element to the last, both included."""
        return (self.size - 1) * self.dilation + 1

    def same_padding(self, length: int) -> tuple[int, int]:
        """Return the padding that gives ceil(length / stride) windows, with the odd element at the end."""
        total = max((-(-length // self.stride) - 1) * self.stride + self.extent - length, 0)
        return total // 2, total - total // 2

    def count(self, length: Dim, padding: tuple[int, int] | None, ceil: bool = False) -> Dim:
        """Return the number of windows; padding None is that of `same_padding`.

        With `ceil`, the last window may reach over the end, but must not start in the padding there.
        """
        if padding is None:
            return -(-length // self.stride)
        before, after = padding
        room = length + before + after - self.extent
        if not ceil:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        # The last window starts at most at length + before + after - extent + stride - 1.
        if self.stride <= self.extent - after:
            return count
        if not is_known(count) or not is_known(length):
            raise ShapeError(
                f"cannot decide whether a window of {self.extent} moved by {self.stride} starts after an axis of "
                f"size {length} rounded up with ceil_mode; give a concrete size (--input-shapes)"
            )
        return count - 1 if (count - 1) * self.stride >= length + before else count


def check_spatial(op: Op, x: TensorType, padding: Padding, **attributes: tuple[int, ...]) -> int:
    """Return the number of spatial axes of x[N, C, *spatial].

    Raises:
        ShapeError: it is not 1 to 3, an attribute does not have one number of 1 or more for each, or `padding` is no
            padding for them.
    """
    rank = x.rank - 2
    if not 1 <= rank <= MAX_SPATIAL:
        raise ShapeError(f"{op.name} received {x}; expected [N, C, *spatial] with 1 to {MAX_SPATIAL} spatial axes")
    for name, numbers in attributes.items():
        if len(numbers) != rank or min(numbers) < 1:
            raise ShapeError(f"{op.name} received {name}={numbers} for {x}; expected {rank} numbers of 1 or more")
    if padding != SAME and (isinstance(padding, str) or len(padding) != 2 * rank or min(padding) < 0):
        raise ShapeError(
            f"{op.name} received padding={padding!r} for {x}; expected {SAME!r}, or {2 * rank} numbers of 0 or more: "
            f"before each spatial axis, then after each"
        )
    return rank


def split_padding(padding: Padding, rank: int) -> list[tuple[int, int] | None]:
    """Return the padding before and after each spatial axis; None for "same"."""
    if isinstance(padding, str):
        return [None] * rank
    return list(zip(padding[:rank], padding[rank:], strict=True))


def count_windows(op: Op, x: TensorType, windows: list[Window], padding: Padding, ceil: bool = False) -> Shape:
    """Return the number of windows along each spatial axis.

    Raises:
        ShapeError: an axis is known to be too small for one window.
    """
    pads = split_padding(padding, len(windows))
    counts = [w.count(size, pad, ceil) for w, size, pad in zip(windows, x.shape[2:], pads, strict=True)]
    for axis, count in enumerate(counts):
        if is_known(count) and count < 1 and x.shape[2 + axis] != 0:
            raise ShapeError(
                f"{op.name} received {x}, too small along spatial axis {axis} for a window that spans "
                f"{windows[axis].extent}; expected more, or padding: {op}"
            )
    return tuple(counts)


def count_windows_of(op: Op, x: Array, windows: list[Window], padding: Padding, ceil: bool = False) -> tuple[int, ...]:
    """Return the number of windows along each spatial axis of an array."""
    return tuple(filter(is_known, count_windows(op, type_of(x), windows, padding, ceil)))


def settle_padding(windows: list[Window], sizes: Shape, padding: Padding) -> Padding:
    """Return a padding of "same" in numbers, unless these depend on unknown sizes; any other padding as it is."""
    if padding != SAME or not all(w.stride == 1 or is_known(size) for w, size in zip(windows, sizes, strict=True)):
        return padding
    before, after = zip(*explicit_padding(windows, tuple(s if is_known(s) else 1 for s in sizes), SAME), strict=True)
    return (*before, *after)


def explicit_padding(windows: list[Window], sizes: tuple[int, ...], padding: Padding) -> list[tuple[int, int]]:
    """Return the padding before and after each spatial axis, in numbers."""
    pads = split_padding(padding, len(windows))
    return [w.same_padding(size) if pad is None else pad for w, size, pad in zip(windows, sizes, pads, strict=True)]


def padded(x: Array, pads: list[tuple[int, int]], value: Any = 0) -> Array:
    """Return x with elements around its spatial axes."""
    return pad_constant(x, [(0, 0), (0, 0), *pads], value) if any(map(any, pads)) else x


def offsets(windows: list[Window], counts: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield the index of each element of a window, and its places in all windows, as slices of the spatial axes."""
    for index in itertools.product(*(range(w.size) for w in windows)):
        yield (
            index,
            tuple(
                slice(i * w.dilation, i * w.dilation + (count - 1) * w.stride + 1, w.stride)
                for i, w, count in zip(index, windows, counts, strict=True)
            ),
        )
