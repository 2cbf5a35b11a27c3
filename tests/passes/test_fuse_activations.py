from typing import Any

import pytest

from kir.ir.dims import symbol
from kir.ir.graph import Graph, Value
from kir.ir.op import Op
from kir.ops.elementwise import ACTIVATIONS, LeakyRelu, Neg, Relu, Sigmoid, Tanh
from kir.ops.linear import Dense
from kir.ops.nn import LogSoftmax, Softmax
from kir.ops.shape import Reshape, Transpose
from kir.passes.fuse_activations import fuse_activations
from tests.passes.building import Build, left, optimize, weights

BATCH = symbol("batch")
KERNEL, BIAS = weights(4, 3), weights(3)


def activations(graph: Graph) -> list[str]:
    return [str(node.op.activation) for node in graph.order() if isinstance(node.op, Dense)]


def dense(b: Build, x: Value) -> Any:
    return b(Dense(), x, KERNEL, BIAS)


def read_twice(b: Build, x: Value) -> Any:
    value = dense(b, x)
    return b(Relu(), value), value


CASES = {
    "1": (lambda b, x: b(Relu(), dense(b, x)), ["Dense"]),
    "1 with attributes": (lambda b, x: b(LeakyRelu(0.3), dense(b, x)), ["Dense"]),
    "1 without a bias": (lambda b, x: b(Tanh(), b(Dense(), x, KERNEL)), ["Dense"]),
    "1 not of two": (lambda b, x: b(Sigmoid(), b(Relu(), dense(b, x))), ["Dense", "Sigmoid"]),
    "1 not if read twice": (read_twice, ["Dense", "Relu"]),
    "1 not another function": (lambda b, x: b(Neg(), dense(b, x)), ["Dense", "Neg"]),
    "2 softmax": (lambda b, x: b(Softmax(1), dense(b, x)), ["Dense"]),
    "2 log softmax": (lambda b, x: b(LogSoftmax(1), dense(b, x)), ["Dense"]),
    "2 not over another axis": (lambda b, x: b(Softmax(0), dense(b, x)), ["Dense", "Softmax"]),
    "3 reshape": (lambda b, x: b(Relu(), b(Reshape((BATCH, 3, 1)), dense(b, x))), ["Dense", "Reshape"]),
    "3 transpose": (lambda b, x: b(Relu(), b(Transpose((1, 0)), dense(b, x))), ["Dense", "Transpose"]),
    "3 not softmax": (
        lambda b, x: b(Softmax(1), b(Transpose((1, 0)), dense(b, x))),
        ["Dense", "Transpose", "Softmax"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(fuse_activations, build) == expected


BY_NAME = {cls.__name__: cls for cls in sorted(ACTIVATIONS, key=lambda cls: cls.__name__)}


@pytest.mark.parametrize("cls", BY_NAME.values(), ids=BY_NAME)
@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_1_every_activation(cls: type[Op], dtype: str) -> None:
    attributes: dict[str, float] = {"approximate": True} if "approximate" in cls.__annotations__ else {}
    attributes |= {name: 0.5 for name in ("alpha", "beta", "bias", "lambd") if name in cls.__annotations__}

    def build(b: Build, x: Value) -> Any:
        from kir.ir.types import as_dtype

        return b(cls(**attributes), b(Dense(), x, KERNEL.astype(as_dtype(dtype).numpy)))

    assert left(fuse_activations, build, f"{dtype}[batch, 4]") == ["Dense"]


def test_the_result_is_of_the_dense() -> None:
    graph = optimize(fuse_activations, lambda b, x: b(Relu(), dense(b, x)))
    assert activations(graph) == ["Relu"]
    assert [str(n.origin) for n in graph.order() if isinstance(n.op, Dense)] == ["layer_1 (Dense)"]
