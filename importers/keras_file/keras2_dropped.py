"""Layers, and arguments of layers, that releases of Keras 2 had and later ones dropped.

Source: https://github.com/keras-team/keras (2.6 to 2.10), https://github.com/keras-team/tf-keras
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from kir import backend as K
from kir import layers
from kir.ir.trace import Tensor
from kir.ir.types import DType, Shape
from kir.layers.keras2 import OfKeras2, public_layers
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import DeclaredLayer
from kir.modeling.layer import Layer
from kir.support.declarations import Boolean, Integer, Unchecked


class _CausalByArgument(OfKeras2, layers.Attention):
    """An attention that is causal by an argument of the layer, before 2.11; later it is one of the call."""

    causal: Boolean = Boolean(default=False, kw_only=True, doc="no step attends to later ones")

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return not self.causal

    def get_config(self) -> dict[str, Any]:
        """Return the config that Keras 3 has, too."""
        return {key: value for key, value in super().get_config().items() if key != "causal" or value}

    def call(
        self,
        inputs: Sequence[Tensor],
        mask: Sequence[Tensor | None] | None = None,
        training: TrainingMode = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        return super().call(inputs, mask, training, return_attention_scores, use_causal_mask or self.causal)


class Attention(_CausalByArgument):
    """Means of the values, weighted by how well each key fits each query."""


class AdditiveAttention(_CausalByArgument, layers.AdditiveAttention):
    """Attention whose scores are sums of tanh(query + key)."""


class RandomFourierFeatures(OfKeras2, DeclaredLayer):
    """`cos(x · kernel / scale + bias)`, an experiment of Keras 2: (batch, features) → (batch, output_dim)."""

    output_dim: Integer = Integer(1)
    kernel_initializer: Unchecked = Unchecked(default="gaussian")
    scale: Unchecked = Unchecked(default=None)

    def build(self, input_shape: Shape) -> None:
        """Make the kernel and the bias, which are not trained, and the scale."""
        shape = (input_shape[-1], self.output_dim)
        self.unscaled_kernel = self.new_weight("unscaled_kernel", shape, "random_normal", trainable=False)
        self.bias = self.new_weight("bias", (self.output_dim,), "random_uniform", trainable=False)
        self.kernel_scale = self.new_weight("kernel_scale", (1,), "ones")

    def call(self, inputs: Tensor) -> Any:
        x = self.promote(inputs)
        kernel = 1.0 / self.read(self.kernel_scale, x) * self.read(self.unscaled_kernel, x)
        return K.cos(K.matmul(x, kernel) + self.read(self.bias, x))


DROPPED_LAYERS: dict[str, type[Layer]] = public_layers(globals())
