"""The functional API: layers and functions called on symbolic tensors are recorded, and their types inferred.

Types come from tracing the layer without a graph, so that they are the ones that `infer` gives later.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kir import config
from kir.errors import InvalidArgumentError
from kir.graph import Graph, Origin
from kir.keras_tensor import Call, KerasTensor, input_type, shape_with_none
from kir.layers.base import Layer
from kir.layers.functions import call_function
from kir.naming import automatic_name
from kir.ops.structural import Input, Output, constant
from kir.structure import flatten, map_structure
from kir.trace import CarriedState, Tensor, Tracer, feed_states, store_states

# What Keras calls the shapes of the first argument of `call`, without `_shape`.
FIRST_SHAPES = ("input", "inputs", "sequences", "query")


class Operation(Layer):
    """A function of `kir.backend` that was called on KerasTensors, such as `x + 1`, recorded like a layer."""

    is_layer = False
    supports_masking = True

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        inner = function.func if isinstance(function, functools.partial) else function
        self.function = function
        self.function_name: str = inner.__name__.lstrip("_")
        super().__init__(name=name or automatic_name(self.function_name), autocast=False)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: operations drop masks without a word, as in Keras."""
        return None


class Traced(Operation):
    """A function whose nodes say that they come from another layer, or from none.

    It carries what is left of a layer in a graph, once passes have changed or joined its nodes, so that they keep their
    origin. `kir export model.onnx -o model.py` writes it.

    Args:
        function: of tensors, traced like that of a Lambda.
        origin: what the nodes come from.
        name: of the recorded call.
    """

    def __init__(self, function: Callable[..., Any], origin: Origin | None = None, name: str | None = None) -> None:
        super().__init__(function, name)
        self.node_origin = origin

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result; nodes that it adds get the origin."""
        tracer = next(leaf.tracer for leaf in flatten((args, kwargs)) if isinstance(leaf, Tensor))
        with tracer.from_origin(self.node_origin):
            outputs = call_function("function", self.function, *args, **kwargs)
            return map_structure(lambda x: x if isinstance(x, Tensor) else tracer.constant(x), outputs)


def record_call(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls a layer on KerasTensors: infers the output types, and gives KerasTensors for them.

    Raises:
        KirError: the layer cannot work on these inputs; nothing was recorded.
    """
    call = infer_call(layer, args, kwargs)
    layer.calls.append(call)
    return call.outputs


def infer_call(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """A call of a layer on KerasTensors with its outputs, which is not recorded among the layer's calls.

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
            KerasTensor(leaf.type, call, index, None if leaf.mask is None else leaf.mask.type)
            for index, leaf in enumerate(flatten(traced))
        ]
    )
    call.outputs = map_structure(lambda leaf: next(outputs), traced)
    return call


def record_operation(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Records a function of `kir.backend` called on KerasTensors."""
    first = next((i for i, x in enumerate(args) if any(isinstance(leaf, KerasTensor) for leaf in flatten(x))), None)
    if first is None:
        raise InvalidArgumentError(f"{function.__name__}: give the tensor as a positional argument")
    return record_call(Operation(function), args, kwargs)


def run_eagerly(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls a layer on arrays: traces it into a graph of its own and interprets that."""
    from kir.interpreter import run

    graph = Graph(layer.name)
    tracer = Tracer(graph, on_lost_mask=config.on_lost_mask())
    args = map_structure(lambda leaf: _constant_input(tracer, leaf), args)
    kwargs = map_structure(lambda leaf: _constant_input(tracer, leaf) if isinstance(leaf, np.ndarray) else leaf, kwargs)
    outputs = layer.trace(*args, **kwargs)
    count = len(flatten(outputs))
    for index, tensor in enumerate(flatten(outputs)):
        graph.add(Output(str(index)), tensor.value)
    states = add_state_outputs(graph, tracer)
    results = run(graph, feed_states(states))
    store_states(states, results)
    arrays = iter([results[str(index)] for index in range(count)])
    return map_structure(lambda leaf: next(arrays), outputs)


def output_shape(layer: Layer, shapes: Sequence[Any], named_shapes: Mapping[str, Any]) -> Any:
    """The output shape of a layer, with None for unknown sizes, by a trace without a graph.

    Args:
        layer: is left as it is; one that is not built is not built by this, as in Keras.
        shapes: of the arguments of its `call`: full shapes with None for unknown sizes, or lists and dicts of them.
        named_shapes: likewise, by the argument's name and `_shape`, as in Keras; the first may be "input_shape".
    """
    tracer = Tracer(on_lost_mask="ignore")
    count = itertools.count()

    def tensors(shape: Any) -> Any:
        if isinstance(shape, Mapping):
            return {name: tensors(one) for name, one in shape.items()}
        if not _is_shape(shape):
            return None if shape is None else [tensors(one) for one in shape]
        name = f"input_{next(count)}"
        return tracer.add(Input(name, input_type(name, shape, layer.compute_type)))[0]

    args = [tensors(shape) for shape in shapes]
    kwargs = {name.removesuffix("_shape"): tensors(shape) for name, shape in named_shapes.items()}
    if not args and kwargs:
        args.append(kwargs.pop(next((name for name in FIRST_SHAPES if name in kwargs), next(iter(kwargs)))))
    with _left_unbuilt(layer):
        outputs = layer.trace(*args, **{name: value for name, value in kwargs.items() if value is not None})
    return map_structure(lambda leaf: shape_with_none(leaf.shape), outputs)


@contextlib.contextmanager
def _left_unbuilt(layer: Layer) -> Iterator[None]:
    """Unbuilds, at the end, what was not built at the start: the layer, and those inside it that are no models.

    A model keeps the calls that it was built of.
    """
    from kir.model import Model

    unbuilt: list[Layer] = []
    pending = [layer]
    while pending:
        one = pending.pop()
        if not isinstance(one, Model):
            unbuilt += [] if one.built else [one]
            pending.extend(one.sublayers())
    try:
        yield
    finally:
        for one in unbuilt:
            one.built = False
            one.build_shapes = {}
            one._own_weights.clear()


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(x is None or isinstance(x, int | str) for x in value)


def _stand_in(tracer: Tracer, leaf: Any) -> Any:
    """A traced tensor of the type of a KerasTensor, with a mask if that has one."""
    if not isinstance(leaf, KerasTensor):
        return leaf
    tensor = tracer.add(Input(leaf.call.layer.name, leaf.type))[0]
    if leaf.mask_type is None:
        return tensor
    return tensor.with_mask(tracer.add(Input("mask", leaf.mask_type))[0])


def _constant_input(tracer: Tracer, leaf: Any) -> Any:
    return tracer.add(constant(leaf))[0]


def add_state_outputs(graph: Graph, tracer: Tracer) -> list[CarriedState]:
    """Makes outputs of the graph of the states that stateful layers ended with."""
    states = list(tracer.states.values())
    for state in states:
        graph.add(Output(state.new_label), state.value.value)
    return states
