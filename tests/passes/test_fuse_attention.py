from typing import Any

import numpy as np
import pytest

from kir import passes
from kir.ir.dims import symbol
from kir.ops.attention import Attention
from kir.ops.elementwise import Add, Mul, Sin, Where
from kir.ops.linear import MatMul
from kir.ops.nn import Softmax
from kir.ops.shape import Reshape, Transpose
from kir.passes.fuse_attention import fuse_attention
from tests.passes.building import Build, f32, make_feeds, op_names, weights

FUSED = ["Reshape", "Reshape", "Reshape", "Attention", "Reshape"]
BATCH, HALF = symbol("batch"), f32(0.5)
QUERIES, KEYS, FEW, VALUES = (f"f32[batch, {shape}]" for shape in ("3, 4, 2", "5, 4, 2", "5, 2, 2", "5, 4, 6"))
MASK = np.random.default_rng(0).random((1, 1, 3, 5)) < 0.5


def attend(
    scale: Any = HALF,
    mask: Any = None,
    keys: tuple[int, ...] = (0, 2, 3, 1),
    axis: int = 3,
    finish: Any = lambda b, scores, means: means,
) -> Any:
    """Attention in single operators; `mask` gives the masked scores, `finish` the outputs."""

    def build(b: Build, q: Any, k: Any, v: Any, *others: Any) -> Any:
        query = b(Transpose((0, 2, 1, 3)), q if scale is None else b(Mul(), q, scale))
        scores = b(MatMul(), query, b(Transpose(keys), k))
        scores = b(Softmax(axis), mask(b, scores, *others) if mask else scores)
        means = b(MatMul(), scores, b(Transpose((0, 2, 1, 3)), v))
        return finish(b, scores, b(Transpose((0, 2, 1, 3)), means))

    return build


def grouped(b: Build, q: Any, k: Any, v: Any) -> Any:
    """Let the queries of two heads share keys."""
    query = b(Reshape((BATCH, 2, 6, 2)), b(Transpose((0, 2, 1, 3)), q))
    scores = b(Reshape((BATCH, 4, 3, 5)), b(MatMul(), query, b(Transpose((0, 2, 3, 1)), k)))
    weights_ = b(Reshape((BATCH, 2, 6, 5)), b(Softmax(3), scores))
    means = b(Reshape((BATCH, 4, 3, 2)), b(MatMul(), weights_, b(Transpose((0, 2, 1, 3)), v)))
    return b(Transpose((0, 2, 1, 3)), means)


def left(build: Any, *types: str) -> list[str]:
    b = Build(*types)
    graph = b.finish(build(b, *b.inputs))
    passes.run(graph, (fuse_attention,), check=True, feeds=make_feeds(graph, special=False))
    return op_names(graph)


FITTING = {
    "all": (attend(), FUSED),
    "no scale": (attend(scale=None), FUSED),
    "a scale for each element": (attend(scale=f32(0.5, 2)), ["Mul", *FUSED]),
    "a negative scale": (attend(scale=f32(-0.5)), ["Mul", *FUSED]),
    "a sum": (attend(mask=lambda b, x: b(Add(), x, weights(3, 5))), FUSED),
    "a sum the other way": (attend(mask=lambda b, x: b(Add(), weights(4, 3, 5), x)), FUSED),
    "a condition": (
        attend(mask=lambda b, x: b(Where(), MASK, x, f32(-2e38))),
        [*FUSED[:3], "Where", *FUSED[3:]],
    ),
}

STAYING = {
    "a sum for all queries": attend(mask=lambda b, x: b(Add(), x, weights(1, 5))),
    "a condition with a number that counts": attend(mask=lambda b, x: b(Where(), MASK, x, f32(-3))),
    "a condition with infinity": attend(mask=lambda b, x: b(Where(), MASK | True, x, f32(-np.inf))),
    "keys that are turned otherwise": attend(keys=(0, 2, 3, 1), axis=2),
    "scores that are read": attend(finish=lambda b, scores, means: (means, b(Sin(), scores))),
}


@pytest.mark.parametrize("case", FITTING)
def test_it_becomes_one_operator(case: str) -> None:
    build, expected = FITTING[case]
    assert sorted(left(build, QUERIES, KEYS, KEYS)) == sorted(expected)


@pytest.mark.parametrize("case", STAYING)
def test_it_stays(case: str) -> None:
    assert "Attention" not in left(STAYING[case], QUERIES, KEYS, KEYS)


def test_values_may_have_another_size() -> None:
    assert left(attend(), QUERIES, KEYS, VALUES) == FUSED


def test_heads_that_share_keys() -> None:
    b = Build(QUERIES, FEW, FEW)
    graph = b.finish(grouped(b, *b.inputs))
    passes.run(graph, (fuse_attention,), check=True, feeds=make_feeds(graph, special=False))
    assert [node.op for node in graph.order() if isinstance(node.op, Attention)] == [Attention(4, 2, 1.0)]


def test_half_precision_stays() -> None:
    types = (type.replace("f32", "f16") for type in (QUERIES, KEYS, KEYS))
    assert "Attention" not in left(attend(scale=None), *types)


def test_it_is_for_new_opsets_only() -> None:
    assert fuse_attention not in passes.pipeline()
    assert fuse_attention not in passes.pipeline(2, opset=22)
    assert fuse_attention in passes.pipeline(2, opset=23)
    assert fuse_attention not in passes.pipeline(1, opset=23)
    assert passes.select("fuse-attention") == (fuse_attention,)
