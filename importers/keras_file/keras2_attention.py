"""Softmax and MultiHeadAttention of Keras 2, which take masks in another way than those of Keras 3.

| mask                                    | Keras 2                              | Keras 3              |
|-----------------------------------------|--------------------------------------|----------------------|
| booleans                                | scores less 10⁹                      | left out             |
| integers, floats                        | scores less 10⁹ · (1 - mask)         | left out where 0     |
| floats, with `robust_masking`           | scores become -10⁹ where at most 0.5 |                      |
| where nothing is kept                   | about the mean of all                | 0, or the mean       |

Source: https://github.com/keras-team/tf-keras, layers/activation/softmax.py, layers/attention/multi_head_attention.py
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from kir import backend as K
from kir import layers
from kir.backend.attention import attention_means, attention_scores
from kir.ir.dims import Dim
from kir.ir.op import Array
from kir.ir.trace import Tensor
from kir.ir.types import DType, as_dtype
from kir.layers.keras2 import OfKeras2, OtherForMasks
from kir.support.declarations import Boolean

MASKED, MASKED_FLOAT16 = -1e9, -32752.0


def masked_softmax(x: Tensor, mask: Tensor | Array, axis: int | Sequence[int], is_robust: bool) -> Any:
    """Return the softmax of scores, less a large number where the mask says so.

    Less the number, or the number itself, is the same in float32, in which 10⁹ leaves nothing of a score.
    """
    number = MASKED_FLOAT16 if x.type.dtype is DType.FLOAT16 else MASKED
    if is_robust or _is_boolean(mask):
        kept = mask if _is_boolean(mask) else K.greater(mask, 0.5)
        return K.softmax(K.where(kept, x, number), axis)
    return K.softmax(x + (1 - K.cast(mask, x.dtype)) * number, axis)


def _is_boolean(mask: Tensor | Array) -> bool:
    return as_dtype(mask.dtype) is DType.BOOL


class Softmax(OtherForMasks, layers.Softmax):
    """`exp(x) / sum(exp(x))` along an axis, or over several together."""

    robust_masking: Boolean = Boolean(default=False, kw_only=True, doc="scores are replaced, and nothing is added")

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return K.softmax(inputs, self.axis)
        return masked_softmax(inputs, mask, self.axis, self.robust_masking)

    def get_config(self) -> dict[str, Any]:
        """Return the config that Keras 3 has, too."""
        return {key: value for key, value in super().get_config().items() if key != "robust_masking"}


class MultiHeadAttention(OfKeras2, layers.MultiHeadAttention):
    """Attention of several heads, each of projections of query, key and value of its own."""

    softmax_robust_masking: Boolean = Boolean(default=False, kw_only=True, doc="see `Softmax`")
    _masks_otherwise = False

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return not self._masks_otherwise

    def get_config(self) -> dict[str, Any]:
        """Return the config that Keras 3 has, too."""
        return {key: value for key, value in super().get_config().items() if key != "softmax_robust_masking"}

    def _merged_mask(
        self, masks: Sequence[Tensor | None], attention_mask: Tensor | None, is_causal: bool, queries: Dim, keys: Dim
    ) -> Any:
        """Return as in Keras 3, but a mask that is given alone as it is."""
        if is_causal or any(mask is not None for mask in masks):
            return super()._merged_mask(masks, attention_mask, is_causal, queries, keys)
        return attention_mask

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, kept: Tensor | None, wants_fractions: bool
    ) -> tuple[Any, Any]:
        is_fast = not self.dropout and not wants_fractions and len(query.shape) == 4
        if kept is None or (is_fast and _is_boolean(kept)):
            return super()._attend(query, key, value, kept, wants_fractions)
        self._masks_otherwise = True
        axes, rank = self._step_axes, len(query.shape)
        scores = attention_scores(query * self.scale_of(query), key, axes)
        mask = kept
        while len(mask.shape) < len(scores.shape):
            mask = K.expand_dims(mask, -2 * len(axes) - 1)
        norm_axes = tuple(range(rank - 1, len(scores.shape)))
        fractions = masked_softmax(scores, mask, norm_axes, self.softmax_robust_masking)
        return attention_means(self.drop(fractions), value, axes), fractions
