from typing import Any

import numpy as np

from kir.ir.graph import Graph, Value
from kir.ir.structural import Constant
from kir.ops.elementwise import Add, And, Greater, Less, Maximum, Neg, Sin, Sub
from kir.ops.random import Dropout
from kir.ops.shape import TopK
from kir.passes.merge_common import merge_common
from tests.passes.building import Build, f32, left, optimize


def count_constants(graph: Graph) -> int:
    return sum(isinstance(node.op, Constant) for node in graph.order())


def test_1_equal_operators() -> None:
    assert left(merge_common, lambda b, x: b(Sub(), b(Sin(), x), b(Neg(), b(Sin(), x)))) == ["Sin", "Neg", "Sub"]


def test_1_whole_expressions_at_once() -> None:
    def mask(b: Build, x: Value) -> Any:
        return b(And(), b(Greater(), x, f32(0)), b(Less(), x, f32(1)))

    assert left(merge_common, lambda b, x: (mask(b, x), mask(b, x))) == ["Greater", "Less", "And"]


def test_1_several_outputs() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(TopK(2, 1), x)[0], b(TopK(2, 1), x)[1]

    assert left(merge_common, build, special=False) == ["TopK"]


def test_1_not_random() -> None:
    dropout = Dropout(0.5, None, 3)
    assert left(merge_common, lambda b, x: (b(dropout, x), b(dropout, x))) == ["Dropout", "Dropout"]


def test_1_not_other_attributes() -> None:
    assert left(merge_common, lambda b, x: (b(TopK(2, 1), x)[0], b(TopK(3, 1), x)[0]), special=False) == ["TopK"] * 2


def test_2_swapped() -> None:
    names = left(merge_common, lambda b, x, y: (b(Add(), x, y), b(Add(), y, x)), "f32[batch, 4]", "f32[batch, 4]")
    assert names == ["Add"]


def test_2_not_where_the_order_counts() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(Sub(), x, y), b(Sub(), y, x), b(Maximum(), x, y), b(Maximum(), y, x)

    assert len(left(merge_common, build, "f32[batch, 4]", "f32[batch, 4]")) == 4


def test_3_constants() -> None:
    graph = optimize(merge_common, lambda b, x: b(Add(), b(Add(), x, f32(1)), f32(1)))
    assert count_constants(graph) == 1


def test_3_not_0_and_minus_0() -> None:
    assert count_constants(optimize(merge_common, lambda b, x: b(Add(), b(Add(), x, f32(0)), f32(-0.0)))) == 2


def test_3_weights_of_two_names_stay_two() -> None:
    def build(b: Build, x: Value) -> Any:
        zeros = np.zeros(4, np.float32)
        first, second = b.constant(zeros, "a/bias"), b.constant(zeros, "b/bias")
        again = b.constant(zeros, "a/bias")
        return b(Add(), b(Add(), b(Add(), x, first), second), again)

    assert count_constants(optimize(merge_common, build)) == 2
