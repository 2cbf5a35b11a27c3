"""Attention of several heads as one operator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import Dim, divide_exactly
from kir.ir.op import Array
from kir.ir.types import FLOATS, TensorType, agree_dim
from kir.ops.precision import WideOp, require_dtype, require_same_dtype


@dataclass(frozen=True)
class Attention(WideOp):
    """``softmax(q · k * scale + bias) · v`` for each head: means of values, weighted by how well keys match the query.

    q[batch, queries, heads · n], k[batch, keys, key_heads · n], v[batch, keys, key_heads · m] and, of their dtype,
    bias[..., queries, keys] that broadcasts to [batch, heads, queries, keys]: [batch, queries, heads · m]. If keys and
    values have fewer heads, each of these serves several neighbouring heads of the queries. Scores that are all minus
    infinity give 0.

    ONNX: Attention since opset 23. Source: Vaswani et al., 2017; Ainslie et al., 2023.
    """

    heads: int
    key_heads: int
    scale: float

    def infer(self, q: TensorType, k: TensorType, v: TensorType, bias: TensorType | None = None) -> TensorType:
        given = {"q": q, "k": k, "v": v} | ({} if bias is None else {"bias": bias})
        require_same_dtype(self, **given)
        require_dtype(self, "q", q, FLOATS)
        if {q.rank, k.rank, v.rank} != {3} or min(self.heads, self.key_heads) < 1 or self.heads % self.key_heads:
            raise ShapeError(
                f"{self} received q {q}, k {k}, v {v}; expected [batch, steps, heads · size], and heads that are a "
                "multiple of those of the keys"
            )
        sizes = [self._head_size(name, given[name], heads) for name, heads in self._heads()]
        context = f"{self} of q {q}, k {k} and v {v}"
        agree_dim(sizes[0], sizes[1], f"{context}, size of a head")
        agree_dim(k.shape[1], v.shape[1], f"{context}, keys")
        batch = agree_dim(agree_dim(q.shape[0], k.shape[0], context), v.shape[0], context)
        if bias is not None:
            self._check_bias(bias, (batch, self.heads, q.shape[1], k.shape[1]))
        return q.with_shape((batch, q.shape[1], sizes[2] * self.heads))

    def _heads(self) -> tuple[tuple[str, int], ...]:
        return ("q", self.heads), ("k", self.key_heads), ("v", self.key_heads)

    def _head_size(self, name: str, type: TensorType, heads: int) -> Dim:
        size = divide_exactly(type.shape[2], heads)
        if size is None:
            raise ShapeError(f"{self} received {name} {type}; expected a last size that {heads} heads divide")
        return size

    def _check_bias(self, bias: TensorType, scores: tuple[Dim, ...]) -> None:
        if not 2 <= bias.rank <= 4:
            raise ShapeError(f"{self} received bias {bias}; expected 2 to 4 axes")
        for axis, (size, wanted) in enumerate(zip(reversed(bias.shape), reversed(scores), strict=False)):
            if axis < 2 or size != 1:
                agree_dim(size, wanted, f"{self} of scores {scores} and bias {bias}")

    def compute(self, q: Array, k: Array, v: Array, bias: Array | None = None) -> Array:
        query, key, value = (
            array.reshape(*array.shape[:2], heads, array.shape[2] // heads).swapaxes(1, 2)
            for array, (_, heads) in zip((q, k, v), self._heads(), strict=True)
        )
        repeats = self.heads // self.key_heads
        key, value = (np.repeat(array, repeats, axis=1) for array in (key, value))
        scores = query @ key.swapaxes(2, 3) * query.dtype.type(self.scale)
        if bias is not None:
            scores = scores + bias
        top = scores.max(axis=3, keepdims=True, initial=-np.inf)
        weights = np.exp(scores - np.where(top == -np.inf, 0, top))
        total = weights.sum(axis=3, keepdims=True)
        means = weights / np.where(total == 0, 1, total) @ value
        return np.asarray(means.swapaxes(1, 2).reshape(*q.shape[:2], -1))
