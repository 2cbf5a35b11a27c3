"""Keras's merging layers: several tensors become one. Each has a function form, as `add([x, y])` for `Add()([x, y])`.

Elementwise merges broadcast as Keras does: axes of size 1 are inserted *after the batch* until all ranks agree, so
that (batch, 8) and (batch, time, 8) give (batch, time, 8).

Masks of elementwise merges, which Keras defines so:

    layer                   masked steps of an input              mask of the output
    Add Subtract Average    count like any others                 where any input is valid; none if one has none
    Multiply                count as 1, and as 0 where no input   likewise
                            is valid
    Maximum Minimum         are left out                          likewise

Source: https://keras.io/api/layers/merging_layers/
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.trace import Tensor
from kir.ir.types import Shape, agree_dim, format_shape, normalize_axis
from kir.modeling.declared import DeclaredLayer
from kir.support.arguments import integers
from kir.support.declarations import Argument, Boolean, Integer

Masks = Sequence[Tensor | None]


class Merge(DeclaredLayer):
    """The base of the merging layers: a list of inputs."""

    supports_masking = True

    def build(self, input_shape: Sequence[Shape]) -> None:
        """Check the inputs.

        Raises:
            InvalidArgumentError: they are no list.
            ShapeError: their batch sizes differ.
        """
        given: Any = input_shape
        if not isinstance(given, list | tuple) or not all(isinstance(one, list | tuple) for one in given):
            raise InvalidArgumentError(
                f"{type(self).__name__} merges a list of tensors, as in {type(self).__name__}()([x, y]); received one "
                f"tensor of shape {format_shape(given)}"
            )
        self.check_shapes(input_shape)

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        """Raise ShapeError unless the inputs, at least one, can be merged."""
        batches = {shape[0] for shape in shapes if shape and isinstance(shape[0], int)}
        if not shapes or len(batches) > 1:
            raise ShapeError(
                f"{type(self).__name__} merges tensors of one batch size; received the shapes {_list_shapes(shapes)}"
            )


class ElementwiseMerge(Merge):
    """The base of merges element by element."""

    def call(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        inputs, masks = list(inputs), list(mask) if mask is not None else [None] * len(inputs)
        rank = max(len(x.shape) for x in inputs)
        # In Keras, a tensor that has to be given more axes loses its mask on the way.
        masks = [m if len(x.shape) == rank else None for x, m in zip(inputs, masks, strict=True)]
        inputs = [_with_rank(x, rank) for x in inputs]
        masks = [None if m is None else _with_trailing_axes(m, rank) for m in masks]
        return self.merge(inputs, masks)

    @abstractmethod
    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        """Return the output, from inputs of one rank, and from masks of that rank or None."""

    def compute_mask(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        """Return where any input is valid; None if one has no mask."""
        known = [m for m in mask or () if m is not None]
        return reduce(K.logical_or, known) if mask is not None and len(known) == len(mask) else None


class Add(ElementwiseMerge):
    """The sum of the inputs."""

    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        """Add in the order of the inputs."""
        return reduce(K.add, inputs)


class Subtract(ElementwiseMerge):
    """The first input minus the second.

    Raises:
        ShapeError: there are not two inputs.
    """

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        """Check that there are two inputs."""
        _require_two(self, shapes)
        super().check_shapes(shapes)

    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        """Subtract, with masked steps as any others."""
        return K.subtract(*inputs)


class Multiply(ElementwiseMerge):
    """The product of the inputs."""

    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        """Multiply, with masked steps as 1; as 0 where they are masked in all inputs."""
        factors = [x if m is None else K.where(m, x, K.cast(1, x.dtype)) for x, m in zip(inputs, masks, strict=True)]
        output = reduce(K.multiply, factors)
        present = [m for m in masks if m is not None]
        if len(present) < len(masks):
            return output
        return K.where(reduce(K.logical_or, present), output, K.cast(0, output.dtype))


class Average(ElementwiseMerge):
    """The mean of the inputs."""

    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        """Return the sum divided by the number of inputs, masked or not.

        As in Keras, where Python's operator divides, integers of 32 bits and more become float64.
        """
        total = reduce(K.add, inputs)
        is_wide = isinstance(total, Tensor) and total.type.dtype.is_integer and total.type.dtype.itemsize >= 4
        return K.divide(K.cast(total, "float64") if is_wide else total, len(inputs))


class Maximum(ElementwiseMerge):
    """The largest of the inputs, of which masked steps are left out."""

    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        return _fold_unmasked(K.maximum, inputs, masks)


class Minimum(ElementwiseMerge):
    """The smallest of the inputs, of which masked steps are left out."""

    def merge(self, inputs: list[Any], masks: Masks) -> Any:
        return _fold_unmasked(K.minimum, inputs, masks)


class Concatenate(Merge):
    """The inputs joined along an axis; the other sizes must agree.

    Masks: along the time axis they are joined, too; along another a step is valid if it is in any
    input. An input without one is valid everywhere.

    Raises:
        InvalidArgumentError: the axis is no integer.
        ShapeError: it is out of range, or the other sizes differ.
    """

    axis: Integer = Integer(default=-1, doc="may count from the end")

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        """Check that the ranks are equal, and the sizes but on the axis."""
        rank = len(shapes[0]) if shapes else 0
        axis = normalize_axis(self.axis, rank, "axis") if rank else 0
        what = f"Concatenate needs inputs whose sizes agree but on axis {self.axis}; received {_list_shapes(shapes)}"
        if len({len(shape) for shape in shapes}) != 1:
            raise ShapeError(what)
        for sizes in [sizes for index, sizes in enumerate(zip(*shapes, strict=True)) if index != axis]:
            reduce(lambda a, b: agree_dim(a, b, what), sizes)

    def call(self, inputs: Sequence[Tensor]) -> Any:
        return K.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        """See the class."""
        known = [m for m in mask or () if m is not None]
        if mask is None or not known:
            return None
        rank, axis = len(known[0].shape), self.axis % len(inputs[0].shape)
        if axis < rank:
            everywhere = (K.ones(x.shape[:rank], dtype="bool") for x in inputs)
            return K.concatenate([e if m is None else m for m, e in zip(mask, everywhere, strict=True)], axis=axis)
        # An input without a mask makes every step valid, which is what no mask says.
        return reduce(K.logical_or, known) if len(known) == len(inputs) else None


def _pair_of_axes(owner: str, name: str, given: object) -> int | tuple[int, ...]:
    """Return one axis, or a pair of them."""
    pair, is_pair = integers(owner, name, given), isinstance(given, list | tuple)
    if len(pair) != (2 if is_pair else 1) or 0 in pair:
        raise InvalidArgumentError(
            f"{owner}: {name} must be an axis or a pair of them, and not the batch axis 0; received {name}={given!r}"
        )
    return pair if is_pair else pair[0]


class Dot(Merge):
    """The product of two inputs, sample by sample, summed over one axis of each.

    (batch, i, k) and (batch, k, j) with `axes=(2, 1)` give (batch, i, j); two vectors give (batch, 1).

    Raises:
        InvalidArgumentError: axes is not one or two integers, or the batch.
        ShapeError: there are not two inputs, of rank 2 or more, with equal sizes there.
    """

    axes: Argument[int | Sequence[int], int | tuple[int, ...]] = Argument(
        _pair_of_axes, doc="the axis of both, or a pair; may count from the end; not the batch"
    )
    normalize: Boolean = Boolean(
        default=False, doc="divides by the lengths along the axes first: the cosine of the angle"
    )

    def check_shapes(self, shapes: Sequence[Any]) -> None:
        """Check that there are two inputs, which agree on the axes."""
        _require_two(self, shapes)
        super().check_shapes(shapes)
        first, second = [shape[axis] for shape, axis in zip(shapes, self._axes_of(shapes), strict=True)]
        agree_dim(first, second, f"Dot with axes={self.axes} needs equal sizes there; received {_list_shapes(shapes)}")

    def _axes_of(self, shapes: Sequence[Any]) -> list[int]:
        pair = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        return [normalize_axis(axis, len(shape), "axes") for axis, shape in zip(pair, shapes, strict=True)]

    def call(self, inputs: Sequence[Tensor]) -> Any:
        axes = self._axes_of([x.shape for x in inputs])
        if self.normalize:
            inputs = [K.normalize(x, axis) for x, axis in zip(inputs, axes, strict=True)]
        return K.batch_dot(inputs[0], inputs[1], axes)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        """Return None, as in Keras."""
        return None


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return `Add(**kwargs)(inputs)`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return `Subtract(**kwargs)(inputs)`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return `Multiply(**kwargs)(inputs)`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return `Average(**kwargs)(inputs)`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return `Maximum(**kwargs)(inputs)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """Return `Minimum(**kwargs)(inputs)`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """Return `Concatenate(axis, **kwargs)(inputs)`."""
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: Sequence[Any], axes: int | Sequence[int] = -1, **kwargs: Any) -> Any:
    """Return `Dot(axes, **kwargs)(inputs)`."""
    return Dot(axes, **kwargs)(inputs)


def _fold_unmasked(combine: Callable[[Any, Any], Any], inputs: list[Any], masks: Masks) -> Any:
    """Fold the inputs from left to right; where one of two is masked, the other stands in for it.

    Equivalent to `_apply_merge_op_and_or_mask` in keras/src/layers/merging/base_merge.py.
    """
    output, output_mask = inputs[0], masks[0]
    for x, mask in zip(inputs[1:], masks[1:], strict=True):
        if mask is not None:
            x = K.where(mask, x, output)
        if output_mask is not None:
            output = K.where(output_mask, output, x)
        output_mask = None if mask is None or output_mask is None else K.logical_or(output_mask, mask)
        output = combine(output, x)
    return output


def _with_rank(x: Tensor, rank: int) -> Any:
    """Return x with axes of size 1 after the batch."""
    missing = rank - len(x.shape)
    return K.reshape(x, (x.shape[0], *[1] * missing, *x.shape[1:])) if missing and x.shape else x


def _with_trailing_axes(mask: Tensor, rank: int) -> Any:
    return K.reshape(mask, (*mask.shape, *[1] * (rank - len(mask.shape))))


def _require_two(layer: Merge, shapes: Sequence[Any]) -> None:
    if len(shapes) != 2:
        raise ShapeError(
            f"{type(layer).__name__} merges exactly 2 tensors; received {len(shapes)}: {_list_shapes(shapes)}"
        )


def _list_shapes(shapes: Sequence[Any]) -> str:
    return ", ".join(format_shape(shape) for shape in shapes)
