"""Functions that a functional model records like layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from kir.ir.graph import Origin
from kir.ir.trace import Tensor
from kir.modeling.functional import register_operation
from kir.modeling.layer import Layer
from kir.modeling.user_functions import call_function
from kir.support.naming import automatic_name
from kir.support.trees import flatten, map_structure


class Operation(Layer):
    """A function of `kir.backend` that was called on KerasTensors, such as `x + 1`, recorded like a layer."""

    is_layer = False
    supports_masking = True

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        inner = function.func if isinstance(function, functools.partial) else function
        self.function = function
        self.function_name: str = inner.__name__.lstrip("_")
        super().__init__(name=name or automatic_name(self.function_name), autocast=False)

    def call(self, *args: object, **kwargs: object) -> Any:
        return self.function(*args, **kwargs)

    def compute_mask(self, inputs: object, mask: object = None) -> Any:
        """Return None: operations drop masks without a word, as in Keras."""
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

    def call(self, *args: object, **kwargs: object) -> Any:
        """Return the function's result; nodes that it adds get the origin."""
        tracer = next(leaf.tracer for leaf in flatten((args, kwargs)) if isinstance(leaf, Tensor))
        with tracer.from_origin(self.node_origin):
            outputs = call_function("function", self.function, *args, **kwargs)
            return map_structure(lambda x: x if isinstance(x, Tensor) else tracer.constant(x), outputs)


register_operation(Operation)
