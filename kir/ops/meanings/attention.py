"""ONNX's attention in all variants, rotary embeddings, and attention with a state of its own.

Sources: Vaswani et al., 2017; Ainslie et al., 2023 (grouped heads); Su et al., 2021 (rotary embeddings); Yang et al.,
2024 (gated linear attention and the delta rule).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.ops.meanings.table import along, means


def split_heads(x: Array, heads: int) -> Array:
    """Return x[batch, steps, heads * n] as [batch, heads, steps, n]."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads if heads else 0).swapaxes(1, 2)


def join_heads(x: Array) -> Array:
    """Return x[batch, heads, steps, n] as [batch, steps, heads * n]."""
    return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], x.shape[1] * x.shape[3])


def softmax(scores: Array) -> Array:
    """Return the softmax over the last axis; 0 where all scores are minus infinity."""
    top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(top == -np.inf, 0, top))
    total = weights.sum(axis=-1, keepdims=True)
    return np.asarray(weights / np.where(total == 0, 1, total))


def capped(scores: Array, limit: float) -> Array:
    """Return scores drawn softly below a limit, or as they are if it is 0."""
    return limit * np.tanh(scores / limit) if limit else scores


def as_bias(mask: Array, dtype: np.dtype[np.generic]) -> Array:
    """Return a mask as numbers to add: minus infinity where it is false."""
    return np.where(mask, 0, -np.inf).astype(dtype) if mask.dtype == bool else mask


def with_repeated_heads(x: Array, heads: int) -> Array:
    """Return x[batch, few heads, …] with each head as often as it takes to have so many."""
    return x if x.shape[1] in (0, heads) else np.repeat(x, heads // x.shape[1], axis=1)


def _shows_no_masked_scores(settings: Mapping[str, Any], types: tuple[TensorType, ...]) -> bool:
    """Return whether no output shows scores with a mask: where ONNX has minus infinity, onnxruntime has a number."""
    return len(types) < 4 or settings.get("qk_matmul_output_mode", 0) != 2


@means("Attention", ranges={6: along(1, -2, extra=1)}, when=_shows_no_masked_scores)
def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    lengths: Array | None = None,
    *,
    is_causal: int = 0,
    q_num_heads: int = 0,
    kv_num_heads: int = 0,
    qk_matmul_output_mode: int = 0,
    scale: float = 0.0,
    softcap: float = 0.0,
    softmax_precision: int = 0,
    left_window_size: int = -1,
    right_window_size: int = -1,
) -> tuple[Array, ...]:
    """Return the means of the values, all keys and values, and the scores at one of four stages.

    Heads are in an axis of their own, or in the last one. `lengths` counts the keys of each sequence that are no
    padding; the queries are the last steps of these, or of the past and the present ones together.
    """
    is_flat = q.ndim == 3
    if is_flat:
        q, k, v = split_heads(q, q_num_heads), split_heads(k, kv_num_heads), split_heads(v, kv_num_heads)
    keys = k if past_key is None else np.concatenate([past_key, k], 2)
    values = v if past_value is None else np.concatenate([past_value, v], 2)
    heads, queries, steps = q.shape[1], q.shape[2], keys.shape[2]
    factor = q.dtype.type(math.sqrt(scale or 1 / math.sqrt(q.shape[3])))
    raw = (q * factor) @ (with_repeated_heads(keys, heads) * factor).swapaxes(2, 3)
    limited = capped(raw, softcap)
    scores = limited
    if mask is not None:
        widths = [(0, 0)] * (mask.ndim - 1) + [(0, steps - mask.shape[-1])]
        scores = scores + np.pad(as_bias(mask, q.dtype), widths, constant_values=-np.inf)
    if lengths is not None:
        shift = (lengths - queries).reshape(-1, 1, 1, 1)
        scores = np.where(np.arange(steps) < lengths.reshape(-1, 1, 1, 1), scores, -np.inf)
    else:
        shift = np.asarray(steps - k.shape[2])
    ahead = np.arange(steps) - np.arange(queries)[:, None] - shift
    reach = min(right_window_size if right_window_size >= 0 else steps + queries, 0 if is_causal else steps + queries)
    is_hidden = ahead > reach if is_causal or right_window_size >= 0 else np.zeros_like(ahead, bool)
    if left_window_size >= 0:
        is_hidden = is_hidden | (ahead < -left_window_size)
    scores = np.where(is_hidden, -np.inf, scores).astype(q.dtype)
    weights = softmax(scores)
    means = weights @ with_repeated_heads(values, heads)
    stages = (raw, limited, scores, weights)
    return (join_heads(means) if is_flat else means, keys, values, stages[qk_matmul_output_mode])


@means("RotaryEmbedding", ranges={3: along(1, 0)})
def rotary_embedding(
    x: Array,
    cosines: Array,
    sines: Array,
    positions: Array | None = None,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Array:
    """Return x with pairs of features turned by the angle of its position: neighbours, or one of each half."""
    heads = split_heads(x, num_heads) if x.ndim == 3 else x
    if positions is not None:
        cosines, sines = cosines[positions], sines[positions]
    turned = rotated(heads, cosines[:, None], sines[:, None], bool(interleaved), rotary_embedding_dim)
    return join_heads(turned) if x.ndim == 3 else turned


def rotated(x: Array, cosines: Array, sines: Array, interleaved: bool, size: int = 0) -> Array:
    """Return x[batch, heads, steps, n] with its first `size` features (or all) turned in pairs."""
    size = size or x.shape[-1]
    part, rest = x[..., :size], x[..., size:]
    first, second = (part[..., ::2], part[..., 1::2]) if interleaved else np.split(part, 2, -1)
    real, imaginary = cosines * first - sines * second, sines * first + cosines * second
    if interleaved:
        return np.concatenate([np.stack([real, imaginary], -1).reshape(part.shape), rest], -1)
    return np.concatenate([real, imaginary, rest], -1)


@means("LinearAttention")
def linear_attention(
    query: Array,
    key: Array,
    value: Array,
    past: Array | None = None,
    decay: Array | None = None,
    beta: Array | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
    chunk_size: int = 64,
) -> tuple[Array, Array]:
    """Return, step by step, what the query reads from a state that keys and values are written to."""
    q, k, v = split_heads(query, q_num_heads), split_heads(key, kv_num_heads), split_heads(value, kv_num_heads)
    factor = scale or 1 / math.sqrt(q.shape[3])
    state = np.zeros((*k.shape[:2], k.shape[3], v.shape[3]), q.dtype) if past is None else past
    result = np.zeros((*q.shape[:3], v.shape[3]), q.dtype)
    for step in range(q.shape[2]):
        if decay is not None and "gated" in update_rule:
            own = decay[:, step].reshape(len(q), kv_num_heads, -1, 1)
            state = np.exp(own) * state
        written, added = k[:, :, step, :, None], v[:, :, step, None]
        if "delta" in update_rule:
            assert beta is not None, "the delta rule has a rate"
            rate = beta[:, step].reshape(len(q), -1, 1, 1)
            added = rate * (added - written.swapaxes(2, 3) @ state)
        state = state + written * added
        read = with_repeated_heads(state, q_num_heads)
        result[:, :, step] = factor * (q[:, :, step, None] @ read)[:, :, 0]
    return join_heads(result), state


@means("CausalConvWithState", roundings=4.0)
def causal_conv_with_state(
    x: Array, weight: Array, bias: Array | None = None, past: Array | None = None, *, activation: str = "none"
) -> tuple[Array, Array]:
    """Return each channel's convolution with its own kernel over the steps before, and the last steps."""
    size = weight.shape[2]
    before = np.zeros((*x.shape[:2], size - 1), x.dtype) if past is None else past
    steps = np.concatenate([before, x], 2)
    result = sum((steps[:, :, i : i + x.shape[2]] * weight[:, 0, i, None] for i in range(size)), np.zeros_like(x))
    result = result if bias is None else result + bias[:, None]
    if activation != "none":
        result = result / (1 + np.exp(-result))
    return result, steps[:, :, steps.shape[2] - size + 1 :]
