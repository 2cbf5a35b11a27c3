"""Random small graphs through the pipelines: results stay, types hold, and nothing is added."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kir.errors import KirError
from kir.ir.dims import product, symbol
from kir.ir.graph import Graph, Value
from kir.ir.interpreter import run as interpret
from kir.ir.op import Op
from kir.ir.types import DType
from kir.ops.elementwise import (
    ELEMENTWISE,
    Abs,
    Add,
    Cast,
    Clip,
    Div,
    Exp,
    Less,
    Maximum,
    Mul,
    Neg,
    Pow,
    Relu,
    Sigmoid,
    Sin,
    Sub,
    Tanh,
    Where,
)
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.random import Dropout
from kir.ops.reduce import ReduceMax
from kir.ops.shape import Concat, Expand, Reshape, Slice, Transpose
from kir.passes import pipeline, run
from tests.passes.building import Build, f32, make_feeds, op_names, weights

BATCH = symbol("batch")
SHAPES = [(BATCH, 4), (BATCH, 2, 2), (4, BATCH), (2 * BATCH, 2), (4 * BATCH,), (1, BATCH, 4), (BATCH, 1, 4)]
CONSTANTS = [f32(0), f32(-0.0), f32(1), f32(2), f32(-1), weights(4), weights(4, 1), f32([[1, 1, 1, 1]]), weights(2)]


class CarefulBuild(Build):
    """Refuses what type inference allows because it could be right: a symbolic size against a known one."""

    def __call__(self, op: Op, *inputs: Any) -> Any:
        shapes = [np.shape(x) if isinstance(x, np.ndarray) else x.type.shape for x in inputs if x is not None]
        shapes += [op.shape] if isinstance(op, Expand) else []
        meets = type(op) in ELEMENTWISE or isinstance(op, Concat | Expand)
        for dims in zip_longest(*[reversed(shape) for shape in shapes], fillvalue=1):
            if meets and len({dim for dim in dims if dim != 1 or isinstance(op, Concat)}) > 1:
                raise KirError(f"{op} of {shapes} has to guess")
        return super().__call__(op, *inputs)


Step = Callable[[Build, Value, Value, int], Any]


def clip(b: Build, x: Value, y: Value, n: int) -> Any:
    return b(Clip(), x, f32(-1) if n % 2 else None, f32(n % 3))


def masked(b: Build, x: Value, y: Value, n: int) -> Any:
    return b(Where(), b(Less(), x, f32(0)), x, y)


def dense(b: Build, x: Value, y: Value, n: int) -> Any:
    features = x.type.shape[-1]
    if not isinstance(features, int):
        raise KirError("a Dense of an unknown size")
    bias = [weights(4, seed=n)] if n % 2 else []
    return b(Dense(Relu() if n % 3 == 0 else None), x, weights(features, 4, seed=n), *bias)


def transpose(b: Build, x: Value, y: Value, n: int) -> Any:
    order = np.random.default_rng(n).permutation(x.type.rank)
    return b(Transpose(tuple(int(axis) for axis in order)), x)


def expand(b: Build, x: Value, y: Value, n: int) -> Any:
    return b(Expand((2, *x.type.shape) if n % 2 else (BATCH, 4)), b.constant(CONSTANTS[n % 5]) if n % 3 else x)


UNARY: list[type[Op]] = [Neg, Abs, Relu, Sigmoid, Sin, Tanh, Exp]
BINARY: list[type[Op]] = [Add, Sub, Mul, Div, Maximum]
ARITHMETIC: list[type[Op]] = [Add, Sub, Mul, Div, Pow]

STEPS: list[Step] = [
    lambda b, x, y, n: b(UNARY[n % 7](), x),
    lambda b, x, y, n: b(BINARY[n % 5](), x, y),
    lambda b, x, y, n: b(ARITHMETIC[n % 5](), x, CONSTANTS[n % len(CONSTANTS)]),
    lambda b, x, y, n: b(ARITHMETIC[n % 4](), CONSTANTS[n % len(CONSTANTS)], x),
    lambda b, x, y, n: b(Reshape(SHAPES[n % len(SHAPES)]), x),
    lambda b, x, y, n: b(Reshape((product(x.type.shape),)), x),
    transpose,
    transpose,
    lambda b, x, y, n: b(Dropout(0.5, None, None), x),
    lambda b, x, y, n: b(Cast(DType.FLOAT32), b(Cast(DType.FLOAT64 if n % 2 else DType.FLOAT16), x)),
    lambda b, x, y, n: b(Concat(0), x, y),
    lambda b, x, y, n: b(Slice((0,), (0,), (x.type.shape[0] if n % 2 else 1,), (1,)), x),
    lambda b, x, y, n: b(ReduceMax((0,), True), x),
    clip,
    masked,
    dense,
    dense,
    expand,
]
GENTLE = [step for step in STEPS if step is not STEPS[1] and step is not STEPS[2] and step is not STEPS[3]]
GENTLE += [
    lambda b, x, y, n: b(ARITHMETIC[n % 3](), x, weights(4, seed=n)),
    lambda b, x, y, n: b((Add(), Mul(), Div())[n % 3], x, f32(1 + n % 3)),
    lambda b, x, y, n: b(Softmax(x.type.rank - 1), x),
]

CHOICES = st.lists(st.tuples(*[st.integers(0, 10**6)] * 4), min_size=1, max_size=14)


def make_graph(choices: list[tuple[int, int, int, int]], steps: list[Step]) -> Graph:
    """A graph of the chosen steps; one that does not fit its operands is left out. An early value is an output too."""
    b = CarefulBuild("f32[batch, 4]", "f32[batch, 4]")
    values = list(b.inputs)
    for step, first, second, number in choices:
        # Mostly the newest values, so that long chains come up.
        x, y = values[-1 - first % min(3, len(values))], values[-1 - second % len(values)]
        try:
            values.append(steps[step % len(steps)](b, x, y, number))
        except KirError:
            continue
    return b.finish((values[-1], values[len(values) // 3]))


def check(graph: Graph, passes: tuple[Any, ...], special: bool) -> None:
    before = len(op_names(graph))
    feeds = make_feeds(graph, special)
    with np.errstate(all="ignore"):
        run(graph, passes, check=True, feeds=feeds)
        other_size = {label: np.concatenate([array] * 2) for label, array in feeds.items()}
        interpret(graph, other_size)
    assert len(op_names(graph)) <= before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=300)
@given(CHOICES)
def test_exact_passes_change_no_bit(choices: list[tuple[int, int, int, int]]) -> None:
    check(make_graph(choices, STEPS), pipeline(1), special=True)


@pytest.mark.slow
@settings(max_examples=300)
@given(CHOICES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_all_passes_stay_within_what_they_declare(choices: list[tuple[int, int, int, int]]) -> None:
    check(make_graph(choices, GENTLE), pipeline(2), special=False)


@settings(max_examples=100)
@given(CHOICES, st.permutations([p.name for p in pipeline(1)]))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_passes_are_right_in_any_order(choices: list[tuple[int, int, int, int]], names: list[str]) -> None:
    passes = {p.name: p for p in pipeline(1)}
    check(make_graph(choices, STEPS), tuple(passes[name] for name in names), special=True)
