"""Keras's layers that change images at random when a model is trained. At inference they pass them on.

Their arguments say what training does. They are kept, so that a config can be read and written, and not used.

Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from kir import backend as K
from kir.errors import InvalidArgumentError, UnsupportedError
from kir.ir.trace import Tensor
from kir.ir.types import format_shape
from kir.modeling.declared import DataFormat, DeclaredLayer
from kir.modeling.layer import Layer, numbered, to_config
from kir.modeling.layer_classes import layer_from_config
from kir.support.declarations import Argument, Integer, Unchecked


class Augmentation(DeclaredLayer):
    """The base of the augmentations, which pass on images in the compute dtype, or those in a dict with "images".

    Raises:
        InvalidArgumentError: there is no such data format.
    """

    # Whether images of integers stay integers.
    keeps_dtype: ClassVar[bool] = False

    data_format: DataFormat = DataFormat(default=None, kw_only=True, doc="where the channels are")
    bounding_box_format: Unchecked = Unchecked(
        default=None, kw_only=True, doc="how boxes are written in such a dict; kept only"
    )

    def call(self, data: Tensor | dict[str, Any]) -> Any:
        if isinstance(data, dict):
            return data | {"images": self.transform(data["images"])}
        return self.transform(data)

    def transform(self, images: Tensor) -> Any:
        """Return images, (batch, height, width, channels) or without the batch, as they are at inference."""
        return images if self.keeps_dtype else self.promote(images)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; that of boxes only if it was given, as Keras writes it."""
        return {k: v for k, v in super().get_config().items() if k != "bounding_box_format" or v is not None}


class ColorChange(Augmentation):
    """The base of random changes of colours by a factor."""

    factor: Unchecked = Unchecked()
    value_range: Unchecked = Unchecked(default=(0, 255))
    seed: Unchecked = Unchecked(default=None)


class AutoContrast(Augmentation):
    """Every channel of every image stretched over the whole range; one of a single value is left alone.

    This is done at inference too.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/auto_contrast/
    """

    value_range: Unchecked = Unchecked(default=(0, 255), doc="the least and the largest value of the images")

    def transform(self, images: Tensor) -> Any:
        images = self.promote(images)
        low, high = self.value_range
        x = images if (low, high) == (0, 255) else (images - low) / (high - low) * 255
        least, largest = (reduce(x, axis=(1, 2), keepdims=True) for reduce in (K.min, K.max))
        scale = 255.0 / (largest - least)
        result = K.clip(x * scale + -least * scale, 0.0, 255.0)
        if (low, high) != (0, 255):
            result = result / 255 * (high - low) + low
        return K.where(K.isnan(result), images, result)


class AugMix(Augmentation):
    """Mixes of chains of augmentations.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/aug_mix/
    """

    value_range: Unchecked = Unchecked(default=(0, 255))
    num_chains: Unchecked = Unchecked(default=3)
    chain_depth: Unchecked = Unchecked(default=3)
    factor: Unchecked = Unchecked(default=0.3)
    alpha: Unchecked = Unchecked(default=1.0)
    all_ops: Unchecked = Unchecked(default=True)
    interpolation: Unchecked = Unchecked(default="bilinear")
    seed: Unchecked = Unchecked(default=None)


class CutMix(Augmentation):
    """Patches of one image in another.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/cut_mix/
    """

    factor: Unchecked = Unchecked(default=1.0)
    seed: Unchecked = Unchecked(default=None)


class Equalization(Augmentation):
    """Equalized histograms.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/equalization/
    """

    value_range: Unchecked = Unchecked(default=(0, 255))
    bins: Unchecked = Unchecked(default=256)


class MixUp(Augmentation):
    """Blends of two images.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/mix_up/
    """

    alpha: Unchecked = Unchecked(default=0.2)
    seed: Unchecked = Unchecked(default=None)


class RandAugment(Augmentation):
    """Randomly chosen augmentations.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/rand_augment/
    """

    value_range: Unchecked = Unchecked(default=(0, 255))
    num_ops: Unchecked = Unchecked(default=2)
    factor: Unchecked = Unchecked(default=0.5)
    interpolation: Unchecked = Unchecked(default="bilinear")
    seed: Unchecked = Unchecked(default=None)


class Solarization(Augmentation):
    """Inverted bright pixels.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/solarization/
    """

    addition_factor: Unchecked = Unchecked(default=0.0)
    threshold_factor: Unchecked = Unchecked(default=0.0)
    value_range: Unchecked = Unchecked(default=(0, 255))
    seed: Unchecked = Unchecked(default=None)


class RandomBrightness(ColorChange):
    """Random brightness.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_brightness/
    """

    keeps_dtype = True


class RandomColorDegeneration(ColorChange):
    """Randomly faded colours.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_color_degeneration/
    """


class RandomColorJitter(Augmentation):
    """Random brightness, contrast, saturation and hue.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_color_jitter/
    """

    value_range: Unchecked = Unchecked(default=(0, 255))
    brightness_factor: Unchecked = Unchecked(default=None)
    contrast_factor: Unchecked = Unchecked(default=None)
    saturation_factor: Unchecked = Unchecked(default=None)
    hue_factor: Unchecked = Unchecked(default=None)
    seed: Unchecked = Unchecked(default=None)


class RandomContrast(ColorChange):
    """Random contrast.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_contrast/
    """


class RandomCrop(Augmentation):
    """Random windows of the size (height, width).

    Only images that have this size already are taken: for others, what Keras 3 computes at inference (nothing: they
    keep their size) contradicts the shape that it declares, and its documentation.

    Raises:
        InvalidArgumentError: a size is no positive integer.
        UnsupportedError: images have another size, or may have.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_crop/
    """

    limits = "images that have the size already"

    height: Integer = Integer(1, doc="the size")
    width: Integer = Integer(1, doc="the size")
    seed: Unchecked = Unchecked(default=None, doc="kept only")

    def transform(self, images: Tensor) -> Any:
        """Return the images."""
        rank = len(images.shape)
        found = images.shape[rank - 3 : rank - 1] if self.data_format == "channels_last" else images.shape[rank - 2 :]
        if found != (self.height, self.width):
            raise UnsupportedError(
                f"RandomCrop to ({self.height}, {self.width}) received images of {format_shape(found)}: Keras declares "
                f"the first size and computes the second; use CenterCrop or Resizing in its place"
            )
        return self.promote(images)


class RandomElasticTransform(Augmentation):
    """Random elastic distortions.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_elastic_transform/
    """

    factor: Unchecked = Unchecked(default=1.0)
    scale: Unchecked = Unchecked(default=1.0)
    interpolation: Unchecked = Unchecked(default="bilinear")
    fill_mode: Unchecked = Unchecked(default="reflect")
    fill_value: Unchecked = Unchecked(default=0.0)
    value_range: Unchecked = Unchecked(default=(0, 255))
    seed: Unchecked = Unchecked(default=None)


class RandomErasing(Augmentation):
    """Randomly erased patches.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_erasing/
    """

    factor: Unchecked = Unchecked(default=1.0)
    scale: Unchecked = Unchecked(default=(0.02, 0.33))
    fill_value: Unchecked = Unchecked(default=None)
    value_range: Unchecked = Unchecked(default=(0, 255))
    seed: Unchecked = Unchecked(default=None)


class RandomFlip(Augmentation):
    """Random mirror images.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_flip/
    """

    mode: Unchecked = Unchecked(default="horizontal_and_vertical")
    seed: Unchecked = Unchecked(default=None)


class RandomGaussianBlur(Augmentation):
    """Random blur.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_gaussian_blur/
    """

    factor: Unchecked = Unchecked(default=1.0)
    kernel_size: Unchecked = Unchecked(default=3)
    sigma: Unchecked = Unchecked(default=1.0)
    value_range: Unchecked = Unchecked(default=(0, 255))
    seed: Unchecked = Unchecked(default=None)


class RandomGrayscale(Augmentation):
    """Colours lost at random.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_grayscale/
    """

    keeps_dtype = True

    factor: Unchecked = Unchecked(default=0.5)
    seed: Unchecked = Unchecked(default=None)


class RandomHue(ColorChange):
    """Random hue.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_hue/
    """


class RandomInvert(Augmentation):
    """Colours inverted at random.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_invert/
    """

    factor: Unchecked = Unchecked(default=1.0)
    value_range: Unchecked = Unchecked(default=(0, 255))
    seed: Unchecked = Unchecked(default=None)


class RandomPerspective(Augmentation):
    """Random perspectives.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_perspective/
    """

    factor: Unchecked = Unchecked(default=1.0)
    scale: Unchecked = Unchecked(default=1.0)
    interpolation: Unchecked = Unchecked(default="bilinear")
    fill_value: Unchecked = Unchecked(default=0.0)
    seed: Unchecked = Unchecked(default=None)


class RandomPosterization(ColorChange):
    """Fewer bits for each colour, at random.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_posterization/
    """


class RandomRotation(Augmentation):
    """Random rotations.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_rotation/
    """

    factor: Unchecked = Unchecked()
    fill_mode: Unchecked = Unchecked(default="reflect")
    interpolation: Unchecked = Unchecked(default="bilinear")
    seed: Unchecked = Unchecked(default=None)
    fill_value: Unchecked = Unchecked(default=0.0)


class RandomSaturation(ColorChange):
    """Random saturation.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_saturation/
    """


class RandomSharpness(ColorChange):
    """Random sharpness.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_sharpness/
    """


class RandomShear(Augmentation):
    """Random shears.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_shear/
    """

    x_factor: Unchecked = Unchecked(default=0.0)
    y_factor: Unchecked = Unchecked(default=0.0)
    interpolation: Unchecked = Unchecked(default="bilinear")
    fill_mode: Unchecked = Unchecked(default="reflect")
    fill_value: Unchecked = Unchecked(default=0.0)
    seed: Unchecked = Unchecked(default=None)


class RandomTranslation(Augmentation):
    """Random shifts.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_translation/
    """

    height_factor: Unchecked = Unchecked()
    width_factor: Unchecked = Unchecked()
    fill_mode: Unchecked = Unchecked(default="reflect")
    interpolation: Unchecked = Unchecked(default="bilinear")
    seed: Unchecked = Unchecked(default=None)
    fill_value: Unchecked = Unchecked(default=0.0)


class RandomZoom(Augmentation):
    """Random zooms.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_zoom/
    """

    height_factor: Unchecked = Unchecked()
    width_factor: Unchecked = Unchecked(default=None)
    fill_mode: Unchecked = Unchecked(default="reflect")
    interpolation: Unchecked = Unchecked(default="bilinear")
    seed: Unchecked = Unchecked(default=None)
    fill_value: Unchecked = Unchecked(default=0.0)


def _require_layers(owner: str, name: str, given: object) -> list[Layer]:
    if not isinstance(given, list | tuple) or not all(isinstance(layer, Layer) for layer in given):
        raise InvalidArgumentError(f"{owner}: {name} must be a list of layers; received {name}={given!r}")
    return list(given)


class Pipeline(DeclaredLayer):
    """Layers one after another, as preprocessing of a data set; a Sequential does the same in a model.

    Raises:
        InvalidArgumentError: something in the list is no layer.

    Source: https://keras.io/api/layers/preprocessing_layers/
    """

    supports_masking = True

    layers: Argument[Sequence[Layer], list[Layer]] = Argument(_require_layers, doc="the layers, each of one input")

    def owned_layers(self) -> dict[str, Layer]:
        """Return the layers, under the names that Keras saves them by."""
        return {f"layers/{name}": layer for name, layer in numbered(self.layers)}

    def call(self, inputs: Tensor) -> Any:
        for layer in self.layers:
            inputs = layer.trace(inputs)
        return inputs

    def mask_outputs(self, inputs: object, outputs: object, masks: object) -> Any:
        """Return the outputs with the masks that the last layer gave them."""
        return outputs

    def get_config(self) -> dict[str, Any]:
        """Return the layers and the name, as Keras writes them."""
        return {"name": self.name, "layers": [to_config(layer) for layer in self.layers]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return a new layer from what `get_config` gave; the layers may be config dicts or layers."""
        return cls(**{**config, "layers": [layer_from_config(layer) for layer in config["layers"]]})
