"""The file on small images: what it does with a batch shows there as well, for a fraction of the cost.

The fixed height and width of images are made small in a copy of the file. Where the rest of the file does not go with
that (a Reshape has the sizes built in, a Dense reads every pixel), onnxruntime refuses it, or the rows come out wrong.
Then it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from kir.errors import CrashError, KirError
from kir.exporters.onnx_file.mapped import LeanModel
from kir.exporters.onnx_file.session import Session, run_session
from kir.ir.op import Array
from kir.numerics.expected import Expected
from kir.numerics.interpreter import widened
from kir.numerics.rounding_sizes import epsilon, is_float_array

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
        """Return the outputs; None if the rest of the file does not go with the size."""
        try:
            return run_session(self.session, self.crop(feeds))
        except CrashError:
            raise
        except KirError:
            return None


def load_small(lean: LeanModel, feeds: Feeds, times: int, provider: str) -> Iterator[SmallImages]:
    """Yield sessions for images so small that `times` as many have no more pixels than those of `feeds`, each once."""
    for pixels in PIXELS:  # the smaller first
        shapes = {name: _shrink(array.shape, pixels) for name, array in feeds.items()}
        changed = {name: shape for name, shape in shapes.items() if shape != feeds[name].shape}
        if not changed or any(times * math.prod(shape) > feeds[name].size for name, shape in changed.items()):
            return
        try:
            yield SmallImages(lean.session_resized(changed, provider), pixels)
        except CrashError:
            raise
        except KirError:  # the rest of the file does not go with this size
            continue


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
