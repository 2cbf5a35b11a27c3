"""Attention in all variants, and rotary embeddings, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ops.meanings.attention import causal_conv_with_state, linear_attention
from tests.ops.meanings.single_nodes import MICROSOFT, Numbers, check, has_meaning

f = Numbers()
MASKS = {
    "none": None,
    "numbers": f(5, 7),
    "heads": f.generator.uniform(size=(2, 4, 5, 7)) > 0.3,
    "shared": f.generator.uniform(size=(2, 1, 5, 7)) > 0.3,
}
HOW: list[dict[str, Any]] = [
    {},
    {"is_causal": 1},
    {"softcap": 2.0},
    {"scale": 0.3},
    {"softcap": 2.0, "is_causal": 1},
]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("key_heads", [4, 2])
def test_attention(key_heads: int, mask: str, how: dict[str, Any]) -> None:
    query = (f(2, 4, 5, 8), f(2, key_heads, 7, 8), f(2, key_heads, 7, 6))
    for version in (23, 24):
        check("Attention", *query, MASKS[mask], version=version, **how)
    for mode in (0, 1, 3):
        check("Attention", *query, MASKS[mask], qk_matmul_output_mode=mode, outputs=4, **how)
    flat = (f(2, 5, 32), f(2, 7, key_heads * 8), f(2, 7, key_heads * 6))
    check("Attention", *flat, MASKS[mask], q_num_heads=4, kv_num_heads=key_heads, **how)
    past = (f(2, key_heads, 3, 8), f(2, key_heads, 3, 6))
    check("Attention", *query[:1], *(x[:, :, :4] for x in query[1:]), MASKS[mask], *past, outputs=3, **how)


@pytest.mark.parametrize("is_causal", [0, 1])
def test_padded_keys(is_causal: int) -> None:
    query = (f(2, 4, 5, 8), f(2, 4, 7, 8), f(2, 4, 7, 6))
    check("Attention", *query, None, None, None, np.array([7, 5]), version=24, is_causal=is_causal)


def test_scores_with_a_mask_are_shown_in_different_ways() -> None:
    types = "f32[1,1,2,2]; f32[1,1,2,2]; f32[1,1,2,2]; f32[1,1,2,2]"
    assert has_meaning("Attention", types, qk_matmul_output_mode=1)
    assert not has_meaning("Attention", types, qk_matmul_output_mode=2)
    assert has_meaning("Attention", "f32[1,1,2,2]", qk_matmul_output_mode=2)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embeddings(interleaved: int) -> None:
    tables, places = (f(20, 4), f(20, 4)), f.integers(20, 2, 5)
    partial = {"num_heads": 3, "rotary_embedding_dim": 8}
    check("RotaryEmbedding", f(2, 3, 5, 8), *tables, places, interleaved=interleaved)
    check("RotaryEmbedding", f(2, 5, 24), *tables, places, interleaved=interleaved, num_heads=3)
    check("RotaryEmbedding", f(2, 5, 30), *tables, places, interleaved=interleaved, **partial)
    check("RotaryEmbedding", f(2, 3, 5, 8), f(2, 5, 4), f(2, 5, 4), interleaved=interleaved)
    for x, where in ((f(2, 3, 5, 8), places), (f(2, 5, 24), places), (f(2, 5, 24), np.array([3]))):
        check("RotaryEmbedding", x, where, *tables, interleaved=interleaved, domain=MICROSOFT)
    check("RotaryEmbedding", f(2, 5, 30), places, *tables, interleaved=interleaved, domain=MICROSOFT, **partial)


def test_linear_attention_step_by_step() -> None:
    q, k, v = f(1, 3, 4), f(1, 3, 4), f(1, 3, 4)
    result, state = linear_attention(q, k, v, q_num_heads=1, kv_num_heads=1, update_rule="linear", scale=1.0)
    np.testing.assert_allclose(state[0, 0], k[0].T @ v[0], rtol=1e-5)
    np.testing.assert_allclose(result[0, 1], q[0, 1] @ (k[0, :2].T @ v[0, :2]), rtol=1e-5)
    ones = np.ones((1, 3, 1), np.float32)
    _, exact = linear_attention(q, k, v, None, None, ones, q_num_heads=1, kv_num_heads=1, update_rule="delta")
    unit = k / np.linalg.norm(k, axis=-1, keepdims=True)
    _, exact = linear_attention(q, unit, v, None, None, ones, q_num_heads=1, kv_num_heads=1, update_rule="delta")
    np.testing.assert_allclose(unit[0, 2] @ exact[0, 0], v[0, 2], rtol=1e-4)  # what was written last is read exactly


def test_a_causal_convolution_goes_on_from_its_state() -> None:
    x, kernel, bias = f(2, 3, 7), f(3, 1, 4), f(3)
    whole, last = causal_conv_with_state(x, kernel, bias, activation="silu")
    first, state = causal_conv_with_state(x[:, :, :5], kernel, bias, activation="silu")
    second, end = causal_conv_with_state(x[:, :, 5:], kernel, bias, state, activation="silu")
    np.testing.assert_allclose(np.concatenate([first, second], 2), whole, rtol=1e-6)
    assert end.tolist() == last.tolist() == x[:, :, 4:].tolist()
