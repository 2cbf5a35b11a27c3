"""Weights of layers."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from kir.backend.indexing import Index
from kir.errors import ShapeError
from kir.initializers import RandomInitializer
from kir.ir.op import Array
from kir.ir.trace import Variable, current_tracer
from kir.ir.types import DType, format_shape

# The arrays that initializers drew at random, by their ids: another weight may be given them.
_drawn: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()
# The arrays that were read from weights that await training, by their ids: another weight may be given them.
_untrained: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()


class Weight(Variable, NDArrayOperatorsMixin):
    """A layer's variable: drawn by its initializer when somebody first reads it, or set.

    Initializers are seeded when they are made, so the order of reading changes nothing.

    A `call` may compute with it as with a tensor: Python's operators, NumPy's functions and those of `kir.backend` take
    it in `compute_dtype`, by default its own.
    """

    # Weights are told apart by what they are, not by their numbers.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DType,
        initializer: Callable[..., npt.ArrayLike],
        regularizer: Callable[..., Any] | None = None,
        constraint: Callable[..., Any] | None = None,
        trainable: bool = True,
    ) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.initializer = initializer
        self.regularizer = regularizer
        self.constraint = constraint
        # Where it is: "dense/kernel" for the weight of a layer.
        self.path = name
        self.trainable = trainable
        # Keras keeps the weights that were made trainable first in their layer, whatever becomes of them.
        self.made_trainable = trainable
        # Whether a script wanted to train it, which kir does not do; see `kir.modeling.training`.
        self.awaits_training = False
        self.compute_dtype = dtype
        # Where a file of an older Keras holds other numbers in its place: their shape, None for any size, and what
        # makes the weight of them.
        self.saved_shape: tuple[int | None, ...] = shape
        self.convert_saved: Callable[[Array], Array] | None = None
        self._array: Array | None = None

    @property
    def array(self) -> Array:
        """The numbers, of `shape` and `dtype`."""
        if self._array is None:
            drawn = np.asarray(self.initializer(self.shape, dtype=self.dtype.numpy))
            self._array = np.broadcast_to(drawn, self.shape).astype(self.dtype.numpy, copy=False)
            if self.draws_at_random:
                self.mark_as_random()
        if self.awaits_training:
            _untrained[id(self._array)] = self._array
        return self._array

    @property
    def draws_at_random(self) -> bool:
        """Whether its initializer draws at random, in one of Keras's ways."""
        return isinstance(self.initializer, RandomInitializer)

    @property
    def is_random(self) -> bool:
        """Whether its numbers are as an initializer draws them at random: nobody has trained or given any."""
        if self._array is None:
            return self.draws_at_random
        return _drawn.get(id(self._array)) is self._array

    def mark_as_random(self) -> None:
        """Take the numbers for such that an initializer drew at random."""
        _drawn[id(self.array)] = self.array

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def assign(self, array: npt.ArrayLike) -> None:
        """Set the numbers, by reference where the dtype agrees.

        It awaits training no more, unless they were read from a weight that does.

        Raises:
            ShapeError: the array has another shape.
        """
        array = np.asarray(array)
        if array.shape != self.shape:
            raise ShapeError(
                f"weight {self.name!r} has shape {format_shape(self.shape)}; received {format_shape(array.shape)}"
            )
        self._array = array.astype(self.dtype.numpy, copy=False)
        self.awaits_training = _untrained.get(id(array)) is array

    def load(self, array: Array) -> None:
        """Set the numbers from those that a file holds, of `saved_shape`."""
        self.assign(array if self.convert_saved is None else self.convert_saved(array))

    def assign_add(self, array: npt.ArrayLike) -> None:
        """Add to the numbers."""
        self.assign(self.array + np.asarray(array))

    def assign_sub(self, array: npt.ArrayLike) -> None:
        """Subtract from the numbers."""
        self.assign(self.array - np.asarray(array))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def numpy(self) -> Array:
        return self.array

    def traced(self) -> Any:
        """Return a constant of the trace that is open; where none is, the numbers."""
        tracer = current_tracer()
        if tracer is None:
            return self.array
        dtype = self.compute_dtype
        return tracer.weight(self.name, stand_in(self.shape, dtype) if tracer.graph is None else self.array, dtype)

    value = property(traced)

    def __getitem__(self, index: Index) -> Any:
        return self.traced()[index]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **kwargs: object) -> Any:
        return getattr(ufunc, method)(*[x.traced() if isinstance(x, Weight) else x for x in inputs], **kwargs)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<Weight {self.name} {self.dtype}{format_shape(self.shape)}>"


def stand_in(shape: tuple[int, ...], dtype: DType) -> Array:
    """Return an array that takes no memory, for a trace that only asks for types: no weight is drawn for that."""
    return np.broadcast_to(np.zeros((), dtype.numpy), shape)
