"""Whether outputs varied over the probes so far that one saw something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, Model, layers
from kir.api import verify
from kir.exporters.pipeline import ExportOptions, export_model
from kir.modeling.lower import lower
from kir.numerics.expected import Expected
from kir.numerics.variety import OutputOrigin, Variety, origins_of

SAME = "it is the same on all probes, within rounding"
NAN = "it is NaN or infinite on all probes"
OFF = "it may be off by 10 in the middle of its elements, and has values from 0 to 4 only"
# The references of each run, what each element may be off by, and what is said.
CASES: dict[str, tuple[list[Any], float, str]] = {
    "varies from row to row": ([[[0.0, 1.0], [0.0, 2.0]]], 0.1, ""),
    "varies from run to run": ([[[0.0, 1.0]], [[0.0, 2.0]]], 0.1, ""),
    "rows are equal": ([[[0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0]]], 0.1, SAME),
    "rows differ by what they may be off by": ([[[0.0, 1.0], [0.0, 1.1]]], 0.1, SAME),
    "a single row, of elements that differ": ([[[0.0, 1.0]]], 0.1, ""),
    "a single row, of equal elements": ([[[1.0, 1.0]]], 0.1, SAME),
    "rows of other lengths": ([[[0.0, 1.0]], [[0.0, 1.0, 2.0]]], 0.1, ""),
    "equal rows of each length": ([[[1.0], [1.0]], [[1.0, 1.0], [1.0, 1.0]]], 0.1, SAME),
    "scalars that differ": ([1.0, 2.0], 0.1, ""),
    "equal scalars": ([1.0, 1.0], 0.1, SAME),
    "NaN everywhere": ([[[np.nan, np.inf]], [[np.nan, -np.inf]]], 0.0, NAN),
    "NaN in one row": ([[[np.nan], [1.0]]], 0.0, ""),
    "NaN in the same places": ([[[np.nan, 1.0], [np.nan, 1.0]]], 0.0, SAME),
    "bounds as wide as the range": ([[[0.0, 1.0, 4.0], [4.0, 3.0, 0.0]]], 10.0, SAME),
    "nothing is settled": ([[[0.0, 1.0], [4.0, 3.0]]], np.inf, SAME),
    "integers that differ": ([[[1], [2]]], 0.0, ""),
    "equal integers": ([[[2], [2]]], 0.0, SAME),
    "booleans": ([[[True], [False]]], 0.0, ""),
    "texts that differ": ([np.array([["a"], ["b"]], object)], 0.0, ""),
    "texts without a batch": ([np.array(["a", "b"], object)], 0.0, ""),
    "equal texts": ([np.array([["a"], ["a"]], object)], 0.0, SAME),
    "no elements": ([np.zeros((0, 3))], 0.0, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_of_an_output(case: str) -> None:
    references, allowed, expected = CASES[case]
    variety = Variety()
    for one in references:
        reference = np.asarray(one)
        variety.add(Expected(reference, np.full(reference.shape, allowed)))
    assert variety.shortcoming == expected


def test_an_element_that_is_settled_does_not_make_up_for_many_that_are_not() -> None:
    variety = Variety()
    reference = np.array([[0.0, 1.0, 2.0], [4.0, 3.0, 2.0]])
    variety.add(Expected(reference, np.array([[0.1, 10.0, 10.0], [0.1, 10.0, 10.0]])))
    assert variety.shortcoming == OFF


def test_what_is_all_the_way_at_the_limits_of_a_function_shows_nothing_before_it() -> None:
    at, near = np.array([[0.0, 1.0], [1.0, 1e-9]]), np.array([[0.0, 1.0], [1.0, 0.01]])
    for array, text in ((at, "it is saturated on all probes: 0 or 1 everywhere"), (near, "")):
        variety = Variety((0.0, 1.0))
        variety.add(Expected(array, np.full((2, 2), 1e-7)))
        assert variety.shortcoming == text


def test_the_limits_are_those_of_the_function_before_what_only_moves() -> None:
    x = Input((4,), name="x")
    outputs = [layers.Reshape((2, 2), name="shares")(layers.Softmax()(x)), layers.Dense(2, name="y")(x)]
    origins = origins_of(lower(Model(x, outputs)))
    assert origins == {
        "shares": OutputOrigin("shares (Reshape)", (0.0, 1.0)),
        "y": OutputOrigin("y (Dense)", None),
    }


def test_outputs_that_depend_on_no_input_need_not_vary() -> None:
    from kir.ir.graph import Graph
    from kir.ir.structural import Constant, Data, Output
    from kir.ir.structural import Input as InputOp
    from kir.ir.types import parse_type
    from kir.ops.elementwise import Add, Neg

    graph = Graph("some")
    x = graph.add(InputOp("x", parse_type("f32[batch, 2]"))).output
    constant = graph.add(Constant(Data(np.ones(2, np.float32)))).output
    graph.add(Output("varies"), graph.add(Add(), x, graph.add(Neg(), constant).output).output)
    graph.add(Output("stays"), graph.add(Neg(), constant).output)
    assert {name: origin.is_fed for name, origin in origins_of(graph).items()} == {"varies": True, "stays": False}


def dead(scale: float, activation: str) -> Model:
    """Return a model whose inner layer gives what its activation gives for numbers of this size, negated."""
    x = Input((4,), name="x")
    inner = layers.Dense(3, bias_initializer=lambda shape, dtype: np.full(shape, scale), activation=activation)(x)
    return Model(x, layers.Dense(2, name="y")(inner))


@pytest.mark.parametrize(
    ("model", "finding"),
    [(dead(-1e6, "relu"), SAME), (dead(1e6, "sigmoid"), SAME), (dead(np.nan, "relu"), NAN), (dead(1, "tanh"), "")],
    ids=["dead", "saturated", "NaN", "live"],
)
def test_models_that_show_nothing(tmp_path: Path, model: Model, finding: str) -> None:
    export_model(model, tmp_path / "model.onnx", ExportOptions())
    report = verify(model, tmp_path / "model.onnx")
    said = [str(found) for part, found in report.not_shown if part == "outputs"]
    assert said == ([f"y of layer y (Dense): {finding}"] if finding else [])
    assert report.passed
    assert verify(model, tmp_path / "model.onnx", strict=True).passed is not bool(report.not_shown)
