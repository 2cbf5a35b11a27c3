"""Parts of what operators compute: the same numbers as the whole has at those places."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from kir.errors import ShapeError
from kir.ir.op import Array, Op
from kir.numerics import sampling
from kir.numerics.sampling import few, take_part
from kir.ops.attention import Attention
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import Add, Clip, Relu, Where
from kir.ops.linear import Dense, MatMul
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.normalization import BatchNormalization, InstanceNormalization, LayerNormalization
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.recurrent import GRU, LSTM, SIGMOID, TANH
from kir.ops.reduce import ArgMax, ReduceMean, ReduceSum
from kir.ops.resize import Resize


@pytest.fixture(autouse=True)
def _everything_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "CHEAP_WORK", 0)
    monkeypatch.setattr(sampling, "PART_WORK", 1)
    monkeypatch.setattr(sampling, "ELEMENTS", 20)
    monkeypatch.setattr(sampling, "LEAST", 3)


def draw(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape)


def check(op: Op, *inputs: Array | None) -> sampling.Part:
    """Check that the operator of a part computes what the part has of the whole, and is no other number than there."""
    result: Any = op.eval(*inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    part = take_part(op, inputs, outputs)
    found: Any = part.op.eval(*part.inputs)
    for own, whole in zip(found if isinstance(found, tuple) else (found,), part.outputs, strict=True):
        assert whole is not None
        np.testing.assert_allclose(own, whole, rtol=1e-10, atol=1e-10)
    assert part.count < part.total
    return part


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid", "own"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (3, 1, 2), (1, 2, 1), (1, 3, 4)])
def test_convolutions(rank: int, padding: str, stride: int, dilation: int, groups: int) -> None:
    pads: Any = {"same": "same", "valid": (0,) * 2 * rank, "own": (2, 1, 0, 1, 3, 2)[: 2 * rank]}[padding]
    op = Conv((stride,) * rank, (dilation,) * rank, groups, pads)
    x = draw(2, 4, *(23, 17, 14)[:rank])
    part = check(op, x, draw(8, 4 // groups, *(3, 2, 4)[:rank]), draw(8))
    assert part.outputs[0] is not None
    assert part.outputs[0].shape[1] == 8  # all channels


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (3, 1, 2), (1, 2, 1), (2, 2, 4)])
@pytest.mark.parametrize("padding", [0, 1])
def test_transposed_convolutions(rank: int, stride: int, dilation: int, groups: int, padding: int) -> None:
    extra = (min(1, stride - 1),) * rank
    op = ConvTranspose((stride,) * rank, (dilation,) * rank, groups, (padding, 0, padding) * 2, extra)
    op = ConvTranspose(op.strides, op.dilations, groups, op.padding[: 2 * rank], extra)
    x = draw(2, 4, *(15, 11, 9)[:rank])
    check(op, x, draw(4, 6 // groups if 6 % groups == 0 else 2, *(3, 2, 4)[:rank]), None)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid", "own"])
@pytest.mark.parametrize(
    ("kind", "stride", "dilation", "ceil", "counted"),
    [
        (MaxPool, 1, 1, False, False),
        (MaxPool, 3, 1, True, False),
        (MaxPool, 2, 2, False, False),
        (AveragePool, 1, 1, False, False),
        (AveragePool, 3, 1, True, True),
        (AveragePool, 2, 2, False, True),
        (AveragePool, 2, 1, True, False),
    ],
)
def test_pooling(rank: int, padding: str, kind: Any, stride: int, dilation: int, ceil: bool, counted: bool) -> None:
    pads: Any = {"same": "same", "valid": (0,) * 2 * rank, "own": (1, 1, 0, 1, 0, 1)[: 2 * rank]}[padding]
    settings = {"count_include_pad": counted} if kind is AveragePool else {}
    op = kind((3, 2, 2)[:rank], (stride,) * rank, (dilation,) * rank, pads, ceil, **settings)
    check(op, draw(2, 3, *(23, 17, 16)[:rank]))


def test_of_integers_padding_is_never_the_largest() -> None:
    x = np.full((1, 2, 30), -7, np.int8)
    check(MaxPool((3,), (1,), (1,), "same", False), x)


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (Relu(), (draw(9, 8),)),
        (Add(), (draw(9, 8), draw(8))),
        (Add(), (draw(7, 9, 1), draw(9, 8))),
        (Where(), (draw(9, 1) > 0, draw(9, 8), np.float64(3))),
        (Clip(), (draw(9, 8), np.float64(-1), None)),
        (Dense(), (draw(9, 8), draw(8, 3), draw(3))),
        (Dense(Softmax(2)), (draw(9, 8, 5), draw(5, 3), None)),
        (MatMul(), (draw(9, 8), draw(8, 3))),
        (MatMul(), (draw(2, 9, 8), draw(8, 3))),
        (MatMul(), (draw(5, 1, 9, 8), draw(6, 8, 3))),
        (Softmax(1), (draw(9, 8, 7),)),
        (LogSoftmax(0), (draw(9, 8, 7),)),
        (LayerNormalization(1, 1e-3), (draw(9, 8, 7), draw(8, 7), draw(8, 7))),
        (BatchNormalization(1e-3), (draw(9, 8, 7), *(np.abs(draw(8 + i))[:8] for i in range(4)))),
        (InstanceNormalization(1e-3), (draw(9, 8, 7), draw(8), draw(8))),
        (ReduceMean((1,), True), (draw(9, 8, 7),)),
        (ReduceSum((0, 2), False), (draw(9, 12, 7),)),
        (ArgMax(1, False), (draw(9, 8, 7),)),
        (Resize((1, 9, 8, 14), "linear"), (draw(1, 9, 4, 7),)),
        (Resize((9, 8, 14, 5), "cubic"), (draw(9, 4, 7, 5),)),
        (Attention(2, 2, 0.5), (draw(7, 20, 8), draw(7, 5, 8), draw(7, 5, 4), draw(7, 1, 20, 5))),
        (Attention(4, 2, 0.5), (draw(7, 20, 8), draw(7, 5, 4), draw(7, 5, 4), draw(20, 5))),
    ],
    ids=lambda value: str(value) if isinstance(value, Op) else "",
)
def test_other_operators(op: Op, inputs: tuple[Array | None, ...]) -> None:
    check(op, *inputs)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_sequences(direction: str) -> None:
    count = 2 if direction == "bidirectional" else 1
    lens = np.arange(9, dtype=np.int32) % 4 + 1
    h = draw(count, 9, 3)
    gru = GRU(3, direction, (SIGMOID, TANH) * count, True)
    check(gru, draw(4, 9, 2), draw(count, 9, 2), draw(count, 9, 3), draw(count, 18), lens, h)
    lstm = LSTM(3, direction, (SIGMOID, TANH, TANH) * count)
    check(lstm, draw(4, 9, 2), draw(count, 12, 2), draw(count, 12, 3), draw(count, 24), None, h, h)


def test_elements_hold_the_extremes() -> None:
    x = draw(40, 50)
    part = check(Relu(), x)
    (taken,) = part.inputs
    assert taken is not None
    assert (taken.min(), taken.max()) == (x.min(), x.max())


@pytest.mark.parametrize(("size", "most"), list(itertools.product([1, 5, 6, 7, 40, 1000], [3, 6, 16])))
def test_few_indices_are_different_and_hold_the_ends(size: int, most: int) -> None:
    chosen = few(size, most)
    assert len(set(chosen.tolist())) == len(chosen) <= max(size, most)
    assert (chosen[0], chosen[-1]) == (0, size - 1)


def test_results_of_another_shape_are_an_error() -> None:
    with pytest.raises(ShapeError, match=r"the result has shape \(3, 4\), expected \(4, 4\)"):
        take_part(Relu(), (draw(4, 4),), (draw(3, 4),))
