"""Layers of Keras 1 that Keras 2 lacks.

Source: `keras/legacy/layers.py` of Keras 2.2.4, and the layers of Keras 1.2.2
"""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir import layers
from kir.ir.trace import Tensor
from kir.ir.types import Shape, normalize_axis
from kir.layers.keras2 import OfKeras2, public_layers
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import ActivationFunction, DeclaredLayer
from kir.modeling.layer import Layer
from kir.modeling.user_functions import call_function
from kir.support.declarations import Boolean, Integer


class MaxoutDense(OfKeras2, DeclaredLayer):
    """The largest of several linear functions: (batch, features) → (batch, output_dim)."""

    output_dim: Integer = Integer(1)
    nb_feature: Integer = Integer(1, default=4, doc="how many functions")
    bias: Boolean = Boolean(default=True)

    def build(self, input_shape: Shape) -> None:
        """Make W (nb_feature, features, output_dim) and b (nb_feature, output_dim)."""
        self.W = self.new_weight("W", (self.nb_feature, input_shape[-1], self.output_dim), "glorot_uniform")
        self.b = self.new_weight("b", (self.nb_feature, self.output_dim), "zeros") if self.bias else None

    def call(self, inputs: Tensor) -> Any:
        x = self.promote(inputs)
        y = K.einsum("bi,fio->bfo", x, self.read(self.W, x))
        return K.max(y if self.b is None else y + self.read(self.b, x), 1)


class Highway(OfKeras2, DeclaredLayer):
    """A dense layer whose output is mixed with its input, as another one says: (batch, features) as they are."""

    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)

    def build(self, input_shape: Shape) -> None:
        """Make W and W_carry (features, features), b and b_carry (features,)."""
        size = input_shape[-1]
        self.kernels = [self.new_weight(name, (size, size), "glorot_uniform") for name in ("W", "W_carry")]
        names = (("b", "zeros"), ("b_carry", "ones")) if self.use_bias else ()
        self.biases = [self.new_weight(name, (size,), initializer) for name, initializer in names]

    def call(self, inputs: Tensor) -> Any:
        x = self.promote(inputs)
        y, carry = (K.matmul(x, self.read(kernel, x)) for kernel in self.kernels)
        if self.biases:
            y, carry = (part + self.read(bias, x) for part, bias in zip((y, carry), self.biases, strict=True))
        share = K.sigmoid(carry)
        return call_function("activation", self.activation, y) * share + (1 - share) * x


class _PerElement(OfKeras2, DeclaredLayer):
    """An activation with weights for each element of a sample."""

    supports_masking = True
    names: tuple[str, ...] = ()

    def build(self, input_shape: Shape) -> None:
        """Make the weights, of the shape of a sample."""
        self.parameters = [self.new_weight(name, tuple(input_shape[1:]), "zeros") for name in self.names]


class ParametricSoftplus(_PerElement):
    """`alphas * log(1 + exp(betas * x))`."""

    names = ("alphas", "betas")

    def call(self, inputs: Tensor) -> Any:
        x = self.promote(inputs)
        alphas, betas = (self.read(weight, x) for weight in self.parameters)
        return K.softplus(betas * x) * alphas


class SReLU(_PerElement):
    """The identity between t_left and t_left + |t_right|, and lines of other slopes beyond."""

    names = ("t_left", "a_left", "t_right", "a_right")

    def call(self, inputs: Tensor) -> Any:
        x = self.promote(inputs)
        t_left, a_left, t_right, a_right = (self.read(weight, x) for weight in self.parameters)
        right = t_left + K.abs(t_right)
        rest = x - t_left
        center = K.where(rest > 0, K.minimum(rest, right - t_left), a_left * rest)
        return t_left + center + K.relu(x - right) * a_right


class CosineMerge(OfKeras2, layers.Dot):
    """The cosine of two inputs along axes; 0 / 1e-7 for zeros: (batch, 1, …)."""

    def call(self, inputs: Any) -> Any:
        first, second = inputs
        lengths = super().call([first, first]) * super().call([second, second])
        return K.expand_dims(super().call([first, second]) / K.maximum(K.sqrt(lengths), 1e-7), 1)


class FeatureNormalization(OfKeras2, layers.BatchNormalization):
    """A BatchNormalization of mode 1: each sample by itself, along the last axis. It adds epsilon twice."""

    def call(self, inputs: Tensor, training: TrainingMode = None, mask: Tensor | None = None) -> Any:
        x = self.promote(inputs)
        assert self.gamma is not None
        assert self.beta is not None
        deviation = K.sqrt(K.var(x, -1, keepdims=True) + self.epsilon) + self.epsilon
        normal = (x - K.mean(x, -1, keepdims=True)) / deviation
        return self.read(self.gamma, x) * normal + self.read(self.beta, x)


class BatchStatisticsNormalization(OfKeras2, layers.BatchNormalization):
    """A BatchNormalization of mode 2: by the statistics of the batch, in use as in training."""

    def call(self, inputs: Tensor, training: TrainingMode = None, mask: Tensor | None = None) -> Any:
        x = self.promote(inputs)
        axis = normalize_axis(self.axis, len(x.shape))
        others = [one for one in range(len(x.shape)) if one != axis]
        shape = tuple(self.moving_mean.shape[0] if one == axis else 1 for one in range(len(x.shape)))
        assert self.gamma is not None
        assert self.beta is not None
        gamma, beta = (K.reshape(self.read(weight, x), shape) for weight in (self.gamma, self.beta))
        centered = x - K.mean(x, others, keepdims=True)
        variance = K.mean(centered * centered, others, keepdims=True)
        return centered * K.rsqrt(variance + self.epsilon) * gamma + beta


LAYERS_OF_KERAS_1: dict[str, type[Layer]] = public_layers(globals())
