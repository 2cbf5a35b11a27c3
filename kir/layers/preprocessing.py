"""Keras's preprocessing layers of numbers.

Source: https://keras.io/api/layers/preprocessing_layers/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kir import backend as K
from kir import config
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.op import Array
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, Shape, format_shape, normalize_axes
from kir.modeling.declared import DeclaredLayer
from kir.modeling.registry import from_plain
from kir.ops.shape import Reshape
from kir.support.arguments import integers
from kir.support.declarations import Argument, Boolean

# A number, or several, as they are given.
Numbers: TypeAlias = float | Sequence[Any] | Array


def _numbers(owner: str, name: str, raw: object) -> Any:
    given = from_plain(raw)
    array = np.asarray(given) if isinstance(given, int | float | list | tuple | np.ndarray | np.generic) else None
    if array is None or array.dtype.kind not in "iuf":
        raise InvalidArgumentError(f"{owner}: {name} must be a number or an array of such; received {name}={given!r}")
    return given


def _optional_numbers(owner: str, name: str, given: object) -> Any:
    return None if given is None else _numbers(owner, name, given)


def _axes_or_none(owner: str, name: str, given: object) -> tuple[int, ...]:
    return () if given is None else integers(owner, name, given)


class Rescaling(DeclaredLayer):
    """`x * scale + offset`; integers become floats.

    Raises:
        InvalidArgumentError: one of them is no number, nor an array of such.

    Source: https://keras.io/api/layers/preprocessing_layers/image_preprocessing/rescaling/
    """

    supports_masking = True
    takes_one_tensor = True

    scale: Argument[Numbers, Numbers] = Argument(
        _numbers,
        doc="a number, or several that broadcast to the input. With `channels_first` as the image data format, "
        "one for each channel of an image",
    )
    offset: Argument[Numbers, Numbers] = Argument(
        _numbers, default=0.0, doc="likewise, except that it broadcasts as it is in either format"
    )

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        scale, offset = (np.asarray(given, inputs.type.dtype.numpy) for given in (self.scale, self.offset))
        if scale.ndim and config.image_data_format() == "channels_first":
            scale = scale.reshape(*scale.shape, *(1,) * (3 - scale.ndim))
        return inputs * scale + offset


class Normalization(DeclaredLayer):
    """`(x - mean) / sqrt(variance)`, with a mean and a variance that are given, or learned by `adapt`.

    Raises:
        InvalidArgumentError: mean and variance do not fit each other or the axes.
        ShapeError: at a call, the input has no such axis, or its size is not known.

    Source: https://keras.io/api/layers/preprocessing_layers/numerical/normalization/
    """

    supports_masking = True
    takes_one_tensor = True

    axis: Argument[int | Sequence[int] | None, tuple[int, ...]] = Argument(
        _axes_or_none, default=-1, doc="those that have a mean for each of their elements; None for a single mean"
    )
    mean: Argument[Numbers | None, Numbers | None] = Argument(
        _optional_numbers,
        default=None,
        doc="a number, or an array that broadcasts to the sizes of these axes; None for one that `adapt` learns",
    )
    variance: Argument[Numbers | None, Numbers | None] = Argument(
        _optional_numbers, default=None, doc="likewise, and given together with the mean"
    )
    invert: Boolean = Boolean(default=False, doc="`x * sqrt(variance) + mean` instead")

    def finish_init(self) -> None:
        mean, variance = self.mean, self.variance
        if (mean is None) != (variance is None):
            raise InvalidArgumentError(
                f"{self.name_in_messages}: mean and variance must be given together; received mean={mean!r} and "
                f"variance={variance!r}"
            )
        shape, shape_of_variance = (() if given is None else np.asarray(given).shape for given in (mean, variance))
        if shape != shape_of_variance or len(shape) > len(self.axis):
            raise InvalidArgumentError(
                f"{self.name_in_messages}: mean and variance must have one shape, of as many axes as axis={self.axis} "
                f"or less; received mean={mean!r} and variance={variance!r}"
            )

    def build(self, input_shape: Shape) -> None:
        """Make the mean and the variance to be learned, and a count that nothing uses, unless they are given."""
        self._axes = normalize_axes(self.axis, len(input_shape))
        if self.mean is not None:
            return
        sizes = tuple(input_shape[axis] for axis in self._axes)
        self.adapt_mean = self.new_weight("mean", sizes, "zeros", trainable=False)
        self.adapt_variance = self.new_weight("variance", sizes, "ones", trainable=False)
        self.new_weight("count", (), "zeros", trainable=False, dtype=DType.INT32)

    def adapt(self, data: npt.ArrayLike) -> None:
        """Learn the mean and the variance of an array of samples.

        Raises:
            InvalidArgumentError: they were given to the constructor, or data is no array of numbers.
        """
        array = np.asarray(_numbers(self.name_in_messages, "data", data), np.float64)
        if self.mean is not None:
            raise InvalidArgumentError(
                f"{self.name_in_messages}: mean and variance were given; there is nothing to adapt"
            )
        self.ensure_built(array.shape)
        others = tuple(axis for axis in range(array.ndim) if axis not in self._axes)
        self.adapt_mean.assign(array.mean(axis=others))
        self.adapt_variance.assign(array.var(axis=others))

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        mean, variance = self._statistics(inputs)
        deviation = K.maximum(K.sqrt(variance), config.epsilon())
        return inputs * deviation + mean if self.invert else (inputs - mean) / deviation

    def _statistics(self, x: Tensor) -> list[Any]:
        """Return the mean and the variance, in a shape that broadcasts to that of x."""
        sizes = [size if axis in self._axes else 1 for axis, size in enumerate(x.shape)]
        if self.mean is None:
            return [emit(Reshape(tuple(sizes)), self.read(w, x)) for w in (self.adapt_mean, self.adapt_variance)]
        placed = []
        for given in (self.mean, self.variance):
            array = np.asarray(given, x.type.dtype.numpy)
            # A mean of fewer axes belongs to the last ones of those that are kept.
            shape = [1] * len(sizes)
            for axis, size in zip(reversed(self._axes), reversed(array.shape), strict=False):
                shape[axis] = size
            if any(size not in (1, sizes[axis]) for axis, size in enumerate(shape)):
                raise ShapeError(
                    f"Normalization with a mean of shape {format_shape(array.shape)} along axis={self.axis} received "
                    f"an input of shape {format_shape(x.shape)}"
                )
            placed.append(array.reshape(shape))
        return placed

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, arrays as lists."""
        return super().get_config() | {
            name: None if given is None else np.asarray(given).tolist()
            for name, given in (("mean", self.mean), ("variance", self.variance))
        }
