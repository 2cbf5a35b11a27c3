from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from kir.exporters.onnx_file import export_graph
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Value
from kir.ir.structural import Constant
from kir.ops.elementwise import Add, Div, Neg
from kir.ops.linear import Dense
from kir.ops.random import Dropout
from kir.ops.shape import Expand, Range, Size, Split, Tile, Transpose
from kir.passes.fold_constants import fold_constants
from tests.passes.bodies import loop
from tests.passes.building import Build, Builder, f32, left, optimize


def stored(graph: Graph) -> list[Any]:
    return sorted(node.output.type.shape for node in graph.order() if isinstance(node.op, Constant))


def test_1_constants() -> None:
    graph = optimize(fold_constants, lambda b, x: b(Add(), x, b(Neg(), b(Add(), f32(1), f32([1, 2, 3, 4])))))
    assert stored(graph) == [(4,)]


def test_1_no_inputs() -> None:
    assert left(fold_constants, lambda b, x: (b(Range(0, 5)), b(Size(7)))) == []


def test_1_several_outputs() -> None:
    assert left(fold_constants, lambda b, x: b(Split(0, (1, 2)), f32([1, 2, 3]))) == []


def test_1_infinities_are_computed_without_a_warning() -> None:
    assert left(fold_constants, lambda b, x: b(Div(), f32([1, 0]), f32(0))) == []


def test_1_a_transpose_is_stored_in_order() -> None:
    graph = optimize(fold_constants, lambda b, x: b(Transpose((1, 0)), np.zeros((2, 3), np.float32)))
    [node] = [node for node in graph.order() if isinstance(node.op, Constant)]
    assert node.op.eval().flags.c_contiguous


def test_1_a_transpose_of_what_is_mapped_from_disk_stays_there(tmp_path: Path) -> None:
    np.arange(60_000, dtype=np.float32).tofile(tmp_path / "kernel")
    kernel = np.memmap(tmp_path / "kernel", np.float32, "r", shape=(3, 200, 100))
    graph = optimize(fold_constants, lambda b, x: b(Transpose((2, 1, 0)), kernel))
    [node] = [node for node in graph.order() if isinstance(node.op, Constant)]
    assert np.shares_memory(node.op.eval(), kernel)
    proto = onnx.load(export_graph(graph, tmp_path / "m.onnx").path)
    np.testing.assert_array_equal(numpy_helper.to_array(proto.graph.initializer[0]), kernel.transpose())


def test_1_not_with_a_symbolic_size() -> None:
    batch = symbol("batch")
    names = left(fold_constants, lambda b, x: (b(Range(0, batch)), b(Size(batch)), b(Expand((batch,)), f32(1))))
    assert names == ["Range", "Size", "Expand"]


def test_2_large_results_stay_small_files() -> None:
    names = left(fold_constants, lambda b, x: (b(Expand((1000, 1000)), f32(1)), b(Range(0, 10**6))))
    assert names == ["Expand", "Range"]
    assert left(fold_constants, lambda b, x: b(Tile((1000, 1)), np.zeros((10, 10), np.float32))) == ["Tile"]


def test_2_large_results_of_large_inputs_are_stored() -> None:
    assert left(fold_constants, lambda b, x: b(Neg(), np.zeros((300, 300), np.float32))) == []


def test_2_large_inputs_that_others_read_are_not_stored_twice() -> None:
    def multiplied(b: Build, x: Value) -> tuple[Value, Value]:
        shared = b.constant(np.zeros((4, 30_000), np.float32))
        return b(Dense(), x, shared), b(Transpose((1, 0)), shared)

    assert left(fold_constants, multiplied) == ["Dense", "Transpose"]


def test_3_random() -> None:
    assert left(fold_constants, lambda b, x: b(Dropout(0.5, None, None), f32([1, 2]))) == ["Dropout"]


def test_operators_with_graphs_inside_are_not_run() -> None:
    forever: Builder = lambda b, i, going, x: (going, b(Neg(), x))  # noqa: E731
    b = Build()
    graph = b.finish(loop(b, None, forever, 1, b.constant(f32(1.0)), types=("f32[]",)))
    assert fold_constants(graph) == 0
