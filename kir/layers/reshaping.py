"""Keras's reshaping layers: the same elements in another shape or order, or repeated.

Source: https://keras.io/api/layers/reshaping_layers/
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

from kir import backend as K
from kir.backend.image import INTERPOLATIONS, repeat_axes
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, product
from kir.ir.trace import Tensor, emit
from kir.ir.types import Shape, format_shape
from kir.layers.spatial import FixedRankLayer, SpatialLayer
from kir.modeling.declared import DataFormat, DeclaredLayer
from kir.ops import shape
from kir.support.arguments import choice, integers
from kir.support.declarations import Argument, Integer, Integers

# How much of each side, as it is given: a number for all sides, one for each axis, or a pair for each.
Sides: TypeAlias = int | Sequence[int | Sequence[int]]
# The same as it is kept: the pair of one axis, or those of several.
Ends: TypeAlias = tuple[int, int] | tuple[tuple[int, int], ...]


def _pair(owner: str, name: str, given: object) -> tuple[int, int]:
    """Return a number for both ends, or one for each."""
    numbers = integers(owner, name, given, 0)
    if len(numbers) == 1 and isinstance(given, int):
        return numbers[0], numbers[0]
    if len(numbers) != 2:
        raise InvalidArgumentError(f"{owner}: {name} must be a number or a pair of them; received {name}={given!r}")
    return numbers[0], numbers[1]


def _pairs(owner: str, name: str, given: object, count: int) -> tuple[tuple[int, int], ...]:
    """Return a number for all sides, or for each axis a number or a pair."""
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


def _as_pairs(given: Ends) -> tuple[tuple[int, int], ...]:
    """Return the pair of one axis, or those of several, as those of several."""
    return (given,) if isinstance(given[0], int) else given


def _factors(owner: str, name: str, given: object, count: int) -> tuple[int, ...]:
    factors = integers(owner, name, given, 1)
    factors = factors * count if isinstance(given, int) else factors
    if len(factors) != count:
        raise InvalidArgumentError(
            f"{owner}: size must be a number of at least 1, or {count} of them; received size={given!r}"
        )
    return factors


def _target_shape(owner: str, name: str, given: object) -> tuple[int, ...]:
    known = tuple(-1 if size is None else size for size in given) if isinstance(given, list | tuple) else given
    return integers(owner, name, known, -1)


def _interpolation(owner: str, name: str, given: object) -> str:
    return str(choice(owner, name, str(given).lower(), tuple(INTERPOLATIONS)))


class Flatten(DeclaredLayer):
    """Everything but the batch in one axis: (batch, …) → (batch, n); (batch,) → (batch, 1).

    Unknown sizes multiply: (batch, time, 8) → (batch, 8*time).

    Raises:
        InvalidArgumentError: there is no such data format.
        ShapeError: the input is a scalar.

    Source: https://keras.io/api/layers/reshaping_layers/flatten/
    """

    takes_one_tensor = True

    data_format: DataFormat = DataFormat(
        default=None,
        doc='"channels_first" brings the channels after the other axes before flattening, so that weights fit '
        "that were trained with channels last. `kir.config.image_data_format()` if None",
    )

    def call(self, inputs: Tensor) -> Any:
        if not inputs.shape:
            raise ShapeError("Flatten needs an input with a batch axis; received a scalar")
        rank = len(inputs.shape)
        if self.data_format == "channels_first" and rank > 2:
            inputs = emit(shape.Transpose((0, *range(2, rank), 1)), inputs)
        return emit(shape.Reshape((inputs.shape[0], product(inputs.shape[1:]))), inputs)


class Reshape(DeclaredLayer):
    """(batch, …) → (batch, *target_shape), with as many elements.

    Raises:
        InvalidArgumentError: a size is below -1, or several are -1.
        ShapeError: the sizes do not multiply to the number of elements of the input.

    Source: https://keras.io/api/layers/reshaping_layers/reshape/
    """

    takes_one_tensor = True

    target_shape: Argument[int | Sequence[int | None], tuple[int, ...]] = Argument(
        _target_shape, doc="sizes without the batch; one of them may be -1 (or None), which is what is left over"
    )

    def finish_init(self) -> None:
        if self.target_shape.count(-1) > 1:
            raise InvalidArgumentError(
                f"{self.name_in_messages}: target_shape may leave one size open with -1; received "
                f"target_shape={self.target_shape}"
            )

    def call(self, inputs: Tensor) -> Any:
        return emit(shape.Reshape(self._completed(inputs.shape)), inputs)

    def _completed(self, given: Shape) -> Shape:
        """Return the full new shape."""
        target: tuple[Dim, ...] = (given[0], *self.target_shape)
        completed = shape.complete_shape(target, given)
        if completed is not None and product(completed) == product(given):
            return completed
        raise ShapeError(
            f"Reshape cannot turn {format_shape(given)} into {format_shape(target)}: they do not have the same number "
            f"of elements for every size of the unknown axes; change target_shape={self.target_shape}, or give the "
            f"Input concrete sizes"
        )


class Permute(DeclaredLayer):
    """The axes after the batch in another order: `Permute((2, 1))` is (batch, a, b) → (batch, b, a).

    Raises:
        InvalidArgumentError: dims is no permutation of 1, 2, …
        ShapeError: the input's rank is not len(dims) + 1.

    Source: https://keras.io/api/layers/reshaping_layers/permute/
    """

    takes_one_tensor = True

    dims: Integers = Integers(doc="the old axis for each new one, counted from 1, without the batch")

    def finish_init(self) -> None:
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise InvalidArgumentError(
                f"{self.name_in_messages}: dims must be a permutation of the axes 1, 2, … after the batch; received "
                f"dims={self.dims}"
            )

    def call(self, inputs: Tensor) -> Any:
        if len(inputs.shape) != len(self.dims) + 1:
            raise ShapeError(
                f"Permute with dims={self.dims} needs an input of rank {len(self.dims) + 1}, the batch included; "
                f"received {format_shape(inputs.shape)}"
            )
        return emit(shape.Transpose((0, *self.dims)), inputs)


class RepeatVector(DeclaredLayer):
    """The input n times in a row: (batch, features) → (batch, n, features).

    Raises:
        InvalidArgumentError: n is less, or no integer.
        ShapeError: the input is not of rank 2.

    Source: https://keras.io/api/layers/reshaping_layers/repeat_vector/
    """

    takes_one_tensor = True

    n: Integer = Integer(1, doc="at least 1")

    def call(self, inputs: Tensor) -> Any:
        if len(inputs.shape) != 2:
            raise ShapeError(f"RepeatVector needs an input (batch, features); received {format_shape(inputs.shape)}")
        batch, features = inputs.shape
        return emit(shape.Expand((batch, self.n, features)), emit(shape.Reshape((batch, 1, features)), inputs))


# Layers of the axes between the batch and the channels


class ImageReshaping(SpatialLayer):
    """The base of the layers of images and volumes: the channels may come first."""

    @property
    def layout_in_messages(self) -> str:
        """The axes of an input, for messages."""
        return "the batch included"


class Cropping(FixedRankLayer):
    """The base of the cropping layers."""

    cropping = Argument[Sides, Ends]()

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


class CroppingOfImages(ImageReshaping, Cropping):
    """The base of the croppings of images and volumes: the channels may come first."""

    cropping = Argument[Sides, Ends](doc="how many: a number for all sides, a number for each axis, or a pair for each")


class Cropping1D(Cropping):
    """(batch, steps, features) without the first and the last steps.

    Raises:
        InvalidArgumentError: it is none of these.
        ShapeError: the input is not of rank 3, or nothing is left of it.

    Source: https://keras.io/api/layers/reshaping_layers/cropping1d/
    """

    rank = 1

    cropping: Argument[Sides, Ends] = Argument(_pair, default=(1, 1), doc="how many: a number for both ends, or a pair")


class Cropping2D(CroppingOfImages):
    """Images without their outer rows and columns.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 4, or nothing is left of it.

    Source: https://keras.io/api/layers/reshaping_layers/cropping2d/
    """

    rank = 2

    cropping: Argument[Sides, Ends] = Argument(partial(_pairs, count=2), default=((0, 0), (0, 0)))
    data_format: DataFormat = DataFormat(default=None)


class Cropping3D(CroppingOfImages):
    """Volumes without their outer layers.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 5, or nothing is left of it.

    Source: https://keras.io/api/layers/reshaping_layers/cropping3d/
    """

    rank = 3

    cropping: Argument[Sides, Ends] = Argument(partial(_pairs, count=3), default=((1, 1), (1, 1), (1, 1)))
    data_format: DataFormat = DataFormat(default=None)


class ZeroPadding(ImageReshaping):
    """The base of the padding layers."""

    padding = Argument[Sides, Ends](doc="how many: a number for all sides, a number for each axis, or a pair for each")

    def call(self, inputs: Tensor) -> Any:
        widths = dict(zip(self.spatial_axes, _as_pairs(self.padding), strict=True))
        before, after = zip(*(widths.get(axis, (0, 0)) for axis in range(len(inputs.shape))), strict=True)
        return emit(shape.Pad(before, after), inputs, None)


class ZeroPadding1D(ZeroPadding):
    """(batch, steps, features) with zeros before the first and after the last step.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 3.

    Source: https://keras.io/api/layers/reshaping_layers/zero_padding1d/
    """

    rank = 1

    padding: Argument[Sides, Ends] = Argument(_pair, default=1, doc="how many: a number for both ends, or a pair")
    data_format: DataFormat = DataFormat(default=None)


class ZeroPadding2D(ZeroPadding):
    """Images with zeros around them.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 4.

    Source: https://keras.io/api/layers/reshaping_layers/zero_padding2d/
    """

    rank = 2

    padding: Argument[Sides, Ends] = Argument(partial(_pairs, count=2), default=(1, 1))
    data_format: DataFormat = DataFormat(default=None)


class ZeroPadding3D(ZeroPadding):
    """Volumes with zeros around them.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 5.

    Source: https://keras.io/api/layers/reshaping_layers/zero_padding3d/
    """

    rank = 3

    padding: Argument[Sides, Ends] = Argument(partial(_pairs, count=3), default=((1, 1), (1, 1), (1, 1)))
    data_format: DataFormat = DataFormat(default=None)


class UpSampling1D(FixedRankLayer):
    """(batch, steps, features) with every step repeated: (batch, size * steps, features).

    Raises:
        InvalidArgumentError: it is no integer of at least 1.
        ShapeError: the input is not of rank 3.

    Source: https://keras.io/api/layers/reshaping_layers/up_sampling1d/
    """

    rank = 1

    size: Integer = Integer(1, default=2, doc="how many times")

    def call(self, inputs: Tensor) -> Any:
        return repeat_axes(inputs, {1: self.size})


class UpSampling2D(ImageReshaping):
    """Images enlarged by whole factors.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 4, or Lanczos is to resize unknown sizes.

    Source: https://keras.io/api/layers/reshaping_layers/up_sampling2d/
    """

    rank = 2

    size: Argument[int | Sequence[int], tuple[int, ...]] = Argument(
        partial(_factors, count=2),
        default=(2, 2),
        doc="how many times: a number, or one for the height and one for the width",
    )
    data_format: DataFormat = DataFormat(default=None)
    interpolation: Argument[str, str] = Argument(
        _interpolation,
        default="nearest",
        doc='"nearest" repeats rows and columns; "bilinear", "bicubic", "lanczos3", "lanczos5"',
    )

    def call(self, inputs: Tensor) -> Any:
        height, width = self.size
        return K.resize_images(inputs, height, width, self.data_format, self.interpolation)


class UpSampling3D(ImageReshaping):
    """Volumes enlarged by whole factors.

    Raises:
        InvalidArgumentError: an argument is none of these.
        ShapeError: the input is not of rank 5.

    Source: https://keras.io/api/layers/reshaping_layers/up_sampling3d/
    """

    rank = 3

    size: Argument[int | Sequence[int], tuple[int, ...]] = Argument(
        partial(_factors, count=3), default=(2, 2, 2), doc="how many times: a number, or one for each axis"
    )
    data_format: DataFormat = DataFormat(default=None)

    def call(self, inputs: Tensor) -> Any:
        return repeat_axes(inputs, dict(zip(self.spatial_axes, self.size, strict=True)))
