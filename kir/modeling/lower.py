"""Lowering: from the layers of a model to its graph."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.ir.dims import Dim, Sym, divide_exactly, symbol
from kir.ir.graph import Graph
from kir.ir.structural import TRAINING_INPUT, Data, Output
from kir.ir.structural import Input as InputOp
from kir.ir.trace import CarriedState, Tensor, Tracer
from kir.ir.types import DType, TensorType, format_shape
from kir.modeling.eager import add_state_outputs
from kir.modeling.input import InputLayer
from kir.modeling.training import random_weights
from kir.ops.opaque import Opaque
from kir.support.trees import flatten

if TYPE_CHECKING:
    from kir.modeling.model import Model

LOSS_OUTPUT = "regularization_loss"


def lower(
    model: Model, *, training: bool = False, sizes: Mapping[str, Dim] | None = None, losses: bool = False
) -> Graph:
    """Return the graph of a model: its recorded calls run in order, every node with the layer it comes from.

    The states of a stateful layer "memory" are inputs "memory.state_0", …, which are zeros unless fed, and outputs
    "memory.new_state_0", …, after those of the model.

    Args:
        model: what to lower.
        training: Dropout stays, switched by a boolean input "training_mode" that is true unless fed.
        sizes: values for symbolic sizes ("batch"), see `bind_sizes`.
        losses: adds an output "regularization_loss", the sum of all regularization terms.

    Raises:
        ShapeError: there is no such size, or its value is negative.
        KirError: a layer cannot work with the sizes.
    """
    return lower_with_states(model, training=training, sizes=sizes, losses=losses)[0]


def lower_with_states(
    model: Model, *, training: bool = False, sizes: Mapping[str, Dim] | None = None, losses: bool = False
) -> tuple[Graph, list[CarriedState]]:
    """Return as `lower`, and which inputs and outputs of the graph are the states of which layer."""
    _check_sizes(model, sizes or {})
    graph = Graph(model.name)
    graph.metadata.update(model.metadata)
    graph.provenance = replace(model.loaded_from, random_weights=random_weights(model, model.loaded_from.kind))
    tracer = Tracer(graph, on_lost_mask="ignore")
    tracer.collects_losses = losses
    inputs = add_inputs(model, tracer, sizes or {})
    if training and TRAINING_INPUT in model.input_names:
        tracer.training = inputs[model.input_names.index(TRAINING_INPUT)]
    elif training:
        default = Data(np.array(True))
        tracer.training = tracer.add(InputOp(TRAINING_INPUT, TensorType(DType.BOOL, ()), default))[0]
    outputs = model.run(inputs)
    graph.provenance = replace(graph.provenance, lost_masks=tuple(map(str, tracer.lost_masks)))
    for name, tensor in zip(model.output_names, flatten(outputs), strict=True):
        graph.add(Output(name), tensor.value)
    states = add_state_outputs(graph, tracer)
    if losses:
        _add_loss_output(model, tracer)
    if isinstance(tracer.training, Tensor) and not graph.has_uses(tracer.training.value.node):
        graph.remove(tracer.training.value.node)
    _leave_out_training(graph)
    return graph, states


def _leave_out_training(graph: Graph) -> None:
    """Remove losses, metrics and random numbers of layers that no output depends on, and what only they read.

    Raises:
        UnsupportedError: an output depends on one.
    """
    if not graph.has_any(Opaque):
        return
    read = dict.fromkeys(graph.order())
    for node in read:
        if isinstance(node.op, Opaque) and node.op.reason_against is not None:
            where = "" if node.origin is None else f" in layer {node.origin.path}"
            raise UnsupportedError(f"{node.op.op_type}{where}: {node.op.reason_against}")
    for node in [node for node in graph.nodes() if node not in read and not isinstance(node.op, InputOp)][::-1]:
        graph.remove(node)


def _check_sizes(model: Model, sizes: Mapping[str, Dim]) -> None:
    known = sorted({name for x in model.inputs for dim in x.type.shape if isinstance(dim, Sym) for name in dim.names()})
    for name, value in sizes.items():
        if name not in known:
            raise ShapeError(
                f"there is no size {name!r} in {model.name!r}; its unknown sizes are {', '.join(known) or 'none'}"
            )
        if not isinstance(value, Sym) and (not isinstance(value, int) or value < 0):
            raise ShapeError(f"size {name!r} must be an integer of at least 0, or a symbolic size; received {value!r}")


def bind_input_shapes(model: Model, shapes: Mapping[str, Sequence[Dim]]) -> dict[str, Dim]:
    """Return values for symbolic sizes that give the model's inputs these shapes.

    Raises:
        ShapeError: no input has that name, the rank differs, or a known size does.
    """
    inputs = dict(zip(model.input_names, model.inputs, strict=True))
    sizes: dict[str, Dim] = {}
    for name, shape in shapes.items():
        if name not in inputs:
            raise ShapeError(f"there is no input {name!r}; the model's inputs are {', '.join(inputs)}")
        declared = inputs[name].type.shape
        if len(declared) != len(shape):
            raise ShapeError(
                f"input {name!r} has shape {format_shape(declared)}; {format_shape(shape)} has another rank"
            )
        for dim, size in zip(declared, shape, strict=True):
            _bind_size(name, dim, size, sizes)
    return sizes


def bind_sizes(model: Model, batch: int | None, shapes: Mapping[str, Sequence[Dim]]) -> dict[str, Dim]:
    """Return values for symbolic sizes that give the model's inputs these shapes, and all of them this batch size.

    Raises:
        InvalidArgumentError: no batch size is unknown, or the shapes set one to another value.
        ShapeError: see `bind_input_shapes`.
    """
    sizes = bind_input_shapes(model, shapes)
    if batch is None:
        return sizes
    first_sizes = dict.fromkeys(size for x in model.inputs for size in x.type.shape[:1])
    names = [size.name for size in first_sizes if isinstance(size, Sym) and size.name]
    if not names:
        known = ", ".join(format_shape(x.type.shape) for x in model.inputs)
        raise InvalidArgumentError(f"--batch {batch}: no input has an unknown batch size; their shapes are {known}")
    for name in names:
        if sizes.setdefault(name, batch) != batch:
            raise InvalidArgumentError(f"--batch {batch} contradicts --input-shapes, which sets it to {sizes[name]}")
    return sizes


def add_inputs(model: Model, tracer: Tracer, sizes: Mapping[str, Dim]) -> list[Tensor]:
    """Return the graph's inputs for a model, with symbolic sizes replaced."""
    tensors: list[Tensor] = []
    for name, symbolic in zip(model.input_names, model.inputs, strict=True):
        layer = symbolic.call.layer
        if isinstance(layer, InputLayer):
            tensors.append(layer.add_input(tracer, name, sizes))
        else:
            tensors.append(tracer.add(InputOp(name, symbolic.type))[0])
    return tensors


def loss_terms(model: Model, tracer: Tracer) -> list[Tensor]:
    """Return the regularization terms of a traced model, as scalars: of activities, then of weights."""
    weights = [
        weight.regularizer(tracer.weight(weight.name, weight.array, weight.dtype))
        for weight in model.trainable_weights
        if weight.regularizer is not None
    ]
    return [x if isinstance(x, Tensor) else tracer.constant(np.float32(x)) for x in (*tracer.losses, *weights)]


def _add_loss_output(model: Model, tracer: Tracer) -> None:
    terms = [K.cast(term, "float32") for term in loss_terms(model, tracer)]
    total = functools.reduce(operator.add, terms) if terms else tracer.constant(np.float32(0))
    assert tracer.graph is not None
    tracer.graph.add(Output(LOSS_OUTPUT), total.value)


def _bind_size(name: str, dim: Dim, size: Dim, sizes: dict[str, Dim]) -> None:
    """Note what an unknown size, or one that is a multiple of such, is set to; a name becomes that of its rest."""
    if dim == size:
        return
    unknown, factor = _unknown_in(dim)
    if unknown is None:
        raise ShapeError(f"input {name!r} has size {dim} where {size} was asked for; only unknown sizes can be set")
    rest = divide_exactly(size, factor)
    if rest is None and isinstance(size, int):
        raise ShapeError(f"input {name!r} has size {dim} where {size} was asked for; expected a multiple of {factor}")
    rest = size if rest is None else rest
    if sizes.setdefault(unknown, rest) != rest:
        raise ShapeError(f"size {unknown!r} of input {name!r} cannot be both {sizes[unknown]} and {rest}")


def _unknown_in(dim: Dim) -> tuple[str | None, int]:
    """Return the name and the factor of a size such as 8*h; no name for one of another form."""
    names = dim.names() if isinstance(dim, Sym) else ()
    name = next(iter(names)) if len(names) == 1 else None
    factor = None if name is None else divide_exactly(dim, symbol(name))
    return (name, factor) if isinstance(factor, int) else (None, 1)
