"""The file on small images: what it does with a batch shows there as well, for a fraction of the cost.

The fixed height and width of images are made small in a copy of the file. Where the rest of the file does not go with
that, nothing is learnt: a Reshape has the sizes built in, a Dense reads every pixel, a window is larger than what is
left of the image. The types of the graph tell that before onnxruntime is asked, which dies of some (of a Concat of
channels of images without pixels, of a division by zero). No user feeds such sizes, so its death there is no problem
of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kir.errors import KirError
from kir.exporters.onnx_file.mapped import LeanModel
from kir.exporters.onnx_file.session import Session, run_session
from kir.ir.dims import divide_exactly, is_known
from kir.ir.graph import Graph, Node, Value
from kir.ir.interpreter import widened
from kir.ir.op import Array, Op
from kir.ir.structural import Input
from kir.ir.types import TensorType
from kir.numerics.expected import Expected
from kir.numerics.rounding_sizes import epsilon, is_float_array
from kir.ops.resize import Resize
from kir.ops.shape import Slice

# Most convolutional models halve an image five times; those that pad nothing need about twice as many pixels.
PIXELS = (32, 80)
IMAGE_RANK = 4  # and more: batch, channels, and two axes or three

# How many last places of the largest element of a row its elements may differ by from those of the row alone: kernels
# for one row add up in another order. What differs by more is looked at again at full size, in float64.
PLACES = 64.0

Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class SmallImages:
    """A session for small images, and how small they are."""

    session: Session
    pixels: int

    def crop(self, feeds: Feeds) -> dict[str, Array]:
        """Return feeds with the corners of images."""
        return {
            name: array[tuple([slice(size) for size in _shrink(array.shape, self.pixels)])]
            for name, array in feeds.items()
        }

    def run(self, feeds: Feeds) -> dict[str, Array] | None:
        """Return the outputs; None if the rest of the file does not go with the size, or onnxruntime dies of it."""
        try:
            return run_session(self.session, self.crop(feeds))
        except KirError:
            return None


def load_small(lean: LeanModel, graph: Graph, feeds: Feeds, times: int, provider: str) -> Iterator[SmallImages]:
    """Yield sessions for images so small that `times` as many have no more pixels than those of `feeds`, each once.

    Args:
        lean: the file.
        graph: the one that it holds, or should hold.
        feeds: images of full size.
        times: how many small ones run together.
        provider: onnxruntime's execution provider.
    """
    for pixels in PIXELS:  # the smaller first
        shapes = {name: _shrink(array.shape, pixels) for name, array in feeds.items()}
        changed = {name: shape for name, shape in shapes.items() if shape != feeds[name].shape}
        if not changed or any(times * math.prod(shape) > feeds[name].size for name, shape in changed.items()):
            return
        if not takes_shapes(graph, shapes):
            continue
        try:
            yield SmallImages(lean.session_resized(changed, provider), pixels)
        except KirError:  # the rest of the file does not go with this size
            continue


def takes_shapes(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Return whether every operator works on inputs of these shapes, and makes nothing empty of them.

    Operators that name sizes do as in the file: a Resize keeps whole factors, and a Slice ends where the image does.
    """

    def rewrite(node: Node, inputs: Sequence[TensorType | None]) -> Op:
        op = node.op
        if isinstance(op, Input):
            return Input(op.label, op.type.with_shape(tuple(shapes[op.label])), op.default)
        if isinstance(op, Resize):
            return _by_factors(op, node.inputs, inputs)
        return _within(op, inputs) if isinstance(op, Slice) else op

    try:
        return not any(
            _is_empty(after) and not _is_empty(before.type)
            for node, types in graph.infer_types({}, rewrite)
            for before, after in zip(node.outputs, types, strict=True)
        )
    except KirError:
        return False


def _by_factors(op: Resize, full: Sequence[Value | None], small: Sequence[TensorType | None]) -> Resize:
    """Return a Resize by the factors that it has at full size, where they are whole; otherwise as it is."""
    (before,), (after,) = full, small
    assert before is not None
    assert after is not None
    factors = [divide_exactly(wanted, given) for wanted, given in zip(op.shape, before.type.shape, strict=True)]
    shape = tuple([factor * size for factor, size in zip(factors, after.shape, strict=True) if isinstance(factor, int)])
    return replace(op, shape=shape) if len(shape) == len(factors) else op


def _within(op: Slice, inputs: Sequence[TensorType | None]) -> Slice:
    """Return a Slice that goes on to no index which its input lacks."""
    (x,) = inputs
    assert x is not None
    sizes = [x.shape[axis] for axis in op.axes]
    lasts = [size if step > 0 else size - 1 for size, step in zip(sizes, op.steps, strict=True)]
    starts, ends = (
        tuple([min(a, b) if is_known(a) and is_known(b) else a for a, b in zip(given, lasts, strict=True)])
        for given in (op.starts, op.ends)
    )
    return replace(op, starts=starts, ends=ends)


def _is_empty(type: TensorType) -> bool:
    return any(is_known(dim) and dim < 1 for dim in type.shape)


def _shrink(shape: tuple[int, ...], pixels: int) -> tuple[int, ...]:
    """Return the shape of an image with its long axes cut; any other shape as it is."""
    if len(shape) < IMAGE_RANK:
        return shape
    return (shape[0], *[min(size, pixels) for size in shape[1:]])


def rounded_alike(row: Array) -> Expected:
    """Return what a row may come out as in a batch, from what it came out as alone."""
    if not is_float_array(row):
        return Expected(row, np.zeros(row.shape))
    wide = widened(row)
    return Expected(wide, np.full(row.shape, PLACES * epsilon(row.dtype) * np.abs(wide).max(initial=0)))
