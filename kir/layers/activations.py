"""Keras's Activation layer.

Source: https://keras.io/api/layers/core_layers/activation/
"""

from __future__ import annotations

from typing import Any

from kir import activations
from kir.layers.base import Layer
from kir.layers.functions import call_function
from kir.trace import Tensor


class Activation(Layer):
    """An activation function applied to the input, whose shape it keeps (`glu` halves an axis).

    Args:
        activation: a name of `kir.activations`, or a function of one tensor, which is traced like a Lambda's.

    Raises:
        InvalidArgumentError: there is no such activation.
        TraceError: the function cannot be traced.
    """

    supports_masking = True
    takes_one_tensor = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, x: Tensor) -> Any:
        return call_function("activation", self.activation, x)
