"""Attention of onnxruntime's own, against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.meanings.single_nodes import MICROSOFT, Array, Numbers, check

f = Numbers()


def bits(*shape: int) -> Array:
    return f.integers(2, *shape, dtype=np.int32)


MASKS = {
    "none": None,
    "lengths": np.array([5, 3], np.int32),
    "ends and starts": np.array([5, 3, 0, 1], np.int32),
    "keys": np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], np.int32),
}


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", MASKS)
def test_attention(mask: str, causal: int) -> None:
    how = {"num_heads": 3, "unidirectional": causal, "domain": MICROSOFT}
    weights = f(12, 36) * np.float32(0.3), f(36)
    check("Attention", f(2, 5, 12), *weights, MASKS[mask], **how)
    check("Attention", f(2, 5, 12), *weights, MASKS[mask], None, f(2, 3, 5, 5), **how)


def test_attention_with_a_past_and_other_sizes() -> None:
    weights = f(12, 36) * np.float32(0.3), f(36)
    how = {"num_heads": 3, "domain": MICROSOFT}
    for causal in (0, 1):
        past = {"unidirectional": causal, "outputs": 2, "scale": 0.3}
        check("Attention", f(2, 5, 12), *weights, None, f(2, 2, 3, 4, 4), **past, **how)
    check("Attention", f(2, 5, 12), f(12, 30), f(30), qkv_hidden_sizes=[12, 12, 6], **how)


@pytest.mark.parametrize("has_bias", [False, True])
def test_multi_head_attention(has_bias: bool) -> None:
    how = {"num_heads": 3, "domain": MICROSOFT}
    bias = f(36) if has_bias else None
    keys = np.array([[1] * 5 + [0] * 2, [1] * 7], np.int32)
    for mask in (None, np.array([7, 3], np.int32), keys, bits(2, 5, 7)):
        for added in (None, f(2, 3, 5, 7), f(1, 1, 5, 7)):
            check("MultiHeadAttention", f(2, 5, 12), f(2, 7, 12), f(2, 7, 12), bias, mask, added, rtol=1e-3, **how)
    past: dict[str, Any] = {"outputs": 3, "scale": 0.3}
    for causal in (0, 1):
        flat = (f(2, 5, 12), f(2, 5, 12), f(2, 5, 12), bias)
        check(
            "MultiHeadAttention", *flat, None, None, f(2, 3, 4, 4), f(2, 3, 4, 4), unidirectional=causal, **past, **how
        )
    check("MultiHeadAttention", f(2, 5, 12), f(2, 3, 7, 4), f(2, 3, 7, 4), bias, **how)


def grouped(past: int, steps: int, lengths: list[int], *, rotates: bool, packed: bool = False, **how: Any) -> None:
    heads, key_heads, size, batch = 4, 2, 16, len(lengths)
    q, k, v = (f(batch, steps, count * size) for count in (heads, key_heads, key_heads))
    given = [np.concatenate([q, k, v], -1), None, None] if packed else [q, k, v]
    cache = [f(batch, key_heads, past, size) for _ in range(2)]
    angles = [f(64, size // 2), f(64, size // 2)] if rotates else [None, None]
    check(
        "GroupQueryAttention",
        *given,
        *cache,
        np.array(lengths, np.int32) - np.int32(1),
        np.array([max(lengths)], np.int32),
        *angles,
        num_heads=heads,
        kv_num_heads=key_heads,
        do_rotary=int(rotates),
        outputs=3,
        domain=MICROSOFT,
        **how,
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("rotates", "interleaved"), [(False, 0), (True, 0), (True, 1)])
def test_group_query_attention(rotates: bool, interleaved: int, packed: bool) -> None:
    for past, steps, lengths in ((0, 5, [5, 5]), (7, 1, [8, 8]), (7, 1, [8, 6]), (7, 3, [10]), (8, 1, [6, 8])):
        grouped(past, steps, lengths, rotates=rotates, packed=packed, rotary_interleaved=interleaved)


@pytest.mark.parametrize("how", [{"local_window_size": 2}, {"softcap": 2.0}, {"scale": 0.1}])
def test_group_query_attention_with_limits(how: dict[str, Any]) -> None:
    grouped(0, 5, [5, 5], rotates=False, **how)
    grouped(7, 1, [8, 8], rotates=False, **how)
