"""The layers that `keras.applications` brings along, which its saved models have.

Source: https://keras.io/api/applications/
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kir import initializers
from kir.errors import InvalidArgumentError
from kir.ir.trace import Tensor, emit
from kir.modeling.layer import Layer
from kir.ops.random import Dropout
from kir.support.arguments import integer, number

# They have no public name.
KERAS_MODULE = "keras.src.applications.convnext"


class CustomScaleLayer(Layer):
    """`x + y * scale` of a pair [x, y]: a shortcut and the scaled residual beside it.

    Args:
        scale: a number.

    Raises:
        InvalidArgumentError: the scale is none, or what is given at a call is no pair of tensors.

    Source: https://keras.io/api/applications/inceptionresnetv2/
    """

    def __init__(self, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = number(f"CustomScaleLayer {self.name!r}", "scale", scale)

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            raise InvalidArgumentError(
                f"CustomScaleLayer {self.name!r} takes a list of two tensors, as in layer([x, y])"
            )
        return inputs[0] + inputs[1] * self.scale


class LayerScale(Layer):
    """`x * gamma`, with a trained factor for each channel, the last axis.

    Args:
        init_values: where training starts.
        projection_dim: how many channels there are.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.

    Source: https://keras.io/api/applications/convnext/
    """

    takes_one_tensor = True

    keras_module = KERAS_MODULE

    def __init__(self, init_values: float, projection_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = f"LayerScale {self.name!r}"
        self.init_values = number(owner, "init_values", init_values)
        self.projection_dim = integer(owner, "projection_dim", projection_dim, 1)

    def build(self, input_shape: Any) -> None:
        """The factors, which Keras gives no name of their own."""
        self.gamma = self.new_weight("variable", (self.projection_dim,), initializers.Constant(self.init_values))

    def call(self, x: Tensor) -> Any:
        x = self.promote(x)
        return x * self.read(self.gamma, x)


class StochasticDepth(Layer):
    """In training, zeroes whole samples with a probability, and scales the others by 1/(1 - it).

    Args:
        drop_path_rate: the probability.

    Raises:
        InvalidArgumentError: it is no number from 0 to 1.

    Source: https://keras.io/api/applications/convnext/
    """

    takes_one_tensor = True

    keras_module = KERAS_MODULE

    def __init__(self, drop_path_rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop_path_rate = number(f"StochasticDepth {self.name!r}", "drop_path_rate", drop_path_rate, 0, 1)

    def call(self, x: Tensor, training: Any = False) -> Any:
        if training is False or self.drop_path_rate == 0:
            return x
        flag = training if isinstance(training, Tensor) else np.array(bool(training))
        noise_shape = (x.shape[0], *(1,) * (len(x.shape) - 1))
        return emit(Dropout(self.drop_path_rate, noise_shape, None), x, flag)
