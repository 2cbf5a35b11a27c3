from typing import Any

import numpy as np
import pytest

from kir.ir.dims import Dim, symbol
from kir.ir.graph import Graph, Value
from kir.ir.structural import Input, Output
from kir.ir.types import Shape, parse_type
from kir.ops.shape import Gather, Reshape, Transpose
from kir.passes.fold_transposes import fold_transposes, match_axes
from tests.passes.building import Build, Builder, left

BATCH, TIME = symbol("batch"), symbol("time")
IMAGE = "f32[batch, 2, 3, 4]"


def steps(*attributes: tuple[int, ...] | list[Dim]) -> Builder:
    """Tuples are permutations, lists shapes."""

    def build(b: Build, x: Value) -> Any:
        for step in attributes:
            x = b(Transpose(step) if isinstance(step, tuple) else Reshape(tuple(step)), x)
        return x

    return build


CASES = {
    "1": (steps((0, 1, 2, 3)), IMAGE, []),
    "2 cancel": (steps((0, 3, 1, 2), (0, 2, 3, 1)), IMAGE, []),
    "2 join": (steps((0, 3, 1, 2), (0, 3, 1, 2)), IMAGE, ["Transpose"]),
    "2 five": (steps(*[(1, 2, 3, 0)] * 5), IMAGE, ["Transpose"]),
    "3 merged": (steps((0, 3, 1, 2), [BATCH, 4, 6], (0, 2, 1)), IMAGE, ["Reshape"]),
    "3 split": (steps((0, 2, 1), [BATCH, 4, 2, 3], (0, 2, 3, 1)), "f32[batch, 6, 4]", ["Reshape"]),
    "3 with axes of size 1": (steps((0, 2, 1), [BATCH, 1, 4, 6], (0, 3, 1, 2)), "f32[batch, 6, 4]", ["Reshape"]),
    "3 symbolic": (steps((1, 0, 2), [TIME, BATCH, 2, 2], (1, 0, 2, 3)), "f32[batch, time, 4]", ["Reshape"]),
    "4": (steps((0, 3, 1, 2), [BATCH, 4, 6], (2, 0, 1)), IMAGE, ["Transpose", "Reshape"]),
    "4 split": (steps((2, 0, 1), [4, BATCH, 2, 3], (1, 0, 2, 3)), "f32[batch, 6, 4]", ["Transpose", "Reshape"]),
    "4 with axes of size 1": (
        steps((3, 0, 1, 2), [4, BATCH, 6], (2, 0, 1)),
        "f32[batch, 1, 6, 4]",
        ["Transpose", "Reshape"],
    ),
    "3 not if a run is taken apart": (
        steps((0, 2, 1), [BATCH, 2, 2, 6], (0, 1, 3, 2)),
        "f32[batch, 6, 4]",
        ["Transpose", "Reshape", "Transpose"],
    ),
    "3 not if merged across": (
        steps((1, 0), [2, 12], (1, 0)),
        "f32[4, 6]",
        ["Transpose", "Reshape", "Transpose"],
    ),
}


def gathered(permutation: tuple[int, ...], axis: int) -> Builder:
    return lambda b, x: b(Gather(axis), b(Transpose(permutation), x), np.asarray(-1, np.int64))


CASES |= {
    "5": (gathered((1, 0, 2), 0), "f32[batch, time, 4]", ["Gather"]),
    "5 last": (gathered((0, 2, 1), 2), "f32[batch, time, 4]", ["Gather"]),
    "5 not if others move": (gathered((2, 1, 0), 0), "f32[batch, time, 4]", ["Transpose", "Gather"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, type, expected = CASES[case]
    assert left(fold_transposes, build, type) == expected


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ((2, 3, 4), (6, 2, 2), [([0, 1], [0]), ([2], [1, 2])]),
        ((4, 6), (6, 4), [([0, 1], [0, 1])]),
        ((1, 4, 1), (4, 1), [([1], [0])]),
        ((BATCH, TIME, 4), (BATCH * TIME, 4), [([0, 1], [0]), ([2], [1])]),
        ((BATCH, 6), (2, 3 * BATCH), None),
        ((0, 4), (0,), None),
        ((), (1,), []),
    ],
)
def test_match_axes(before: Shape, after: Shape, groups: object) -> None:
    assert match_axes(before, after) == groups


def test_5_not_if_somebody_else_reads_what_is_between() -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type(IMAGE))).output
    middle = graph.add(Reshape((BATCH, 4, 6)), graph.add(Transpose((0, 3, 1, 2)), x).output).output
    graph.add(Output("y"), graph.add(Transpose((2, 0, 1)), middle).output)
    graph.add(Output("z"), middle)
    assert fold_transposes(graph) == 0
