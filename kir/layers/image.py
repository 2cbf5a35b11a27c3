"""Keras's layers that bring images to one size.

Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kir import backend as K
from kir.backend.image import INTERPOLATIONS, image_axes, sizes_at_ratio
from kir.backend.indexing import emit_slice
from kir.errors import InvalidArgumentError
from kir.ir.dims import Dim, is_known, minimum
from kir.ir.trace import Tensor
from kir.modeling.declared import DataFormat, DeclaredLayer
from kir.support.declarations import Boolean, Choice, Integer, Number


class ImageLayer(DeclaredLayer):
    """The base of the layers of images: images of rank 4, or 3 without a batch, and the size that they get."""

    takes_one_tensor = True

    height: Integer = Integer(1, doc="the size")
    width: Integer = Integer(1, doc="the size")
    data_format: DataFormat = DataFormat(default=None)


class Resizing(ImageLayer):
    """Images of the size (height, width). Integers stay integers.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the input is no image, or a size must be known and is not: bilinear, bicubic and nearest, without
            antialias, work on unknown ones.

    Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/resizing/
    """

    limits = "antialias and the Lanczos kernels need known sizes"
    # Of boxes that are given beside the images of a training set.
    ignored_config = frozenset({"bounding_box_format"})

    height: Integer = Integer(1, doc="the size")
    width: Integer = Integer(1, doc="the size")
    interpolation: Choice = Choice(
        *INTERPOLATIONS, default="bilinear", doc='"bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5"'
    )
    crop_to_aspect_ratio: Boolean = Boolean(
        default=False, doc="first cuts the images to the new ratio of height and width"
    )
    pad_to_aspect_ratio: Boolean = Boolean(default=False, doc="first pads them to it")
    fill_mode: Choice = Choice("constant", default="constant", doc='only "constant"')
    fill_value: Number = Number(default=0.0, doc="what is padded with")
    antialias: Boolean = Boolean(default=False, doc="whether each new element comes from all old ones that it covers")
    data_format: DataFormat = DataFormat(default=None)

    def finish_init(self) -> None:
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise InvalidArgumentError(
                f"{self.name_in_messages} takes one of crop_to_aspect_ratio and pad_to_aspect_ratio; received both as "
                f"True"
            )

    def call(self, data: Tensor) -> Any:
        return K.image.resize(
            data,
            (self.height, self.width),
            self.interpolation,
            self.antialias,
            self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio,
            self.fill_mode,
            self.fill_value,
            self.data_format,
        )


class CenterCrop(ImageLayer):
    """The middle (height, width) of images. Smaller ones are cut to that ratio and resized, bilinearly.

    Where a size is unknown, the model finds out which it is when it runs, as Keras does.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the input is no image.

    Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/center_crop/
    """

    def call(self, data: Tensor) -> Any:
        data = self.promote(data)
        axes, wanted = image_axes(data, self.data_format), (self.height, self.width)
        given = [data.shape[axis] for axis in axes]
        is_large = _is_large_enough(given, wanted)
        if is_large == 0:
            return K.image.resize(data, wanted, crop_to_aspect_ratio=True, data_format=self.data_format)
        at_ratio = (1, 1) if is_large == 1 else sizes_at_ratio(data, axes, wanted)
        for axis, size, target, ideal in zip(axes, given, wanted, at_ratio, strict=True):
            window = is_large * target + (1 - is_large) * ideal
            start = (size - window) // 2
            data = data if size == window else emit_slice(data, axis, start, start + window)
        # Of an image that was large enough, this changes nothing.
        return data if is_large == 1 else K.image.resize(data, wanted, data_format=self.data_format)


def _is_large_enough(given: Sequence[Dim], wanted: Sequence[int]) -> Dim:
    """Return 1 where no size is smaller than it shall be, and 0 where one is."""
    if any(is_known(size) and size < target for size, target in zip(given, wanted, strict=True)):
        return 0
    result: Dim = 1
    for size, target in zip(given, wanted, strict=True):
        result = result if is_known(size) else minimum(result, size // target)
    return result
