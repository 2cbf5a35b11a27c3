"""Keras's reshaping layers: the same elements in another shape or order, or repeated.

Source: https://keras.io/api/layers/reshaping_layers/
"""

from __future__ import annotations

from typing import Any

from kir import config
from kir.arguments import integer, integers
from kir.dims import Dim, divide_exactly, product
from kir.errors import InvalidArgumentError, ShapeError
from kir.layers.base import Layer
from kir.ops import shape
from kir.trace import Tensor, emit
from kir.types import Shape, format_shape


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

    def call(self, x: Tensor) -> Any:
        if not x.shape:
            raise ShapeError("Flatten needs an input with a batch axis; received a scalar")
        rank = len(x.shape)
        if self.data_format == "channels_first" and rank > 2:
            x = emit(shape.Transpose((0, *range(2, rank), 1)), x)
        return emit(shape.Reshape((x.shape[0], product(x.shape[1:]))), x)


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

    def call(self, x: Tensor) -> Any:
        return emit(shape.Reshape(self._completed(x.shape)), x)

    def _completed(self, given: Shape) -> Shape:
        """The full new shape."""
        target: tuple[Dim, ...] = (given[0], *self.target_shape)
        if -1 in self.target_shape:
            rest = product(size for size in target if size != -1)
            missing = divide_exactly(product(given), rest)
            if missing is not None:
                return tuple(missing if size == -1 else size for size in target)
        elif product(given) == product(target):
            return target
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

    def call(self, x: Tensor) -> Any:
        if len(x.shape) != len(self.dims) + 1:
            raise ShapeError(
                f"Permute with dims={self.dims} needs an input of rank {len(self.dims) + 1}, the batch included; "
                f"received {format_shape(x.shape)}"
            )
        return emit(shape.Transpose((0, *self.dims)), x)


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

    def call(self, x: Tensor) -> Any:
        if len(x.shape) != 2:
            raise ShapeError(f"RepeatVector needs an input (batch, features); received {format_shape(x.shape)}")
        batch, features = x.shape
        return emit(shape.Expand((batch, self.n, features)), emit(shape.Reshape((batch, 1, features)), x))
