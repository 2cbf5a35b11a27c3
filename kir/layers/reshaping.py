"""Keras's reshaping layers: the same elements in another shape or order, or repeated.

Source: https://keras.io/api/layers/reshaping_layers/
"""

from __future__ import annotations

from typing import Any, ClassVar

from kir import backend as K
from kir import config
from kir.backend.image import INTERPOLATIONS, repeat_axes
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, product
from kir.ir.trace import Tensor, emit
from kir.ir.types import Shape, format_shape
from kir.modeling.layer import Layer
from kir.ops import shape
from kir.support.arguments import choice, integer, integers


class Flatten(Layer):
    """Everything but the batch in one axis: (batch, …) → (batch, n); (batch,) → (batch, 1).

    Unknown sizes multiply: (batch, time, 8) → (batch, 8*time).

    Args:
        data_format: "channels_first" brings the channels behind the other axes before flattening, so that weights
            fit that were trained with channels last. `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: there is no such data format.
        ShapeError: the input is a scalar.

    Source: https://keras.io/api/layers/reshaping_layers/flatten/
    """

    takes_one_tensor = True

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format, f"Flatten {self.name!r}")

    def call(self, inputs: Tensor) -> Any:
        if not inputs.shape:
            raise ShapeError("Flatten needs an input with a batch axis; received a scalar")
        rank = len(inputs.shape)
        if self.data_format == "channels_first" and rank > 2:
            inputs = emit(shape.Transpose((0, *range(2, rank), 1)), inputs)
        return emit(shape.Reshape((inputs.shape[0], product(inputs.shape[1:]))), inputs)


class Reshape(Layer):
    """(batch, …) → (batch, *target_shape), with as many elements.

    Args:
        target_shape: sizes without the batch; one of them may be -1 (or None), which is what is left over.

    Raises:
        InvalidArgumentError: a size is below -1, or several are -1.
        ShapeError: the sizes do not multiply to the number of elements of the input.

    Source: https://keras.io/api/layers/reshaping_layers/reshape/
    """

    takes_one_tensor = True

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"Reshape {self.name!r}"
        if isinstance(target_shape, list | tuple):
            target_shape = tuple(-1 if size is None else size for size in target_shape)
        self.target_shape = integers(owner, "target_shape", target_shape, -1)
        if self.target_shape.count(-1) > 1:
            raise InvalidArgumentError(
                f"{owner}: target_shape may leave one size open with -1; received target_shape={target_shape!r}"
            )

    def call(self, inputs: Tensor) -> Any:
        return emit(shape.Reshape(self._completed(inputs.shape)), inputs)

    def _completed(self, given: Shape) -> Shape:
        """The full new shape."""
        target: tuple[Dim, ...] = (given[0], *self.target_shape)
        completed = shape.complete_shape(target, given)
        if completed is not None and product(completed) == product(given):
            return completed
        raise ShapeError(
            f"Reshape cannot turn {format_shape(given)} into {format_shape(target)}: they do not have the same number "
            f"of elements for every size of the unknown axes; change target_shape={self.target_shape}, or give the "
            f"Input concrete sizes"
        )


class Permute(Layer):
    """The axes behind the batch in another order: `Permute((2, 1))` is (batch, a, b) → (batch, b, a).

    Args:
        dims: the old axis for each new one, counted from 1, without the batch.

    Raises:
        InvalidArgumentError: dims is no permutation of 1, 2, …
        ShapeError: the input's rank is not len(dims) + 1.

    Source: https://keras.io/api/layers/reshaping_layers/permute/
    """

    takes_one_tensor = True

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"Permute {self.name!r}"
        self.dims = integers(owner, "dims", dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise InvalidArgumentError(
                f"{owner}: dims must be a permutation of the axes 1, 2, … behind the batch; received dims={dims!r}"
            )

    def call(self, inputs: Tensor) -> Any:
        if len(inputs.shape) != len(self.dims) + 1:
            raise ShapeError(
                f"Permute with dims={self.dims} needs an input of rank {len(self.dims) + 1}, the batch included; "
                f"received {format_shape(inputs.shape)}"
            )
        return emit(shape.Transpose((0, *self.dims)), inputs)


class RepeatVector(Layer):
    """The input n times in a row: (batch, features) → (batch, n, features).

    Args:
        n: at least 1.

    Raises:
        InvalidArgumentError: n is less, or no integer.
        ShapeError: the input is not of rank 2.

    Source: https://keras.io/api/layers/reshaping_layers/repeat_vector/
    """

    takes_one_tensor = True

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = integer(f"RepeatVector {self.name!r}", "n", n, 1)

    def call(self, inputs: Tensor) -> Any:
        if len(inputs.shape) != 2:
            raise ShapeError(f"RepeatVector needs an input (batch, features); received {format_shape(inputs.shape)}")
        batch, features = inputs.shape
        return emit(shape.Expand((batch, self.n, features)), emit(shape.Reshape((batch, 1, features)), inputs))


# Layers of the axes between the batch and the channels


class SpatialLayer(Layer):
    """What the layers below share: inputs of one rank, whose channels are the last axis, or the first but the batch."""

    takes_one_tensor = True
    # How many axes there are between.
    axis_count: ClassVar[int]
    data_format: str = "channels_last"

    def build(self, input_shape: Any) -> None:
        """Checks the rank.

        Raises:
            ShapeError: it is another.
        """
        if len(input_shape) != self.axis_count + 2:
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank {self.axis_count + 2}, the batch included; received "
                f"{format_shape(input_shape)}"
            )

    @property
    def spatial_axes(self) -> range:
        """The axes between."""
        first = 2 if self.data_format == "channels_first" else 1
        return range(first, first + self.axis_count)


class Cropping(SpatialLayer):
    """What the cropping layers share."""

    cropping: Any

    def call(self, inputs: Tensor) -> Any:
        cuts = []
        for axis, (start, end) in zip(self.spatial_axes, _as_pairs(self.cropping), strict=True):
            size = inputs.shape[axis]
            if isinstance(size, int) and start + end >= size:
                raise ShapeError(
                    f"{type(self).__name__} with cropping={self.cropping} leaves nothing of axis {axis} of an input of "
                    f"shape {format_shape(inputs.shape)}; crop less than its size"
                )
            if start or end:
                cuts.append((axis, start, size - end))
        if not cuts:
            return inputs
        axes, starts, ends = zip(*cuts, strict=True)
        return emit(shape.Slice(axes, starts, ends, (1,) * len(axes)), inputs)


class CroppingOfImages(Cropping):
    """What the croppings of images and volumes share: the channels may come first."""

    def __init__(self, cropping: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.data_format = config.standardize_data_format(data_format, owner)
        self.cropping = _pairs(owner, "cropping", cropping, self.axis_count)


class Cropping1D(Cropping):
    """(batch, steps, features) without the first and the last steps.

    Args:
        cropping: how many: a number for both ends, or a pair.

    Raises:
        InvalidArgumentError: it is none of these.
        ShapeError: the input is not of rank 3, or nothing is left of it.

    Source: https://keras.io/api/layers/reshaping_layers/cropping1d/
    """

    axis_count = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = _pair(f"Cropping1D {self.name!r}", "cropping", cropping)


class Cropping2D(CroppingOfImages):
    """Images without their outer rows and columns.

    Args:
        cropping: how many: a number for all sides, a number for each axis, or a pair for each.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 4, or nothing is left of it.

    Source: https://keras.io/api/layers/reshaping_layers/cropping2d/
    """

    axis_count = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(CroppingOfImages):
    """Volumes without their outer layers.

    Args:
        cropping: how many: a number for all sides, a number for each axis, or a pair for each.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 5, or nothing is left of it.

    Source: https://keras.io/api/layers/reshaping_layers/cropping3d/
    """

    axis_count = 3

    def __init__(self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class ZeroPadding(SpatialLayer):
    """What the padding layers share."""

    def __init__(self, padding: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"{type(self).__name__} {self.name!r}"
        self.data_format = config.standardize_data_format(data_format, owner)
        count = self.axis_count
        self.padding = _pair(owner, "padding", padding) if count == 1 else _pairs(owner, "padding", padding, count)

    def call(self, inputs: Tensor) -> Any:
        widths = dict(zip(self.spatial_axes, _as_pairs(self.padding), strict=True))
        before, after = zip(*(widths.get(axis, (0, 0)) for axis in range(len(inputs.shape))), strict=True)
        return emit(shape.Pad(before, after), inputs, None)


class ZeroPadding1D(ZeroPadding):
    """(batch, steps, features) with zeros before the first and behind the last step.

    Args:
        padding: how many: a number for both ends, or a pair.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 3.

    Source: https://keras.io/api/layers/reshaping_layers/zero_padding1d/
    """

    axis_count = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding2D(ZeroPadding):
    """Images with zeros around them.

    Args:
        padding: how many: a number for all sides, a number for each axis, or a pair for each.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 4.

    Source: https://keras.io/api/layers/reshaping_layers/zero_padding2d/
    """

    axis_count = 2

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(ZeroPadding):
    """Volumes with zeros around them.

    Args:
        padding: how many: a number for all sides, a number for each axis, or a pair for each.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 5.

    Source: https://keras.io/api/layers/reshaping_layers/zero_padding3d/
    """

    axis_count = 3

    def __init__(self, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(padding, data_format, **kwargs)


class UpSampling1D(SpatialLayer):
    """(batch, steps, features) with every step so many times: (batch, size * steps, features).

    Args:
        size: how many times.

    Raises:
        InvalidArgumentError: it is no integer of at least 1.
        ShapeError: the input is not of rank 3.

    Source: https://keras.io/api/layers/reshaping_layers/up_sampling1d/
    """

    axis_count = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = integer(f"UpSampling1D {self.name!r}", "size", size, 1)

    def call(self, inputs: Tensor) -> Any:
        return repeat_axes(inputs, {1: self.size})


class UpSampling2D(SpatialLayer):
    """Images so many times as high and as wide.

    Args:
        size: how many times: a number, or one for the height and one for the width.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.
        interpolation: "nearest" repeats rows and columns; "bilinear", "bicubic", "lanczos3", "lanczos5".

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 4, or Lanczos is to resize unknown sizes.

    Source: https://keras.io/api/layers/reshaping_layers/up_sampling2d/
    """

    axis_count = 2

    def __init__(
        self, size: Any = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        owner = f"UpSampling2D {self.name!r}"
        self.data_format = config.standardize_data_format(data_format, owner)
        self.size = _factors(owner, size, 2)
        self.interpolation = choice(owner, "interpolation", str(interpolation).lower(), tuple(INTERPOLATIONS))

    def call(self, inputs: Tensor) -> Any:
        height, width = self.size
        return K.resize_images(inputs, height, width, self.data_format, self.interpolation)


class UpSampling3D(SpatialLayer):
    """Volumes so many times as large along each axis.

    Args:
        size: how many times: a number, or one for each axis.
        data_format: "channels_last" or "channels_first"; `kir.config.image_data_format()` if None.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 5.

    Source: https://keras.io/api/layers/reshaping_layers/up_sampling3d/
    """

    axis_count = 3

    def __init__(self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"UpSampling3D {self.name!r}"
        self.data_format = config.standardize_data_format(data_format, owner)
        self.size = _factors(owner, size, 3)

    def call(self, inputs: Tensor) -> Any:
        return repeat_axes(inputs, dict(zip(self.spatial_axes, self.size, strict=True)))


def _pair(owner: str, name: str, given: Any) -> tuple[int, int]:
    """A number for both ends, or one for each."""
    numbers = integers(owner, name, given, 0)
    if len(numbers) == 1 and isinstance(given, int):
        return numbers[0], numbers[0]
    if len(numbers) != 2:
        raise InvalidArgumentError(f"{owner}: {name} must be a number or a pair of them; received {name}={given!r}")
    return numbers[0], numbers[1]


def _pairs(owner: str, name: str, given: Any, count: int) -> tuple[tuple[int, int], ...]:
    """A number for all sides, or for each axis a number or a pair."""
    each = (given,) * count if isinstance(given, int) else given
    try:
        if not isinstance(each, list | tuple) or len(each) != count:
            raise InvalidArgumentError(name)
        return tuple(_pair(owner, name, one) for one in each)
    except InvalidArgumentError:
        raise InvalidArgumentError(
            f"{owner}: {name} must be a number of at least 0, or for each of {count} axes a number or a pair of them; "
            f"received {name}={given!r}"
        ) from None


def _as_pairs(given: Any) -> tuple[tuple[int, int], ...]:
    """The pair of one axis, or those of several, as those of several."""
    return (given,) if isinstance(given[0], int) else given


def _factors(owner: str, given: Any, count: int) -> tuple[int, ...]:
    factors = integers(owner, "size", given, 1)
    factors = factors * count if isinstance(given, int) else factors
    if len(factors) != count:
        raise InvalidArgumentError(
            f"{owner}: size must be a number of at least 1, or {count} of them; received size={given!r}"
        )
    return factors
