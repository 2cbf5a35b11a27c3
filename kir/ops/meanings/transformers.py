"""Attention as onnxruntime's optimisers write it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kir.ir.op import Array
from kir.ops.meanings.attention import capped, join_heads, rotated, softmax, split_heads, with_repeated_heads
from kir.ops.meanings.table import along, means

DOMAIN = "com.microsoft"
HIDDEN = -10000.0  # the score of a masked key, unless an attribute says another


@means("Attention", domain=DOMAIN)
def attention(
    x: Array,
    weights: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    past: Array | None = None,
    added: Array | None = None,
    past_length: Array | None = None,
    *,
    num_heads: int,
    unidirectional: int = 0,
    qkv_hidden_sizes: Sequence[int] = (),
    scale: float = 0.0,
    mask_filter_value: float = HIDDEN,
) -> tuple[Array | None, ...]:
    """Return self-attention of x[batch, steps, in], whose queries, keys and values one matrix makes, and those two."""
    product = x @ weights if bias is None else x @ weights + bias
    sizes = qkv_hidden_sizes or [weights.shape[1] // 3] * 3
    q, k, v = (split_heads(part, num_heads) for part in np.split(product, np.cumsum(sizes)[:-1], -1))
    if past is not None:
        k, v = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    hidden = _hidden(mask, len(q), k.shape[2], mask_filter_value)
    means = _attend(q, k, v, scale, hidden, added, bool(unidirectional), mask_filter_value)
    return join_heads(means), np.stack([k, v]) if k.shape == v.shape else None


def _hidden(mask: Array | None, batch: int, keys: int, value: float) -> Array | float:
    """Return what a mask adds to scores.

    Masks are [batch] lengths, [2 * batch] ends and starts, [batch, keys], [batch, queries, keys], or with a 1 between.
    """
    if mask is None:
        return 0.0
    if mask.ndim == 1:
        ends, starts = (mask[:batch], mask[batch:]) if len(mask) == 2 * batch else (mask, np.zeros(batch, np.int64))
        place = np.arange(keys)
        is_seen = (place < ends[:, None]) & (place >= starts[:, None])
        return np.where(is_seen, 0.0, value)[:, None, None]
    shaped = {2: lambda: mask[:, None, None], 3: lambda: mask[:, None], 4: lambda: mask}[mask.ndim]()
    return np.where(shaped > 0, 0.0, value)


def _attend(
    q: Array, k: Array, v: Array, scale: float, hidden: Array | float, added: Array | None, causal: bool, value: float
) -> Array:
    scores = q.dtype.type(scale or 1 / math.sqrt(q.shape[3])) * (q @ k.swapaxes(2, 3))
    if causal:
        ahead = np.arange(k.shape[2]) - np.arange(q.shape[2])[:, None] > k.shape[2] - q.shape[2]
        hidden = hidden + np.where(ahead, np.finfo(np.float32).min if value == HIDDEN else value, 0.0)
    scores = scores + np.asarray(hidden, q.dtype)
    return softmax(scores if added is None else scores + added) @ v


@means("MultiHeadAttention", domain=DOMAIN)
def multi_head_attention(
    query: Array,
    key: Array | None = None,
    value: Array | None = None,
    bias: Array | None = None,
    mask: Array | None = None,
    added: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    *,
    num_heads: int,
    scale: float = 0.0,
    unidirectional: int = 0,
    mask_filter_value: float = HIDDEN,
) -> tuple[Array, ...]:
    """Return attention of a query, keys and values, packed into one tensor or not, and the keys and values."""
    q, k, v = _unpacked(query, key, value, bias, num_heads)
    if past_key is not None and past_value is not None:
        k, v = np.concatenate([past_key, k], 2), np.concatenate([past_value, v], 2)
    hidden = _hidden(mask, len(q), k.shape[2], mask_filter_value)
    means = _attend(q, k, v, scale, hidden, added, bool(unidirectional), mask_filter_value)
    return (join_heads(means), k, v)


def _unpacked(
    query: Array, key: Array | None, value: Array | None, bias: Array | None, heads: int
) -> tuple[Array, Array, Array]:
    """Return queries, keys and values as [batch, heads, steps, size]."""
    if key is None:  # [batch, steps, heads, 3, size]
        q, k, v = (query[..., part, :].swapaxes(1, 2) for part in range(3))
    elif value is None:  # key is [batch, steps, heads, 2, size]
        q, k, v = split_heads(query, heads), *(key[..., part, :].swapaxes(1, 2) for part in range(2))
    else:
        q = split_heads(query, heads)
        k, v = (x if x.ndim == 4 else split_heads(x, heads) for x in (key, value))
    if bias is None:
        return q, k, v
    ends = np.cumsum([x.shape[1] * x.shape[3] for x in (q, k)])
    q_bias, k_bias, v_bias = (part.reshape(heads, 1, -1) for part in np.split(bias, ends))
    has_own_keys = key is None or key.ndim != 4
    return q + q_bias, k + k_bias if has_own_keys else k, v + v_bias if has_own_keys else v


@means("RotaryEmbedding", domain=DOMAIN, ranges={1: along(2, 0)})
def rotary_embedding(
    x: Array,
    positions: Array,
    cosines: Array,
    sines: Array,
    *,
    interleaved: int = 0,
    is_packed_batching: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Array:
    """Return x with pairs of features turned by the angle of its position, of which the first may be given alone."""
    heads = num_heads or (x.shape[2] // (2 * cosines.shape[1]) if x.ndim == 3 else 0)
    split = split_heads(x, heads) if x.ndim == 3 else x
    places = positions if positions.ndim == 2 else positions + np.arange(split.shape[2])[None]
    turned = rotated(split, cosines[places][:, None], sines[places][:, None], bool(interleaved), rotary_embedding_dim)
    return join_heads(turned) if x.ndim == 3 else turned


@means("GroupQueryAttention", domain=DOMAIN)
def group_query_attention(
    query: Array,
    key: Array | None,
    value: Array | None,
    past_key: Array | None,
    past_value: Array | None,
    last_keys: Array,
    total: Array,
    cosines: Array | None = None,
    sines: Array | None = None,
    positions: Array | None = None,
    added: Array | None = None,
    *,
    num_heads: int,
    kv_num_heads: int,
    scale: float = 0.0,
    do_rotary: int = 0,
    rotary_interleaved: int = 0,
    local_window_size: int = -1,
    softcap: float = 0.0,
) -> tuple[Array, ...]:
    """Return causal attention with grouped heads, and all keys and values, each sequence from its own start on.

    `last_keys` is the index of each sequence's last key.
    """
    if key is None or value is None:
        size = query.shape[2] // (num_heads + 2 * kv_num_heads)
        query, key, value = np.split(query, [num_heads * size, (num_heads + kv_num_heads) * size], -1)
    q, k, v = split_heads(query, num_heads), split_heads(key, kv_num_heads), split_heads(value, kv_num_heads)
    steps, capacity = q.shape[2], max(int(total.reshape(())), 0 if past_key is None else past_key.shape[2])
    is_first = past_key is None or steps == int(total.reshape(()))
    starts = np.zeros(len(q), np.int64) if is_first else last_keys.reshape(-1) + 1 - steps
    if do_rotary:
        assert cosines is not None, "rotation has cosines"
        assert sines is not None, "rotation has sines"
        places = starts[:, None] + np.arange(steps) if positions is None else positions
        angles = cosines[places][:, None], sines[places][:, None]
        q, k = (rotated(x, *angles, bool(rotary_interleaved), 2 * cosines.shape[1]) for x in (q, k))
    keys, values = (np.zeros((*x.shape[:2], capacity, x.shape[3]), x.dtype) for x in (k, v))
    for row, start in enumerate(starts.tolist()):
        for cache, past, own in ((keys, past_key, k), (values, past_value, v)):
            if past is not None:
                cache[row, :, :start] = past[row, :, :start]
            cache[row, :, start : start + steps] = own[row]
    scores = q.dtype.type(scale or 1 / math.sqrt(q.shape[3])) * (
        q @ with_repeated_heads(keys, num_heads).swapaxes(2, 3)
    )
    scores = capped(scores, softcap)
    scores = scores if added is None else scores + added
    ahead = np.arange(capacity) - (starts[:, None, None, None] + np.arange(steps)[:, None])
    is_hidden = ahead > 0
    if local_window_size >= 0:
        is_hidden = is_hidden | (ahead <= -local_window_size)
    means = softmax(np.where(is_hidden, -np.inf, scores)) @ with_repeated_heads(values, num_heads)
    return (join_heads(means), keys, values)
