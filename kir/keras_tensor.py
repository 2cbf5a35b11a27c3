"""Symbolic tensors between layers, and the calls that made them.

Nothing here computes. A `KerasTensor` knows its type and the call that produced it; a call knows its layer and
arguments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from kir.dims import Dim, Sym, symbol
from kir.naming import symbol_name
from kir.structure import flatten
from kir.trace import SymbolicOperators
from kir.types import DType, TensorType

if TYPE_CHECKING:
    from kir.layers.base import Layer

BATCH = symbol("batch")
# What is known of the unknown sizes of inputs: the shapes of inputs by name, and what sizes are multiples of, by their
# own names; see `kir.fitting`.
GIVEN_SIZES: ContextVar[Mapping[str, Sequence[Dim]] | None] = ContextVar("given_sizes", default=None)
FACTORS: ContextVar[Mapping[str, int] | None] = ContextVar("factors", default=None)


class History(NamedTuple):
    """Where a KerasTensor comes from, under Keras's names."""

    operation: Layer
    node_index: int
    tensor_index: int


class KerasTensor(SymbolicOperators):
    """A symbolic tensor between layers. Immutable; compared by identity (`==` records a comparison).

    `shape` has None for unknown sizes, as in Keras; `type` has their names.
    """

    __slots__ = ("call", "index", "mask_type", "type")

    def __init__(self, type: TensorType, call: Call, index: int, mask_type: TensorType | None = None) -> None:
        self.type = type
        self.call = call
        self.index = index
        self.mask_type = mask_type

    @property
    def shape(self) -> tuple[int | None, ...]:
        return shape_with_none(self.type.shape)

    @property
    def dtype(self) -> str:
        return self.type.dtype.keras_name

    # What KerasTensors of Keras may be besides dense.
    sparse = False
    ragged = False

    def squeeze(self, axis: Any = None) -> Any:
        """The same without axes of size 1."""
        from kir import backend as K

        return K.squeeze(self, axis)

    @property
    def name(self) -> str:
        """The name of the layer that produced it."""
        return self.call.layer.name

    @property
    def _keras_shape(self) -> tuple[int | None, ...]:
        return self.shape

    @property
    def _keras_history(self) -> History:
        return History(self.call.layer, self.call.layer.calls.index(self.call), self.index)

    def record(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a call of a function of `kir.backend` that this tensor is among the arguments of."""
        from kir.functional import record_operation

        return record_operation(function, args, kwargs)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


class Call:
    """One recorded call of a layer. `arguments` is (args, kwargs) with KerasTensors among the leaves.

    `source` is the line of the user's program that made the call, such as "model.py:12"; None for a model that was
    read from a file.
    """

    __slots__ = ("arguments", "inputs", "layer", "outputs", "source")

    def __init__(self, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.layer = layer
        self.arguments = (args, kwargs)
        self.inputs: list[KerasTensor] = [x for x in flatten((args, kwargs)) if isinstance(x, KerasTensor)]
        self.outputs: Any = None
        self.source = calling_line()


def calling_line() -> str | None:
    """The innermost line under way that is not of kir: "model.py:12". None if an importer of kir asked before it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("kir.importers."):
            return None
        if module != "kir" and not module.startswith("kir."):
            return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def input_type(name: str, shape: Sequence[Any], dtype: DType) -> TensorType:
    """The type of a model input: None on the first axis is the shared batch size, any other None its own size.

    Text names an unknown size, so that two inputs may share it; a symbolic size is taken as it is. Inside the functions
    of `kir.fitting` an unknown size may have a factor, or be known, but for the batch.
    """
    given = (GIVEN_SIZES.get() or {}).get(name, ())
    dims: list[Dim] = []
    for axis, size in enumerate(shape):
        if size is None and axis > 0 and len(given) == len(shape):
            dims.append(given[axis])
        elif size is None:
            dims.append(BATCH if axis == 0 else _unknown_size(f"{name}_{axis}"))
        else:
            dims.append(_unknown_size(size) if isinstance(size, str) else size)
    return TensorType(dtype, tuple(dims))


def _unknown_size(text: str) -> Dim:
    name = symbol_name(text)
    return symbol(name) * (FACTORS.get() or {}).get(name, 1)


def shape_with_none(shape: Sequence[Dim]) -> tuple[int | None, ...]:
    """A shape as Keras writes it."""
    return tuple(None if isinstance(dim, Sym) else dim for dim in shape)
