from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from kir import Input, Sequential, layers, passes
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Value
from kir.ir.structural import Constant
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import Add, Div, Mul, Neg, Relu, Sin, Sub
from kir.ops.linear import Dense
from kir.ops.normalization import BatchNormalization
from kir.ops.reduce import ReduceMean
from kir.ops.shape import Concat, Reshape, Transpose
from kir.passes.fold_affine import fold_affine
from kir.passes.fold_constants import fold_constants
from tests.passes.building import Array, Build, Builder, f32, left, optimize, weights

K, B = weights(4, 3), weights(3, seed=2)
C3, C4 = weights(3, seed=3), weights(4, seed=4)


def dense(b: Build, x: Value) -> Any:
    return b(Dense(), x, K, B)


def bare(b: Build, x: Value) -> Any:
    return b(Dense(), x, K)


def normalized(b: Build, x: Value) -> Any:
    return b(BatchNormalization(0.1), x, C3, weights(3, seed=5), weights(3, seed=6), np.abs(weights(3, seed=7)))


def read_twice(b: Build, x: Value) -> Any:
    value = dense(b, x)
    return b(Mul(), value, f32(2)), value


def front_read_twice(b: Build, x: Value) -> Any:
    value = b(Mul(), x, f32(2))
    return dense(b, value), value


def shared_kernel(b: Build, x: Value) -> Any:
    kernel = b.constant(K)
    return b(Mul(), b(Dense(), x, kernel), f32(2)), b(Dense(), x, kernel, B)


def shared_kernel_shifted(b: Build, x: Value) -> Any:
    kernel = b.constant(K)
    return b(Add(), b(Dense(), x, kernel), C3), b(Dense(), b(Add(), x, C4), kernel, B)


def moved(b: Build, x: Value) -> Any:
    return b(Transpose((0, 2, 1)), b(Reshape((symbol("batch"), 3, 1)), dense(b, x)))


def moved_read_twice(b: Build, x: Value) -> Any:
    value = moved(b, x)
    return b(Mul(), value, f32(2)), value


FIRST, LAST = Transpose((0, 3, 1, 2)), Transpose((0, 2, 3, 1))


def behind(b: Build, x: Value, size: int) -> Any:
    return b(LAST, b(BatchNormalization(0.1), b(FIRST, x), *statistics(size)))


def behind_read_twice(b: Build, x: Value) -> Any:
    inner = b(BatchNormalization(0.1), b(FIRST, x), *statistics(4))
    return b(LAST, inner), b(Relu(), inner)


def narrow(*sizes: int) -> Builder:
    def build(b: Build, x: Value) -> Any:
        for i, (inputs, units) in enumerate(pairwise(sizes)):
            x = b(Dense(), x, weights(inputs, units, seed=i), weights(units, seed=i))
        return x

    return build


CASES = {
    "1 scale": (lambda b, x: b(Mul(), dense(b, x), C3), ["Dense"]),
    "1 scale by a number": (lambda b, x: b(Mul(), f32(2), dense(b, x)), ["Dense"]),
    "1 scale without a bias": (lambda b, x: b(Mul(), bare(b, x), C3[None]), ["Dense"]),
    "1 divide": (lambda b, x: b(Div(), dense(b, x), C3), ["Dense"]),
    "1 shift": (lambda b, x: b(Add(), C3, dense(b, x)), ["Dense"]),
    "1 shift without a bias": (lambda b, x: b(Sub(), bare(b, x), C3), ["Dense"]),
    "1 subtract from": (lambda b, x: b(Sub(), C3, dense(b, x)), ["Dense"]),
    "1 negate": (lambda b, x: b(Neg(), dense(b, x)), ["Dense"]),
    "1 several": (lambda b, x: b(Div(), b(Add(), b(Mul(), dense(b, x), C3), f32(1)), f32(3)), ["Dense"]),
    "1 batch normalization": (lambda b, x: normalized(b, dense(b, x)), ["Dense"]),
    "1 scale by a number behind movers": (
        lambda b, x: b(Mul(), moved(b, x), np.full((1, 1), 2, np.float32)),
        ["Dense", "Reshape", "Transpose"],
    ),
    "1 shift by a number behind movers": (
        lambda b, x: b(Sub(), f32(1), b(Neg(), moved(b, x))),
        ["Dense", "Reshape", "Transpose"],
    ),
    "1 not a scale of units behind movers": (
        lambda b, x: b(Mul(), moved(b, x), C3),
        ["Dense", "Reshape", "Transpose", "Mul"],
    ),
    "1 not behind movers that are read twice": (moved_read_twice, ["Dense", "Reshape", "Transpose", "Mul"]),
    "1 not a batch normalization of another axis": (
        lambda b, x: normalized(b, b(Reshape((symbol("batch"), 3, 1)), dense(b, x))),
        ["Dense", "Reshape", "BatchNormalization"],
    ),
    "1 not of statistics that are computed": (
        lambda b, x: b(BatchNormalization(0.1), dense(b, x), C3, C3, C3, b(ReduceMean((0,), False), dense(b, x))),
        ["Dense", "Dense", "ReduceMean", "BatchNormalization"],
    ),
    "1 not if read twice": (read_twice, ["Dense", "Mul"]),
    "1 not behind an activation": (lambda b, x: b(Mul(), b(Dense(Relu()), x, K), f32(2)), ["Dense", "Mul"]),
    "1 not a quotient": (lambda b, x: b(Div(), C3, dense(b, x)), ["Dense", "Div"]),
    "1 not by infinity": (lambda b, x: b(Mul(), dense(b, x), f32(np.inf)), ["Dense", "Mul"]),
    "1 not another axis": (lambda b, x: b(Mul(), dense(b, x), weights(3, 1)), ["Dense", "Mul"]),
    "1 not a shared kernel": (shared_kernel, ["Dense", "Mul", "Dense"]),
    "1 and 2 a shift leaves the kernel alone": (shared_kernel_shifted, ["Dense", "Dense"]),
    "2 scale": (lambda b, x: dense(b, b(Mul(), x, C4)), ["Dense"]),
    "2 shift": (lambda b, x: bare(b, b(Add(), x, C4)), ["Dense"]),
    "2 both": (lambda b, x: dense(b, b(Sub(), f32(1), b(Div(), x, C4))), ["Dense"]),
    "2 into an activated one": (lambda b, x: b(Dense(Relu()), b(Mul(), x, C4), K, B), ["Dense"]),
    "2 not if read twice": (front_read_twice, ["Mul", "Dense"]),
    "2 not what is fed": (lambda b, x: dense(b, b(Add(), x, x)), ["Add", "Dense"]),
    "3 two": (narrow(4, 4, 4), ["Dense"]),
    "3 five": (narrow(4, 4, 4, 4, 4, 4), ["Dense"]),
    "3 without biases": (lambda b, x: b(Dense(), b(Dense(), x, K), weights(3, 2)), ["Dense"]),
    "3 into an activated one": (lambda b, x: b(Dense(Relu()), dense(b, x), weights(3, 2), C3[:2]), ["Dense"]),
    "3 not through a bottleneck": (narrow(4, 1, 4), ["Dense", "Dense"]),
    "3 not behind an activation": (
        lambda b, x: b(Dense(), b(Dense(Relu()), x, K), weights(3, 2)),
        ["Dense", "Dense"],
    ),
}


IMAGE = "f32[batch, 4, 6, time]"
CHANNELS4, CHANNELS6 = weights(4, 1, 1, seed=3), weights(6, 1, 1, seed=4)


def conv(b: Build, x: Value, *, groups: int = 1, padding: tuple[int, ...] | str = (0,) * 4, bias: bool = True) -> Any:
    kernel = weights(6, 4 // groups, 3, 2, seed=groups)
    return b(Conv((1, 2), (1, 1), groups, padding), x, kernel, *([weights(6, seed=2)] if bias else []))


def transposed(b: Build, x: Value, *, groups: int = 1) -> Any:
    op = ConvTranspose((1, 2), (1, 1), groups, (1, 0, 0, 0), (0, 1))
    return b(op, x, weights(4, 6 // groups, 3, 2, seed=groups), weights(6, seed=2))


def depthwise(b: Build, x: Value) -> Any:
    return b(Conv((1, 1), (1, 1), 4, (1, 1, 1, 1)), x, weights(4, 1, 3, 3), weights(4, seed=2))


def statistics(units: int) -> tuple[Array, ...]:
    return weights(units, seed=4), weights(units, seed=5), weights(units, seed=6), np.abs(weights(units, seed=7))


def joined(b: Build, x: Value, *values: Value) -> Any:
    return b(BatchNormalization(0.1), b(Concat(1), *values), *statistics(6 * len(values)))


def read_beside(b: Build, x: Value) -> Any:
    value = conv(b, x)
    return joined(b, x, value, conv(b, x, bias=False)), b(Sin(), value)


CONV_CASES = {
    "1 scale": (lambda b, x: b(Mul(), conv(b, x), CHANNELS6), ["Conv"]),
    "1 scale with the batch's axis": (lambda b, x: b(Div(), conv(b, x), CHANNELS6[None]), ["Conv"]),
    "1 scale by a number": (lambda b, x: b(Mul(), f32(2), conv(b, x, bias=False)), ["Conv"]),
    "1 shift": (lambda b, x: b(Sub(), CHANNELS6, conv(b, x, bias=False)), ["Conv"]),
    "1 shift with padding": (lambda b, x: b(Add(), conv(b, x, padding="same"), CHANNELS6), ["Conv"]),
    "1 groups": (lambda b, x: b(Mul(), conv(b, x, groups=2), CHANNELS6), ["Conv"]),
    "1 depthwise": (lambda b, x: b(Add(), b(Mul(), depthwise(b, x), CHANNELS4), CHANNELS4), ["Conv"]),
    "1 batch normalization": (lambda b, x: b(BatchNormalization(0.1), conv(b, x), *statistics(6)), ["Conv"]),
    "1 transposed": (lambda b, x: b(Add(), b(Mul(), transposed(b, x), CHANNELS6), CHANNELS6), ["ConvTranspose"]),
    "1 transposed groups": (lambda b, x: b(Mul(), transposed(b, x, groups=2), CHANNELS6), ["ConvTranspose"]),
    "1 transposed batch normalization": (
        lambda b, x: b(BatchNormalization(0.1), transposed(b, x), *statistics(6)),
        ["ConvTranspose"],
    ),
    "1 not along another axis": (lambda b, x: b(Mul(), conv(b, x), weights(4, 1)), ["Conv", "Mul"]),
    "2 scale": (lambda b, x: conv(b, b(Mul(), x, CHANNELS4)), ["Conv"]),
    "2 scale with padding": (lambda b, x: conv(b, b(Mul(), x, CHANNELS4), padding=(1, 0, 1, 1)), ["Conv"]),
    "2 shift": (lambda b, x: conv(b, b(Add(), x, CHANNELS4)), ["Conv"]),
    "2 shift by a number": (lambda b, x: conv(b, b(Sub(), x, f32(0.5)), groups=2), ["Conv"]),
    "2 groups": (lambda b, x: conv(b, b(Add(), b(Mul(), x, CHANNELS4), CHANNELS4), groups=2), ["Conv"]),
    "2 batch normalization": (lambda b, x: conv(b, b(BatchNormalization(0.1), x, *statistics(4))), ["Conv"]),
    "2 depthwise": (lambda b, x: depthwise(b, b(Mul(), x, CHANNELS4)), ["Conv"]),
    "2 transposed": (lambda b, x: transposed(b, b(Mul(), x, CHANNELS4), groups=2), ["ConvTranspose"]),
    "2 not a shift with padding": (lambda b, x: depthwise(b, b(Add(), x, CHANNELS4)), ["Add", "Conv"]),
    "2 not a shift with same": (
        lambda b, x: conv(b, b(Add(), x, CHANNELS4), padding="same"),
        ["Add", "Conv"],
    ),
    "2 not a shift of a transposed one": (lambda b, x: transposed(b, b(Add(), x, CHANNELS4)), ["Add", "ConvTranspose"]),
    "5": (lambda b, x: joined(b, x, conv(b, x), conv(b, x, groups=2, bias=False)), ["Conv", "Conv", "Concat"]),
    "5 not of anything": (
        lambda b, x: joined(b, x, conv(b, x), b(Sin(), conv(b, x, bias=False))),
        ["Conv", "Conv", "Sin", "Concat", "BatchNormalization"],
    ),
    "5 not if something else reads one": (
        read_beside,
        ["Conv", "Conv", "Concat", "BatchNormalization", "Sin"],
    ),
    "5 not along another axis": (
        lambda b, x: b(BatchNormalization(0.1), b(Concat(2), conv(b, x), conv(b, x, bias=False)), *statistics(6)),
        ["Conv", "Conv", "Concat", "BatchNormalization"],
    ),
    "1 and 2": (lambda b, x: b(Mul(), conv(b, b(Mul(), x, CHANNELS4)), CHANNELS6), ["Conv"]),
}


@pytest.mark.parametrize("case", CONV_CASES)
def test_convolution(case: str) -> None:
    build, expected = CONV_CASES[case]
    assert left(fold_affine, build, IMAGE, special=False) == expected


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(fold_affine, build, special=False) == expected


def names(graph: Graph) -> list[str | None]:
    return [node.op.label for node in graph.order() if isinstance(node.op, Constant)]


def test_weights_keep_their_names() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Mul(), b(Dense(), x, b.constant(K, "d/kernel"), b.constant(B, "d/bias")), C3)

    assert names(optimize(fold_affine, build, special=False)) == ["d/kernel", "d/bias"]


def test_no_bias_appears_where_none_is_needed() -> None:
    graph = optimize(fold_affine, lambda b, x: b(Mul(), bare(b, x), C3), special=False)
    assert len(names(graph)) == 1


def test_a_new_bias_is_called_as_the_layer_would_call_it() -> None:
    convolution = layers.Conv2D(2, 2, use_bias=False, data_format="channels_first", name="conv")
    behind = layers.BatchNormalization(axis=1, beta_initializer="ones")
    graph = Sequential([Input((3, 4, 5)), convolution, behind]).to_graph()
    passes.run(graph, [fold_constants, fold_affine])
    assert names(graph) == ["conv/kernel", "conv/bias"]


def test_not_if_a_weight_would_overflow() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Mul(), b(Mul(), b(Dense(), x, K * f32(1e30)), f32(1e30)), f32(0))

    graph = optimize(fold_affine, build, special=False)
    assert all(np.isfinite(node.op.eval()).all() for node in graph.order() if isinstance(node.op, Constant))
    assert len(names(graph)) == 3


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes(dtype: type[np.generic]) -> None:
    def build(b: Build, x: Value) -> Any:
        return b(Mul(), b(Dense(), x, K.astype(dtype), B.astype(dtype)), C3.astype(dtype))

    type = {np.float16: "f16", np.float64: "f64"}[dtype]
    assert left(fold_affine, build, f"{type}[batch, 4]", special=False) == ["Dense"]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda b, x: behind(b, x, 4), ["Mul", "Add"]),
        (lambda b, x: behind(b, b(Dense(), x, K, B), 3), ["Dense"]),
        (behind_read_twice, ["Transpose", "BatchNormalization", "Transpose", "Relu"]),
        (
            lambda b, x: b(FIRST, b(BatchNormalization(0.1), b(FIRST, x), *statistics(4))),
            ["Transpose", "BatchNormalization", "Transpose"],
        ),
    ],
    ids=["alone", "behind a Dense", "not if read twice", "not if they do not cancel"],
)
def test_4_statistics_of_the_last_axis(build: Builder, expected: object) -> None:
    assert left(fold_affine, build, "f32[batch, 2, 3, 4]", special=False) == expected
