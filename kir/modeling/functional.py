"""The functional API: layers and functions called on symbolic tensors are recorded, and their types inferred.

Types come from tracing the layer without a graph, so that they are the ones that `infer` gives later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from kir import config
from kir.backend.shape_tensors import is_made_of_sizes
from kir.errors import InvalidArgumentError
from kir.ir.graph import Value
from kir.ir.structural import Input
from kir.ir.trace import SymbolicOperators, Tensor, Tracer, call_backend
from kir.ir.types import Axis, TensorType, shape_with_none
from kir.support.trees import flatten, map_structure

if TYPE_CHECKING:
    from kir.modeling.layer import Layer


def record_call(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a layer on KerasTensors: infer the output types, and return KerasTensors for them.

    Raises:
        KirError: the layer cannot work on these inputs; nothing was recorded.
    """
    call = infer_call(layer, args, kwargs)
    layer.calls.append(call)
    return call.outputs


def infer_call(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Return a call of a layer on KerasTensors with its outputs, which is not recorded among the layer's calls.

    Raises:
        KirError: the layer cannot work on these inputs.
    """
    tracer = Tracer(on_lost_mask=config.on_lost_mask())
    traced_args, traced_kwargs = map_structure(lambda leaf: _stand_in(tracer, leaf), (args, kwargs))
    traced = layer.trace(*traced_args, **traced_kwargs)
    # A copy of the lists: the user may append to one after the call.
    args, kwargs = map_structure(lambda leaf: leaf, (args, kwargs))
    call = Call(layer, args, kwargs)
    outputs = iter(
        [
            KerasTensor(
                leaf.type,
                call,
                index,
                None if leaf.mask is None else leaf.mask.type,
                leaf.value if is_made_of_sizes(leaf) else None,
            )
            for index, leaf in enumerate(flatten(traced))
        ]
    )
    call.outputs = map_structure(lambda leaf: next(outputs), traced)
    return call


def _stand_in(tracer: Tracer, leaf: object) -> Any:
    """Return a traced tensor of the type of a KerasTensor, with a mask if that has one."""
    if not isinstance(leaf, KerasTensor):
        return leaf
    if leaf.sizes is not None:
        return Tensor(leaf.sizes, tracer)
    tensor = tracer.add(Input(leaf.call.layer.name, leaf.type))[0]
    if leaf.mask_type is None:
        return tensor
    return tensor.with_mask(tracer.add(Input("mask", leaf.mask_type))[0])


_layer_of_function: Callable[[Callable[..., Any]], Layer]


def register_operation(layer_of_function: Callable[[Callable[..., Any]], Layer]) -> None:
    """Enter what makes a layer of a function: called once, by `kir.modeling.operation`."""
    global _layer_of_function
    _layer_of_function = layer_of_function


class History(NamedTuple):
    """Where a KerasTensor comes from, under Keras's names."""

    operation: Layer
    node_index: int
    tensor_index: int


class KerasTensor(SymbolicOperators):
    """A symbolic tensor between layers. Immutable; compared by identity (`==` records a comparison).

    `shape` has None for unknown sizes, as in Keras; `type` has their names. `sizes` is what was traced for a tensor
    that depends on sizes alone, such as a shape: it may say how large another one is.
    """

    __slots__ = ("call", "index", "mask_type", "sizes", "type")

    def __init__(
        self,
        type: TensorType,
        call: Call,
        index: int,
        mask_type: TensorType | None = None,
        sizes: Value | None = None,
    ) -> None:
        self.type = type
        self.call = call
        self.index = index
        self.mask_type = mask_type
        self.sizes = sizes

    @property
    def shape(self) -> tuple[int | None, ...]:
        return shape_with_none(self.type.shape)

    @property
    def dtype(self) -> str:
        return self.type.dtype.keras_name

    # What KerasTensors of Keras may be besides dense.
    sparse = False
    ragged = False

    def squeeze(self, axis: Axis = None) -> Any:
        """Return the same without axes of size 1."""
        return call_backend("squeeze", self, axis)

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
        """Record a call of a function of `kir.backend` that this tensor is among the arguments of.

        Raises:
            InvalidArgumentError: no tensor is among the positional arguments.
        """
        if not any(isinstance(leaf, KerasTensor) for leaf in flatten(args)):
            raise InvalidArgumentError(f"{function.__name__}: give the tensor as a positional argument")
        return record_call(_layer_of_function(function), args, kwargs)

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
    """Return the innermost line under way that is not of kir: "model.py:12". None within an importer of kir."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("kir.importers."):
            return None
        if module != "kir" and not module.startswith("kir."):
            return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return None
