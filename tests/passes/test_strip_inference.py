import numpy as np
import pytest

from kir.ir.dims import symbol
from kir.ir.types import DType
from kir.ops.elementwise import Cast, Clip, Relu
from kir.ops.random import Dropout
from kir.ops.shape import Concat, Expand, Pad, Slice, Split, Tile
from kir.passes.strip_inference import strip_inference
from tests.passes.building import Build, Builder, left, op_names

BATCH = symbol("batch")
DROPOUT = Dropout(0.5, None, None)

GONE = {
    "1 no training input": lambda b, x: b(DROPOUT, x),
    "1 training is false": lambda b, x: b(DROPOUT, x, False),
    "2 cast to the same": lambda b, x: b(Cast(DType.FLOAT32), x),
    "3 clip without bounds": lambda b, x: b(Clip(), x),
    "4 expand": lambda b, x: b(Expand((BATCH, 4)), x),
    "4 tile": lambda b, x: b(Tile((1, 1)), x),
    "4 pad": lambda b, x: b(Pad((0, 0), (0, 0)), x),
    "4 concat": lambda b, x: b(Concat(1), x),
    "4 split": lambda b, x: b(Split(1, (4,)), x),
    "5 slice": lambda b, x: b(Slice((0, 1), (0, 0), (BATCH, 4), (1, 1)), x),
    "all of them": lambda b, x: b(DROPOUT, b(Tile((1, 1)), b(Concat(0), b(DROPOUT, x)))),
}
STAYS: dict[str, tuple[Builder, list[str]]] = {
    "1 training is fed": (lambda b, x, t: b(Relu(), b(DROPOUT, x, t)), ["Dropout", "Relu"]),
    "2 cast": (lambda b, x, t: b(Cast(DType.FLOAT64), x), ["Cast"]),
    "3 clip": (lambda b, x, t: b(Clip(), x, None, np.float32(6)), ["Clip"]),
    "4 pad that crops": (lambda b, x, t: b(Slice((1,), (1,), (5,), (1,)), b(Pad((0, 1), (0, 0)), x)), ["Pad", "Slice"]),
    "4 concat of two": (lambda b, x, t: b(Concat(1), x, x), ["Concat"]),
    "5 slice backwards": (lambda b, x, t: b(Slice((1,), (3,), (-1,), (-1,)), x), ["Slice"]),
}


@pytest.mark.parametrize("case", GONE)
def test_goes(case: str) -> None:
    assert left(strip_inference, GONE[case]) == []


def test_5_axes_that_are_taken_whole() -> None:
    b = Build("f32[batch, 4]")
    graph = b.finish(b(Slice((0, 1), (0, 1), (BATCH, 3), (1, 1)), b.inputs[0]))
    assert strip_inference(graph) == 1
    assert Slice((1,), (1,), (3,), (1,)) in [node.op for node in graph.order()]


@pytest.mark.parametrize("case", STAYS)
def test_stays(case: str) -> None:
    build, expected = STAYS[case]
    b = Build("f32[batch, 4]", "bool[]")
    graph = b.finish(build(b, *b.inputs))
    assert strip_inference(graph) == 0
    assert op_names(graph) == expected


def test_1_training_is_true() -> None:
    b = Build("f32[batch, 4]")
    graph = b.finish(b(DROPOUT, b.inputs[0], True))
    assert strip_inference(graph) == 0
