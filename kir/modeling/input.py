"""Input: where a model begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kir import config
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.ir.dims import Dim, substitute, symbol
from kir.ir.op import Array
from kir.ir.structural import Data
from kir.ir.structural import Input as InputOp
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import DType, DTypeLike, TensorType, as_dtype
from kir.modeling import operation as operation  # KerasTensors record functions by it
from kir.modeling.divisible_sizes import input_type
from kir.modeling.functional import Call, KerasTensor
from kir.modeling.given_shapes import GivenShape, check_shape
from kir.modeling.layer import Layer
from kir.ops.sparse import SparseToDense
from kir.support.arguments import boolean, optional_integer
from kir.support.naming import symbol_name


class InputLayer(Layer):
    """The layer that `Input` makes; see there for the arguments. `input_tensor` is what `Input` calls `tensor`."""

    def __init__(
        self,
        shape: GivenShape | None = None,
        batch_size: int | None = None,
        dtype: DTypeLike | None = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: GivenShape | None = None,
        input_tensor: npt.ArrayLike | None = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        given = None if input_tensor is None else np.asarray(input_tensor)
        super().__init__(name=name, autocast=False, **kwargs)
        owner = f"Input {self.name!r}"
        self.batch_shape = _full_shape(owner, shape, batch_shape, batch_size, given)
        self.sparse = boolean(owner, "sparse", sparse or False)
        self.ragged = _refuse_ragged(owner, ragged)
        self.optional = boolean(owner, "optional", optional)
        self.given = given
        element = as_dtype(dtype if dtype is not None else config.floatx() if given is None else given.dtype)
        self.type = input_type(self.name, self.batch_shape, element)
        self.built = True
        call = Call(self, (), {})
        self.tensor = KerasTensor(self.type, call, 0)
        call.outputs = self.tensor
        self.calls.append(call)

    @property
    def input(self) -> Any:
        """None: it begins a model."""
        return None

    @property
    def dtype(self) -> str:
        """The element type of the input."""
        return self.type.dtype.keras_name

    def get_config(self) -> dict[str, Any]:
        """Keras's keys. An array that was wrapped is no part of them."""
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": self.sparse,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }

    def add_input(self, tracer: Tracer, name: str, sizes: Mapping[str, Dim]) -> Tensor:
        """Add the graph input (several for a sparse one) to a trace, with symbolic sizes replaced."""
        type = self.type.with_shape(substitute(dim, sizes) for dim in self.type.shape)
        if self.sparse:
            return self._add_sparse_input(tracer, name, type)
        default = None if self.given is None else Data(self.given.astype(type.dtype.numpy, copy=False))
        return tracer.add(InputOp(name, type, default))[0]

    def _add_sparse_input(self, tracer: Tracer, name: str, type: TensorType) -> Tensor:
        """Return three inputs in coordinate form, and the dense tensor that they describe."""
        nonzeros = symbol(symbol_name(f"{name}_nonzeros"))
        indices = tracer.add(InputOp(f"{name}.indices", TensorType(DType.INT64, (nonzeros, type.rank))))[0]
        values = tracer.add(InputOp(f"{name}.values", TensorType(type.dtype, (nonzeros,))))[0]
        shape = tracer.add(InputOp(f"{name}.shape", TensorType(DType.INT64, (type.rank,))))[0]
        return tracer.add(SparseToDense(type.shape), indices, values, shape)[0]

    def feeds(self, name: str, given: npt.ArrayLike) -> dict[str, Array]:
        """Return what to feed the graph's inputs for an array (or a scipy sparse matrix) given for this input.

        Raises:
            ShapeError: it cannot be an array of this dtype.
        """
        if self.sparse:
            return sparse_feeds(name, given, self.type)
        try:
            array = np.asarray(given)
            if array.dtype.kind == "c":
                raise TypeError("a complex number has no place in a real input")
            return {name: array.astype(self.type.dtype.numpy, copy=False)}
        except (TypeError, ValueError) as error:
            raise ShapeError(f"input {name!r} must be an array of {self.type}; received {given!r}") from error


def Input(
    shape: GivenShape | None = None,
    batch_size: int | None = None,
    dtype: DTypeLike | None = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: GivenShape | None = None,
    name: str | None = None,
    tensor: npt.ArrayLike | None = None,
    optional: bool = False,
) -> KerasTensor:
    """Return a symbolic tensor that a model begins with.

    Args:
        shape: sizes without the batch; None is an unknown size, text an unknown size with a name.
        batch_size: the batch, when it is known.
        dtype: the element type; floatx when absent.
        sparse: fed as a scipy sparse matrix or a dense array; exported as COO inputs.
        ragged: not to be true: ONNX has no such tensors.
        batch_shape: sizes with the batch, instead of `shape`.
        name: counted ("input_layer", "input_layer_1") when absent.
        tensor: an array to wrap: an input with a default value.
        optional: accepted as Keras has it.

    Raises:
        UnsupportedError: the input is ragged.
        InvalidArgumentError: both shapes are given, neither is, or a size is not one.

    Source: https://keras.io/api/layers/core_layers/input/
    """
    return InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    ).tensor


def _refuse_ragged(owner: str, ragged: bool | None) -> bool:
    if ragged:
        raise UnsupportedError(f"{owner} cannot be ragged: ONNX has no such tensors; pad the sequences, and mask them")
    return False


def _full_shape(
    owner: str, shape: GivenShape | None, batch_shape: GivenShape | None, batch_size: int | None, given: Array | None
) -> tuple[Any, ...]:
    """Return the shape with the batch, from whichever way it was given."""
    if shape is not None and batch_shape is not None:
        raise InvalidArgumentError(f"{owner}: give shape or batch_shape; received {shape=} and {batch_shape=}")
    if batch_shape is not None:
        return check_shape(owner, "batch_shape", batch_shape)
    if shape is not None:
        return (optional_integer(owner, "batch_size", batch_size, 1), *check_shape(owner, "shape", shape))
    if given is not None:
        return tuple(given.shape)
    raise InvalidArgumentError(f"{owner}: shape is missing; give shape=(…) without the batch, or batch_shape=(…)")


def sparse_feeds(name: str, given: Any, type: TensorType) -> dict[str, Array]:
    """Return the coordinate form of a dense array or a scipy sparse matrix, under the names of the graph's inputs."""
    matrix = given.tocoo() if hasattr(given, "tocoo") else None
    if matrix is None:
        dense = np.asarray(given)
        coordinates = np.nonzero(dense)
        values = dense[coordinates]
    else:
        dense = matrix
        coordinates, values = matrix.coords if hasattr(matrix, "coords") else (matrix.row, matrix.col), matrix.data
    if len(dense.shape) != type.rank:
        raise ShapeError(f"sparse input {name!r} was fed shape {tuple(dense.shape)}; expected {type}")
    return {
        f"{name}.indices": np.stack(coordinates, axis=1).astype(np.int64),
        f"{name}.values": np.asarray(values).astype(type.dtype.numpy),
        f"{name}.shape": np.asarray(dense.shape, np.int64),
    }
