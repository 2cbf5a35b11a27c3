"""Running one layer on arrays, and inferring its output shape, without a model."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kir import config
from kir.ir.graph import Graph
from kir.ir.interpreter import run
from kir.ir.structural import Input, Output, constant
from kir.ir.trace import CarriedState, Tensor, Tracer, feed_states, store_states
from kir.ir.types import shape_with_none
from kir.modeling.divisible_sizes import input_type
from kir.support.trees import flatten, map_structure

if TYPE_CHECKING:
    from kir.modeling.layer import Layer

# What Keras calls the shapes of the first argument of `call`, without `_shape`.
FIRST_SHAPES = ("input", "inputs", "sequences", "query")


def run_eagerly(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a layer on arrays: traces it into a graph of its own and interprets that."""
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


def infer_output_shape(layer: Layer, shapes: Sequence[Any], named_shapes: Mapping[str, Any]) -> Any:
    """Return the output shape of a layer, with None for unknown sizes, by a trace without a graph.

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


def _is_shape(value: object) -> bool:
    return isinstance(value, list | tuple) and all(x is None or isinstance(x, int | str) for x in value)


def _constant_input(tracer: Tracer, leaf: npt.ArrayLike) -> Tensor:
    return tracer.add(constant(leaf))[0]


def add_state_outputs(graph: Graph, tracer: Tracer) -> list[CarriedState]:
    """Make outputs of the graph of the states that stateful layers ended with."""
    states = list(tracer.states.values())
    for state in states:
        graph.add(Output(state.new_label), state.value.value)
    return states


@contextlib.contextmanager
def _left_unbuilt(layer: Layer) -> Iterator[None]:
    """Unbuild, at the end, what was not built at the start: the layer, and those inside it that are no models.

    A model keeps the calls that it was built of.
    """
    unbuilt: list[Layer] = []
    pending = [layer]
    while pending:
        one = pending.pop()
        if not one.is_model:
            unbuilt += [] if one.built else [one]
            pending.extend(one.sublayers())
    try:
        yield
    finally:
        for one in unbuilt:
            one.built = False
            one.build_shapes = {}
            one._own_weights.clear()
