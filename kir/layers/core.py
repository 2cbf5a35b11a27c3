"""Keras's core layers: Dense and those around it.

Source: https://keras.io/api/layers/core_layers/
"""

from __future__ import annotations

from typing import Any

from kir import activations, constraints, initializers, regularizers
from kir.arguments import boolean, integer
from kir.errors import ShapeError
from kir.layers.base import Layer
from kir.ops import linear
from kir.trace import Tensor, emit
from kir.types import format_shape


class Dense(Layer):
    """`activation(x · kernel + bias)` over the last axis: (batch, …, input_dim) → (batch, …, units).

    Source: https://keras.io/api/layers/core_layers/dense/
    """

    supports_masking = True
    ignored_config = frozenset({"quantization_config", "lora_rank", "lora_alpha"})

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner = f"Dense {self.name!r}"
        self.units = integer(owner, "units", units, 1)
        self.activation = activations.get(activation)
        self.use_bias = boolean(owner, "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        """A kernel of (input_dim, units) and a bias of (units,)."""
        if len(input_shape) < 2:
            raise ShapeError(
                f"Dense needs an input of rank 2 or more, (batch, …, input_dim); received {format_shape(input_shape)}"
            )
        self.kernel = self.add_weight(
            "kernel",
            (input_shape[-1], self.units),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        self.bias = (
            self.add_weight("bias", (self.units,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
            if self.use_bias
            else None
        )

    def call(self, x: Tensor) -> Any:
        bias = None if self.bias is None else self.read(self.bias, x)
        return self.activation(emit(linear.Dense(), x, self.read(self.kernel, x), bias))
