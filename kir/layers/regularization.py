"""Keras's regularization layers: they act in training only, and an inference export drops them.

Source: https://keras.io/api/layers/regularization_layers/
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kir import backend as K
from kir import regularizers
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.trace import Tensor, emit
from kir.ir.types import Shape, format_shape
from kir.layers.training_mode import TrainingMode, as_switch, is_off
from kir.modeling.declared import DataFormat, DeclaredLayer
from kir.modeling.layer import Layer, own_arguments
from kir.ops import random
from kir.ops.elementwise import SELU_ALPHA, SELU_SCALE
from kir.support.declarations import Argument, Number, OptionalInteger


def _noise_shape(owner: str, name: str, shape: object) -> tuple[int | None, ...] | None:
    if shape is None:
        return None
    sizes = tuple(shape) if isinstance(shape, list | tuple | np.ndarray) else (0,)
    if any(size is not None and not _is_size(size) for size in sizes):
        raise InvalidArgumentError(
            f"{owner}: {name} must be a tuple of integers of at least 1, or None for the input's size; received "
            f"{name}={shape!r}"
        )
    return tuple(None if size is None else int(size) for size in sizes)


def _is_size(size: object) -> bool:
    return isinstance(size, int | np.integer) and not isinstance(size, bool) and int(size) >= 1


class BaseDropout(DeclaredLayer):
    """The base of the dropouts; they differ in the shape in which is drawn what to drop."""

    supports_masking = True
    takes_one_tensor = True

    rate = Number(0, 1, doc="from 0 to 1. 0 is the identity in training, too")
    seed = OptionalInteger(default=None, doc="the same elements are dropped at every call, if given")

    def call(self, inputs: Tensor, training: TrainingMode = False) -> Any:
        if self.rate == 0:
            return inputs
        if training is False:
            # The identity, whatever the noise shape: a fixed batch in it does not matter to inference.
            return emit(random.Dropout(self.rate, None, self.seed), inputs) if inputs.type.dtype.is_float else inputs
        return emit(random.Dropout(self.rate, self.noise_sizes(inputs), self.seed), inputs, as_switch(training))

    @abstractmethod
    def noise_sizes(self, x: Tensor) -> Shape | None:
        """Return the shape of what is drawn for this input; None stands for the input's own."""


class Dropout(BaseDropout):
    """A fraction `rate` of the elements zeroed in training, and the others scaled by 1/(1 - rate).

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: in training, the noise shape does not broadcast to the input's.

    Source: https://keras.io/api/layers/regularization_layers/dropout/
    """

    rate: Number = Number(0, 1)
    noise_shape: Argument[Sequence[int | None] | None, tuple[int | None, ...] | None] = Argument(
        _noise_shape,
        default=None,
        doc="the shape in which is drawn what to drop, broadcast to the input. None in it is the input's size on "
        "that axis; as a whole, the input's shape",
    )
    seed: OptionalInteger = OptionalInteger(default=None)

    def noise_sizes(self, x: Tensor) -> Shape | None:
        """Return `noise_shape` with the input's sizes for None.

        Raises:
            ShapeError: it has more axes than the input.
        """
        if self.noise_shape is None:
            return None
        if len(self.noise_shape) > len(x.shape):
            raise ShapeError(
                f"{type(self).__name__} with noise_shape={self.noise_shape} received an input of shape "
                f"{format_shape(x.shape)}, which has fewer axes; give one size for each axis, the batch included"
            )
        return tuple(x.shape[axis] if size is None else size for axis, size in enumerate(self.noise_shape))


class AlphaDropout(Dropout):
    """A fraction `rate` of the elements set to the lowest value of selu in training, which keeps mean and variance.

    Raises:
        InvalidArgumentError: an argument is out of range; in training, the rate is 1, which leaves no variance.
        ShapeError: in training, the noise shape does not broadcast to the input's.

    Source: https://keras.io/api/layers/regularization_layers/alpha_dropout/
    """

    def call(self, inputs: Tensor, training: TrainingMode = False) -> Any:
        if self.rate == 0 or is_off(training):
            return inputs
        _require_below_one(self, self.rate)
        # Dropout drops to 0 and scales the others; moved by the lowest value, it drops to that.
        lowest = -SELU_ALPHA * SELU_SCALE
        factor = ((1 - self.rate) * (1 + self.rate * lowest**2)) ** -0.5
        dropped = emit(
            random.Dropout(self.rate, self.noise_sizes(inputs), self.seed), inputs - lowest, as_switch(training)
        )
        changed = dropped * (factor * (1 - self.rate)) + factor * lowest * (1 - self.rate)
        return K.where(training, changed, inputs) if isinstance(training, Tensor) else changed


class GaussianNoise(DeclaredLayer):
    """Noise of a normal distribution around 0, added in training.

    Raises:
        InvalidArgumentError: an argument is out of range.

    Source: https://keras.io/api/layers/regularization_layers/gaussian_noise/
    """

    supports_masking = True
    takes_one_tensor = True

    stddev: Number = Number(0, 1, doc="the standard deviation, from 0 to 1. 0 is the identity in training, too")
    seed: OptionalInteger = OptionalInteger(default=None, doc="the same numbers are drawn at every call, if given")

    def call(self, inputs: Tensor, training: TrainingMode = False) -> Any:
        if self.stddev == 0 or is_off(training):
            return inputs
        return inputs + _switched(training, emit(random.RandomNormalLike(0.0, self.stddev, self.seed), inputs), 0)


class GaussianDropout(DeclaredLayer):
    """Noise of a normal distribution around 1, multiplied in training; its variance is that of Dropout's factors.

    Raises:
        InvalidArgumentError: an argument is out of range; in training, the rate is 1.

    Source: https://keras.io/api/layers/regularization_layers/gaussian_dropout/
    """

    supports_masking = True
    takes_one_tensor = True

    rate: Number = Number(
        0, 1, doc="from 0 to 1: the standard deviation is `sqrt(rate / (1 - rate))`. 0 is the identity in training, too"
    )
    seed: OptionalInteger = OptionalInteger(default=None, doc="the same numbers are drawn at every call, if given")

    def call(self, inputs: Tensor, training: TrainingMode = False) -> Any:
        if self.rate == 0 or is_off(training):
            return inputs
        _require_below_one(self, self.rate)
        deviation = math.sqrt(self.rate / (1 - self.rate))
        return inputs * _switched(training, emit(random.RandomNormalLike(1.0, deviation, self.seed), inputs), 1)


class SpatialDropout(BaseDropout):
    """The base of the spatial dropouts: whole feature maps are dropped, of inputs of one rank."""

    rank: ClassVar[int]

    def build(self, input_shape: Shape) -> None:
        """Check the rank.

        Raises:
            ShapeError: it is another.
        """
        if len(input_shape) != self.rank:
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank {self.rank}, the batch included; received "
                f"{format_shape(input_shape)}"
            )

    def noise_sizes(self, x: Tensor) -> Shape | None:
        """Return the batch, the channels, and 1 on the axes between."""
        return tuple(size if axis in (0, self._channel_axis) else 1 for axis, size in enumerate(x.shape))

    @property
    def _channel_axis(self) -> int:
        """The axis of the channels."""
        return self.rank - 1

    def get_config(self) -> dict[str, Any]:
        """Return Keras's keys, which are fewer than those of other layers: its constructor takes no `trainable`."""
        kept = ("name", *own_arguments(type(self)))
        return {"dtype": self.dtype} | {key: value for key, value in super().get_config().items() if key in kept}


class SpatialDropoutOfImages(SpatialDropout):
    """The base of the spatial dropouts of images and volumes: the channels may come first."""

    rate: Number = Number(0, 1)
    data_format: DataFormat = DataFormat(default=None)
    seed: OptionalInteger = OptionalInteger(default=None)

    @property
    def _channel_axis(self) -> int:
        """The axis of the channels."""
        return 1 if self.data_format == "channels_first" else self.rank - 1


class SpatialDropout1D(SpatialDropout):
    """Dropout of whole features of (batch, steps, channels): the same ones at every step.

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: the input is not of rank 3.

    Source: https://keras.io/api/layers/regularization_layers/spatial_dropout1d/
    """

    rank = 3

    rate: Number = Number(0, 1)
    seed: OptionalInteger = OptionalInteger(default=None)


class SpatialDropout2D(SpatialDropoutOfImages):
    """Dropout of whole channels of (batch, rows, columns, channels), or (batch, channels, rows, columns).

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: the input is not of rank 4.

    Source: https://keras.io/api/layers/regularization_layers/spatial_dropout2d/
    """

    rank = 4


class SpatialDropout3D(SpatialDropoutOfImages):
    """Dropout of whole channels of (batch, x, y, z, channels), or (batch, channels, x, y, z).

    Raises:
        InvalidArgumentError: an argument is out of range.
        ShapeError: the input is not of rank 5.

    Source: https://keras.io/api/layers/regularization_layers/spatial_dropout3d/
    """

    rank = 5


class ActivityRegularization(DeclaredLayer):
    """The identity; adds `l1 · Σ|x| + l2 · Σx²`, divided by the batch size as in Keras, to the model's losses.

    Raises:
        InvalidArgumentError: an argument is negative or no number.

    Source: https://keras.io/api/layers/regularization_layers/activity_regularization/
    """

    # It follows from the arguments.
    unsaved = frozenset({"activity_regularizer"})
    supports_masking = True

    l1: Number = Number(0, default=0.0, doc="at least 0")
    l2: Number = Number(0, default=0.0, doc="at least 0")

    def finish_init(self) -> None:
        self.activity_regularizer = regularizers.L1L2(self.l1, self.l2)

    def call(self, inputs: object) -> Any:
        return inputs


def _switched(training: TrainingMode, noise: Tensor, neutral: float) -> Any:
    """Return the noise in training; elsewhere the number that changes nothing."""
    return K.where(training, noise, neutral) if isinstance(training, Tensor) else noise


def _require_below_one(layer: Layer, rate: float) -> None:
    if rate == 1:
        raise InvalidArgumentError(
            f"{type(layer).__name__} cannot train with rate=1: nothing of its input is left to scale; expected a rate "
            f"below 1"
        )
