"""Inputs of a subclassed model that are indices, where only shapes are known: a file says nothing of their dtype.

Keras builds such a model for floats, and Embedding takes floats for indices, too. Who exports the model feeds integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kir.ir.op import Op
from kir.ir.structural import Constant, Input
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import DType
from kir.modeling.functional import KerasTensor
from kir.modeling.layer import Layer
from kir.ops.elementwise import Cast, Equal
from kir.ops.shape import Concat, Expand, Gather, GatherND, Reshape, Size, Slice, Split, Tile, Transpose
from kir.support.trees import flatten, map_structure

# Operators whose outputs are elements of their inputs.
MOVING = (Concat, Expand, Gather, GatherND, Reshape, Slice, Split, Tile, Transpose)
# Operators that read floats and integers of the same value alike.
NEUTRAL = (Equal, Size)


class _UsesTracer(Tracer):
    """A tracer without a graph that notes which inputs of the model are read as integers, and which as floats."""

    def __init__(self) -> None:
        super().__init__(on_lost_mask="ignore")
        self.read_as_integers: set[int] = set()
        self.read_as_floats: set[int] = set()
        # The inputs of the model that a value is made of, by its id; the values are kept, for they own their ids.
        self._sources: dict[int, tuple[object, set[int]]] = {}

    def input(self, x: KerasTensor) -> Tensor:
        """Return a tensor for an input of the model."""
        tensor = super().add(Input(x.call.layer.name, x.type))[0]
        self._sources[id(tensor.value)] = (tensor.value, {id(x)})
        return tensor

    def add(self, op: Op, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Add a node, and note which inputs of the model it reads."""
        outputs = super().add(op, *inputs)
        sources = set[int]().union(*map(self._sources_of, inputs))
        if isinstance(op, Equal) and any(x is not None and _counts_up(x) for x in inputs):
            # As `one_hot` does.
            self.read_as_integers |= sources
        if isinstance(op, NEUTRAL) or (isinstance(op, Cast) and op.dtype is DType.BOOL):
            return outputs
        if isinstance(op, Cast) and op.dtype.is_integer:
            self.read_as_integers |= sources
        elif isinstance(op, (*MOVING, Cast)):
            self._sources.update((id(x.value), (x.value, sources)) for x in outputs)
        else:
            self.read_as_floats |= sources
        return outputs

    def give(self, outputs: object) -> None:
        """Note that the inputs in the outputs are read as they are."""
        for x in flatten(outputs):
            self.read_as_floats |= self._sources_of(x)

    def _sources_of(self, x: Tensor | None) -> set[int]:
        return set() if x is None else self._sources.get(id(x.value), (None, set[int]()))[1]


def _counts_up(x: Tensor) -> bool:
    """Return whether a tensor is the constant 0, 1, 2, …."""
    op = x.value.node.op
    array = op.value.array if isinstance(op, Constant) else np.zeros(1)
    return array.size > 1 and np.array_equal(array.ravel(), np.arange(array.size))


def index_inputs(body: Layer, args: Sequence[Any], kwargs: dict[str, Any]) -> set[int]:
    """Return the ids of the inputs that a layer only reads as integers.

    Raises:
        KirError: the layer cannot be traced.
    """
    tracer = _UsesTracer()

    def traced(leaf: object) -> Any:
        return tracer.input(leaf) if isinstance(leaf, KerasTensor) else leaf

    tracer.give(body.trace(*map_structure(traced, tuple(args)), **map_structure(traced, kwargs)))
    return tracer.read_as_integers - tracer.read_as_floats
