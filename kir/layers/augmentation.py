"""Keras's layers that change images at random when a model is trained. At inference they pass them on.

Their arguments say what training does. They are kept, so that a config can be read and written, and not used.

Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from kir import backend as K
from kir import config
from kir.errors import InvalidArgumentError, UnsupportedError
from kir.ir.trace import Tensor
from kir.ir.types import format_shape
from kir.modeling.layer import Layer, layer_from_config, numbered, to_config
from kir.support.arguments import integer


class Augmentation(Layer):
    """Images in the compute dtype; of a dict with "images", as Keras's pipelines pass it, those.

    Args:
        data_format: where the channels are.
        bounding_box_format: how boxes are written in such a dict; kept only.

    Raises:
        InvalidArgumentError: there is no such data format.
    """

    # Whether images of integers stay integers.
    keeps_dtype: ClassVar[bool] = False

    def __init__(self, data_format: str | None = None, bounding_box_format: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format, f"{type(self).__name__} {self.name!r}")
        self.bounding_box_format = bounding_box_format

    def call(self, data: Any) -> Any:
        if isinstance(data, dict):
            return data | {"images": self.transform(data["images"])}
        return self.transform(data)

    def transform(self, images: Tensor) -> Any:
        """What the layer does with images at inference: (batch, height, width, channels) or without the batch."""
        return images if self.keeps_dtype else self.promote(images)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; that of boxes only if it was given, as Keras writes it."""
        return {k: v for k, v in super().get_config().items() if k != "bounding_box_format" or v is not None}


class AutoContrast(Augmentation):
    """Every channel of every image stretched over the whole range; one of a single value is left alone.

    This is done at inference too.

    Args:
        value_range: the least and the largest value of the images.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/auto_contrast/
    """

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range

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

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_chains: Any = 3,
        chain_depth: Any = 3,
        factor: Any = 0.3,
        alpha: Any = 1.0,
        all_ops: Any = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range
        self.num_chains = num_chains
        self.chain_depth = chain_depth
        self.factor = factor
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation = interpolation
        self.seed = seed


class CutMix(Augmentation):
    """Patches of one image in another.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/cut_mix/
    """

    def __init__(self, factor: Any = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.seed = seed


class Equalization(Augmentation):
    """Equalized histograms.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/equalization/
    """

    def __init__(self, value_range: Any = (0, 255), bins: Any = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range
        self.bins = bins


class MixUp(Augmentation):
    """Blends of two images.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/mix_up/
    """

    def __init__(self, alpha: Any = 0.2, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.seed = seed


class RandAugment(Augmentation):
    """Randomly chosen augmentations.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/rand_augment/
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        num_ops: Any = 2,
        factor: Any = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range
        self.num_ops = num_ops
        self.factor = factor
        self.interpolation = interpolation
        self.seed = seed


class Solarization(Augmentation):
    """Inverted bright pixels.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/solarization/
    """

    def __init__(
        self,
        addition_factor: Any = 0.0,
        threshold_factor: Any = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.addition_factor = addition_factor
        self.threshold_factor = threshold_factor
        self.value_range = value_range
        self.seed = seed


class RandomBrightness(Augmentation):
    """Random brightness.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_brightness/
    """

    keeps_dtype = True

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomColorDegeneration(Augmentation):
    """Randomly faded colours.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_color_degeneration/
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomColorJitter(Augmentation):
    """Random brightness, contrast, saturation and hue.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_color_jitter/
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        brightness_factor: Any = None,
        contrast_factor: Any = None,
        saturation_factor: Any = None,
        hue_factor: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        self.seed = seed


class RandomContrast(Augmentation):
    """Random contrast.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_contrast/
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomCrop(Augmentation):
    """Random windows of the size (height, width).

    Only images that have this size already are taken: for others, what Keras 3 computes at inference (nothing: they
    keep their size) contradicts the shape that it declares, and its documentation.

    Args:
        height, width: the size.
        seed: kept only.

    Raises:
        InvalidArgumentError: a size is no positive integer.
        UnsupportedError: images have another size, or may have.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_crop/
    """

    limits = "images that have the size already"

    def __init__(self, height: int, width: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"RandomCrop {self.name!r}"
        self.height = integer(owner, "height", height, 1)
        self.width = integer(owner, "width", width, 1)
        self.seed = seed

    def transform(self, images: Tensor) -> Any:
        """The images."""
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

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.scale = scale
        self.interpolation = interpolation
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.value_range = value_range
        self.seed = seed


class RandomErasing(Augmentation):
    """Randomly erased patches.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_erasing/
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: float | None = None,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.scale = scale
        self.fill_value = fill_value
        self.value_range = value_range
        self.seed = seed


class RandomFlip(Augmentation):
    """Random mirror images.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_flip/
    """

    def __init__(self, mode: str = "horizontal_and_vertical", seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.seed = seed


class RandomGaussianBlur(Augmentation):
    """Random blur.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_gaussian_blur/
    """

    def __init__(
        self,
        factor: Any = 1.0,
        kernel_size: Any = 3,
        sigma: Any = 1.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.kernel_size = kernel_size
        self.sigma = sigma
        self.value_range = value_range
        self.seed = seed


class RandomGrayscale(Augmentation):
    """Colours lost at random.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_grayscale/
    """

    keeps_dtype = True

    def __init__(self, factor: Any = 0.5, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.seed = seed


class RandomHue(Augmentation):
    """Random hue.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_hue/
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomInvert(Augmentation):
    """Colours inverted at random.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_invert/
    """

    def __init__(self, factor: Any = 1.0, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomPerspective(Augmentation):
    """Random perspectives.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_perspective/
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.scale = scale
        self.interpolation = interpolation
        self.fill_value = fill_value
        self.seed = seed


class RandomPosterization(Augmentation):
    """Fewer bits for each colour, at random.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_posterization/
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomRotation(Augmentation):
    """Random rotations.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_rotation/
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.seed = seed
        self.fill_value = fill_value


class RandomSaturation(Augmentation):
    """Random saturation.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_saturation/
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomSharpness(Augmentation):
    """Random sharpness.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_sharpness/
    """

    def __init__(self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self.value_range = value_range
        self.seed = seed


class RandomShear(Augmentation):
    """Random shears.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_shear/
    """

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.x_factor = x_factor
        self.y_factor = y_factor
        self.interpolation = interpolation
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.seed = seed


class RandomTranslation(Augmentation):
    """Random shifts.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_translation/
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.seed = seed
        self.fill_value = fill_value


class RandomZoom(Augmentation):
    """Random zooms.

    Source: https://keras.io/api/layers/preprocessing_layers/image_augmentation/random_zoom/
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.seed = seed
        self.fill_value = fill_value


class Pipeline(Layer):
    """Layers one behind another, as preprocessing of a data set; a Sequential does the same in a model.

    Args:
        layers: the layers, each of one input.

    Raises:
        InvalidArgumentError: something in the list is no layer.

    Source: https://keras.io/api/layers/preprocessing_layers/
    """

    supports_masking = True

    def __init__(self, layers: Sequence[Layer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(layers, list | tuple) or not all(isinstance(layer, Layer) for layer in layers):
            raise InvalidArgumentError(
                f"Pipeline {self.name!r}: layers must be a list of layers; received layers={layers!r}"
            )
        self.layers = list(layers)

    def owned_layers(self) -> dict[str, Layer]:
        """The layers, under the names that Keras saves them by."""
        return {f"layers/{name}": layer for name, layer in numbered(self.layers)}

    def call(self, inputs: Any) -> Any:
        for layer in self.layers:
            inputs = layer.trace(inputs)
        return inputs

    def mask_outputs(self, inputs: Any, outputs: Any, masks: Any) -> Any:
        """The outputs with the masks that the last layer gave them."""
        return outputs

    def get_config(self) -> dict[str, Any]:
        """The layers and the name, as Keras writes them."""
        return {"name": self.name, "layers": [to_config(layer) for layer in self.layers]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """A new layer from what `get_config` gave; the layers may be config dicts or layers."""
        return cls(**{**config, "layers": [layer_from_config(layer) for layer in config["layers"]]})
