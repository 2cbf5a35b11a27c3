"""The layers that `keras.applications` brings along, which its saved models have.

Source: https://keras.io/api/applications/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kir import initializers
from kir.errors import InvalidArgumentError
from kir.ir.trace import Tensor, emit
from kir.ir.types import Shape
from kir.layers.training_mode import TrainingMode, as_switch
from kir.modeling.declared import DeclaredLayer
from kir.ops.random import Dropout
from kir.support.declarations import Integer, Number

# They have no public name.
KERAS_MODULE = "keras.src.applications.convnext"


class CustomScaleLayer(DeclaredLayer):
    """`x + y * scale` of a pair [x, y]: a shortcut and the scaled residual beside it.

    Raises:
        InvalidArgumentError: the scale is none, or what is given at a call is no pair of tensors.

    Source: https://keras.io/api/applications/inceptionresnetv2/
    """

    scale: Number = Number(doc="a number")

    def call(self, inputs: Sequence[Tensor]) -> Any:
        if not isinstance(inputs, list | tuple) or len(inputs) < 2:
            raise InvalidArgumentError(
                f"CustomScaleLayer {self.name!r} takes a list of two tensors, as in layer([x, y])"
            )
        return inputs[0] + inputs[1] * self.scale


class LayerScale(DeclaredLayer):
    """`x * gamma`, with a trained factor for each channel, the last axis.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.

    Source: https://keras.io/api/applications/convnext/
    """

    takes_one_tensor = True

    keras_module = KERAS_MODULE

    init_values: Number = Number(doc="where training starts")
    projection_dim: Integer = Integer(1, doc="how many channels there are")

    def build(self, input_shape: Shape) -> None:
        """Make the factors, which Keras gives no name of their own."""
        self.gamma = self.new_weight("variable", (self.projection_dim,), initializers.Constant(self.init_values))

    def call(self, x: Tensor) -> Any:
        x = self.promote(x)
        return x * self.read(self.gamma, x)


class StochasticDepth(DeclaredLayer):
    """A dropout of whole samples in training, which scales the others by 1/(1 - drop_path_rate).

    Raises:
        InvalidArgumentError: it is no number from 0 to 1.

    Source: https://keras.io/api/applications/convnext/
    """

    takes_one_tensor = True

    keras_module = KERAS_MODULE

    drop_path_rate: Number = Number(0, 1, doc="the probability")

    def call(self, x: Tensor, training: TrainingMode = False) -> Any:
        if training is False or self.drop_path_rate == 0:
            return x

        noise_shape = (x.shape[0], *(1,) * (len(x.shape) - 1))
        return emit(Dropout(self.drop_path_rate, noise_shape, None), x, as_switch(training))
