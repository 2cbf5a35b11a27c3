import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kir.passes
from kir.errors import GraphError, InvalidArgumentError, MismatchError
from kir.ir.dims import symbol
from kir.ir.graph import Graph
from kir.ir.structural import Output
from kir.ir.types import DType
from kir.ops.elementwise import Add, And, Cast, Equal, Mul, Neg, Not, Relu, Sin, Where
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.random import Dropout
from kir.ops.reduce import ReduceSum
from kir.ops.shape import Expand, Reshape, Transpose
from kir.passes import PASSES, pipeline, run, select
from kir.passes.compare import find_difference
from kir.passes.expand_powers import expand_powers
from kir.passes.fold_affine import fold_affine
from kir.passes.rewrite import Pass, exact_pass, rounding_pass
from tests.passes.building import Build, f32, left, make_feeds, op_names, weights

BATCH = symbol("batch")
DROPOUT = Dropout(0.2, None, None)
FOR_ANY_OPSET = tuple(p for p in PASSES if not p.opset)


# Choosing


def test_every_pass_of_a_module_is_in_the_pipeline_and_has_a_file_of_tests() -> None:
    names = [path.stem for path in Path(kir.passes.__file__).parent.glob("*.py")]
    found = {name: getattr(importlib.import_module(f"kir.passes.{name}"), name, None) for name in names}
    passes = {name: value for name, value in found.items() if isinstance(value, Pass)}
    outside = [name for name, value in passes.items() if value not in PASSES]
    assert outside == [], "not in PASSES of kir/passes/__init__.py"
    untested = [name for name in passes if not Path(__file__).with_name(f"test_{name}.py").exists()]
    assert untested == [], "without tests/passes/test_<name>.py"


def test_every_pass_says_what_it_does() -> None:
    for p in PASSES:
        assert p.name == p.name.lower().replace("_", "-")
        assert " → " in p.summary, p.name
        assert p.exact == (p.tolerance == 0)


def test_names_are_unique() -> None:
    assert len({p.name for p in PASSES}) == len(PASSES)


def test_levels() -> None:
    assert pipeline(0) == ()
    assert all(p.exact for p in pipeline(1))
    assert pipeline(2, opset=23) == PASSES
    assert pipeline(2) == pipeline() == FOR_ANY_OPSET
    assert [p for p in PASSES if p not in pipeline(1)] == [p for p in PASSES if not p.exact]
    assert not expand_powers.exact
    assert not fold_affine.exact


def test_training_keeps_the_weights() -> None:
    left_out = [p for p in FOR_ANY_OPSET if p not in pipeline(2, training=True)]
    assert left_out == [p for p in PASSES if p.changes_weights]
    assert fold_affine.changes_weights


@pytest.mark.parametrize("level", [-1, 3])
def test_unknown_level(level: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"level {level} is unknown; expected 0, 1 or 2"):
        pipeline(level)


@pytest.mark.parametrize(
    ("text", "level", "expected"),
    [
        ("simplify", 2, ["simplify"]),
        ("simplify, fold-constants", 0, ["fold-constants", "simplify"]),
        ("simplify,fold-affine,-simplify", 1, ["fold-affine"]),
        ("-fold-affine", 2, [p.name for p in FOR_ANY_OPSET if p.name != "fold-affine"]),
        ("-simplify", 1, [p.name for p in PASSES if p.exact and p.name != "simplify"]),
        ("", 0, []),
    ],
)
def test_select(text: str, level: int, expected: list[str]) -> None:
    assert [p.name for p in select(text, level)] == expected


@pytest.mark.parametrize("text", ["nothing", "simplify,-nothing"])
def test_select_lists_the_passes(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"unknown pass 'nothing'; expected some of .*fold-affine"):
        select(text)


# Running


def small() -> Graph:
    b = Build("f32[batch, 4]")
    return b.finish(b(Neg(), b(Neg(), b(Sin(), b.inputs[0]))))


def test_counts_and_after() -> None:
    calls = []
    counts = run(small(), pipeline(1), after=lambda p, graph, changes: calls.append((p.name, changes)))
    assert counts["simplify"] == 1
    assert sum(counts.values()) == 1
    assert ("simplify", 1) in calls
    assert calls[0] == ("remove-dead", 0)


def test_a_pass_is_not_run_on_what_it_left_itself() -> None:
    calls = []
    run(small(), pipeline(1), after=lambda p, graph, changes: calls.append(p.name))
    assert calls.count("simplify") == 1
    assert calls.count("remove-dead") == 2


def test_no_passes() -> None:
    assert run(small(), ()) == {}


def test_rounds_are_bounded() -> None:
    counting = Pass("count", lambda graph: 1)
    other = Pass("other", lambda graph: 1)
    assert run(small(), (counting, other)) == {"count": 5, "other": 5}


@exact_pass
def break_results(graph: Graph) -> int:
    """f(x) → f(f(x))"""
    [output] = graph.outputs
    value = output.inputs[0]
    assert value is not None
    graph.set_input(output, 0, graph.add(Neg(), value).output)
    return 1


@rounding_pass(tolerance=8)
def round_results(graph: Graph) -> int:
    """f(x) → f(x) * 1.0001"""
    [output] = graph.outputs
    value = output.inputs[0]
    assert value is not None
    b = Build()
    b.graph = graph
    graph.set_input(output, 0, b(Mul(), value, f32(1.0001)))
    return 1


def test_a_wrong_pass_is_named() -> None:
    graph = small()
    with pytest.raises(MismatchError, match=r"pass break-results changed the results: output 'y0' .* same bits"):
        run(graph, (break_results,), feeds=make_feeds(graph))


def test_a_pass_that_rounds_too_much_is_named() -> None:
    graph = small()
    with pytest.raises(MismatchError, match=r"pass round-results changed the results: .* at most 8 roundings"):
        run(graph, (round_results,), feeds=make_feeds(graph))


def test_a_pass_that_breaks_the_graph_is_named() -> None:
    def forge(graph: Graph) -> int:
        [output] = graph.outputs
        output._inputs[:] = [graph.inputs[0].output]
        return 1

    with pytest.raises(GraphError, match=r"pass forge broke the graph: .*disagree with its edges"):
        run(small(), (Pass("forge", forge),), check=True)


def test_a_pass_that_makes_what_does_not_run_is_named() -> None:
    def forget(graph: Graph) -> int:
        graph.remove(graph.outputs[0])
        return 1

    graph = small()
    with pytest.raises(MismatchError, match=r"pass forget changed the results: the outputs \[\] were \['y0'\]"):
        run(graph, (Pass("forget", forget),), feeds=make_feeds(graph))


DIFFERENCES = [
    ([1.0, np.nan], [1.0, np.nan], True, None),
    ([0.0], [-0.0], True, "same bits"),
    ([0.0], [-0.0], False, None),
    ([1.0], [np.nan], False, "at most"),
    ([np.inf], [np.inf], False, None),
    ([np.inf], [-np.inf], False, "at most"),
    ([1.0, 1e-9], [1.0, 2e-9], False, None),
    ([1.0], [1.001], False, "at most"),
]


@pytest.mark.parametrize(("old", "new", "exact", "expected"), DIFFERENCES)
def test_find_difference(old: list[float], new: list[float], exact: bool, expected: str | None) -> None:
    found = find_difference({"y": f32(old)}, {"y": f32(new)}, exact, 8)
    assert (found is None) if expected is None else (found is not None and expected in found)


def test_find_difference_of_integers_types_and_names() -> None:
    one = {"y": np.array([1, 2])}
    assert find_difference(one, {"y": np.array([1, 3])}, False, 8) is not None
    assert "was int64" in str(find_difference(one, {"y": f32([1, 2])}, False, 8))
    assert "were ['y']" in str(find_difference(one, {}, False, 8))


# What models become


def mlp(b: Build, x: Any) -> Any:
    x = b(Reshape((BATCH, 784)), x)
    x = b(DROPOUT, b(Dense(Relu()), x, weights(784, 32), weights(32)))
    x = b(DROPOUT, b(Relu(), b(Dense(), x, weights(32, 32), weights(32))))
    return b(Softmax(1), b(Dense(), x, weights(32, 10), weights(10)))


def test_mnist() -> None:
    assert left(pipeline(), mlp, "f32[batch, 28, 28]", special=False) == ["Reshape", "Dense", "Dense", "Dense"]


def test_150_layers() -> None:
    def build(b: Build, x: Any) -> Any:
        for i in range(150):
            x = b(DROPOUT, b(Relu(), b(Dense(), x, weights(4, 4, seed=i), weights(4))))
        return x

    assert left(pipeline(), build, special=False) == ["Dense"] * 150  # of two ONNX nodes each


def test_a_chain_of_moves_is_one() -> None:
    def build(b: Build, x: Any) -> Any:
        x = b(Reshape((BATCH, 12)), b(Reshape((BATCH, 3, 4)), x))
        x = b(Transpose((0, 2, 1)), b(Transpose((0, 2, 1)), b(Reshape((BATCH, 4, 3)), x)))
        x = b(Transpose((1, 0, 2)), b(Reshape((BATCH, 1, 12)), x))
        return b(Reshape((BATCH * 3, 4)), b(Reshape((1, 12 * BATCH)), x))

    assert left(pipeline(1), build, "f32[batch, 2, 6]") == ["Reshape"]


def test_masks_made_twice_are_one() -> None:
    def mask(b: Build, x: Any) -> Any:
        padding = b(Not(), b(Equal(), x, f32(0)))
        return b(ReduceSum((1,), False), b(Cast(DType.FLOAT32), padding))

    names = left(pipeline(1), lambda b, x: b(Add(), mask(b, x), mask(b, x)))
    assert names == ["Equal", "Not", "Cast", "ReduceSum", "Add"]


def test_a_mask_of_nothing_but_ones_is_gone() -> None:
    def build(b: Build, x: Any, given: Any) -> Any:
        ones = b(Expand((BATCH, 4)), True)
        return b(Where(), b(And(), given, b(And(), ones, ones)), x, f32(0))

    assert left(pipeline(1), build, "f32[batch, 4]", "bool[batch, 4]") == ["Where"]


def test_an_activation_behind_a_moved_dense_is_fused() -> None:
    def build(b: Build, x: Any) -> Any:
        turned = b(Transpose((1, 0)), b(Dense(), x, weights(4, 3)))
        return b(Transpose((1, 0)), b(Relu(), b(Mul(), turned, f32(2))))

    assert left(pipeline(), build, special=False) == ["Dense"]


@pytest.mark.parametrize("training", [True, False])
def test_dropout_that_may_be_on_stays(training: bool) -> None:
    b = Build("f32[batch, 4]", "bool[]")
    x, flag = b.inputs
    graph = b.finish(b(Neg(), b(DROPOUT, b(DROPOUT, x), flag)))
    run(graph, pipeline(2, training), check=True)
    assert op_names(graph) == ["Dropout", "Neg"]


def test_outputs_keep_their_names() -> None:
    b = Build("f32[batch, 4]")
    graph = b.finish((b(Neg(), b(Neg(), b.inputs[0])), b.inputs[0]))
    run(graph, pipeline(), check=True, feeds=make_feeds(graph))
    assert [node.op for node in graph.outputs] == [Output("y0"), Output("y1")]
    assert op_names(graph) == []


def test_the_same_graph_gives_the_same_graph() -> None:
    texts = []
    for _ in range(2):
        b = Build("f32[batch, 28, 28]")
        graph = b.finish(mlp(b, b.inputs[0]))
        run(graph, pipeline())
        texts.append([(str(node), [str(v) for v in node.inputs]) for node in graph.order()])
    assert texts[0] == texts[1]
