"""Keras's layers that bring images to one size.

Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/
"""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir import config
from kir.backend.image import INTERPOLATIONS, image_axes
from kir.backend.indexing import emit_slice
from kir.errors import InvalidArgumentError
from kir.ir.trace import Tensor
from kir.modeling.layer import Layer
from kir.support.arguments import boolean, choice, integer, number


class ImageLayer(Layer):
    """What the layers of images share: images of rank 4, or 3 without a batch, and the size that they get."""

    takes_one_tensor = True

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.height = integer(owner, "height", height, 1)
        self.width = integer(owner, "width", width, 1)
        self.data_format = config.standardize_data_format(data_format, owner)


class Resizing(ImageLayer):
    """Images of the size (height, width). Integers stay integers.

    Args:
        height, width: the size.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        crop_to_aspect_ratio: first cuts the images to the new ratio of height and width.
        pad_to_aspect_ratio: first pads them to it.
        fill_mode: only "constant".
        fill_value: what is padded with.
        antialias: whether each new element comes from all old ones that it covers.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the input is no image, or a size must be known and is not: bilinear, bicubic and nearest, without
            antialias, work on unknown ones.

    Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/resizing/
    """

    limits = "antialias and the Lanczos kernels need known sizes"

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)
        owner = f"Resizing {self.name!r}"
        self.interpolation = choice(owner, "interpolation", interpolation, tuple(INTERPOLATIONS))
        self.crop_to_aspect_ratio = boolean(owner, "crop_to_aspect_ratio", crop_to_aspect_ratio)
        self.pad_to_aspect_ratio = boolean(owner, "pad_to_aspect_ratio", pad_to_aspect_ratio)
        self.fill_mode = choice(owner, "fill_mode", fill_mode, ("constant",))
        self.fill_value = number(owner, "fill_value", fill_value)
        self.antialias = boolean(owner, "antialias", antialias)
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise InvalidArgumentError(
                f"{owner} takes one of crop_to_aspect_ratio and pad_to_aspect_ratio; received both as True"
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

    An unknown size is taken to be large enough, as in Keras: running the model on a smaller one is an error.

    Args:
        height, width: the size.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the input is no image.

    Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/center_crop/
    """

    def call(self, data: Tensor) -> Any:
        data = self.promote(data)
        axes, wanted = image_axes(data, self.data_format), (self.height, self.width)
        rest = [data.shape[axis] - size for axis, size in zip(axes, wanted, strict=True)]
        if any(isinstance(left, int) and left < 0 for left in rest):
            return K.image.resize(data, wanted, crop_to_aspect_ratio=True, data_format=self.data_format)
        for axis, size, left in zip(axes, wanted, rest, strict=True):
            data = data if isinstance(left, int) and left == 0 else emit_slice(data, axis, left // 2, left // 2 + size)
        return data
