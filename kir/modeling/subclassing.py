"""Models whose layers only their own `call` knows: subclasses of `keras.Model` made without inputs and outputs.

Such a model is a layer of the user's own until its inputs are known: by the first call, by `fit` or `predict`, or by
`build`. Then it becomes a functional model of inputs like those, and of one layer that runs the `call`.

Source: https://keras.io/guides/making_new_layers_and_models_via_subclassing/
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kir.ir.trace import SymbolicOperators
from kir.ir.types import as_dtype
from kir.modeling.functional import KerasTensor, record_call
from kir.modeling.input import Input
from kir.modeling.layer import Layer
from kir.modeling.parameters import first_call_parameter
from kir.modeling.weight import Weight
from kir.support.trees import flatten, map_structure


class Body(Layer):
    """What a subclassed model does with its inputs. Its classes have the names of the models'."""

    model: Any

    def owned_layers(self) -> dict[str, Layer]:
        """Return the layers of the model."""
        return dict(self.model.owned_layers())

    @property
    def own_weights(self) -> list[Weight]:
        """The weights that the model has itself."""
        return list(self.model.own_weights)

    def build(self, input_shape: object) -> None:
        """Build the model, which may have a `build` of its own."""
        self.model.ensure_built(input_shape)

    def compute_mask(self, inputs: object, mask: object = None) -> Any:
        """Return what the model says."""
        return self.model.compute_mask(inputs, mask)


def body_of(model: Layer) -> Body:
    """Return a layer that does what the model does."""
    cls = type(model)

    @functools.wraps(cls.call)
    def call(self: Body, *args: object, **kwargs: object) -> Any:
        return cls.call(self.model, *args, **kwargs)

    body: Body = type(cls.__name__, (Body,), {"call": call, "__module__": __name__})(
        name=model.name, dtype=model.dtype_policy, autocast=model.autocast
    )
    body.model = model
    body.supports_masking = model.supports_masking
    return body


def connect(model: Layer, given: object) -> tuple[Any, Any]:
    """Return inputs like the given tensors or arrays, of any batch, and what the model makes of them.

    Raises:
        KirError: the model's `call` cannot be traced.
    """
    parameter = first_call_parameter(type(model))
    count = len(flatten(given))
    names = iter([parameter] if count == 1 else [f"{parameter}_{index}" for index in range(count)])

    def placeholder(leaf: npt.ArrayLike | SymbolicOperators) -> KerasTensor:
        array = leaf if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else np.asarray(leaf)
        sizes = [size if isinstance(size, int) else None for size in array.shape[1:]]
        batch = () if not len(array.shape) else (None,)
        return Input(batch_shape=(*batch, *sizes), dtype=as_dtype(array.dtype), name=next(names))

    inputs = map_structure(placeholder, given)
    return inputs, record_call(body_of(model), (inputs,), {})


def placeholders(input_shape: Any) -> Any:
    """Return inputs of the default dtype, from what `build` is given: a shape, or lists and dicts of shapes."""
    if isinstance(input_shape, Mapping):
        return {name: placeholders(shape) for name, shape in input_shape.items()}
    if all(size is None or isinstance(size, int) for size in input_shape):
        return Input(batch_shape=tuple(input_shape), name="shape")
    return [placeholders(shape) for shape in input_shape]
