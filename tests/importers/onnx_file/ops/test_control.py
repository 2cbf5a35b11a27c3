"""Graphs inside operators, as files of others have them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import kir
from kir.errors import FormatError, UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.pipeline import ExportResult
from kir.importers.onnx_file import import_graph
from kir.ir.graph import Graph
from kir.ir.interpreter import run
from kir.ops.control import If, Loop

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
info = helper.make_tensor_value_info
node = helper.make_node
Feeds = dict[str, np.ndarray[Any, Any]]


def model(
    nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], checks: bool = True, **initializers: Any
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if checks:
        onnx.checker.check_model(made, full_check=True)
    return made


def body(nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any]) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs)


def loop(nodes: list[onnx.NodeProto], states: list[Any], outputs: list[Any]) -> onnx.GraphProto:
    return body(nodes, [info("i", INT, []), info("c", BOOL, []), *states], [info("c2", BOOL, []), *outputs])


def growing() -> onnx.ModelProto:
    """A carried value that is a row longer after each step."""
    inside = loop(
        [node("Concat", ["h", "x"], ["h2"], axis=0), node("Identity", ["c"], ["c2"])],
        [info("h", FLOAT, ["a", 2])],
        [info("h2", FLOAT, ["b", 2])],
    )
    return model(
        [node("Loop", ["m", "", "x"], ["y"], body=inside)],
        [info("x", FLOAT, ["n", 2]), info("m", INT, [])],
        [info("y", FLOAT, ["rows", 2])],
    )


def condition_alone() -> onnx.ModelProto:
    """A loop until the sum is over 10, as Newton's iterations are."""
    inside = loop(
        [
            node("Add", ["h", "x"], ["h2"]),
            node("ReduceSum", ["h2"], ["s"], keepdims=0),
            node("Less", ["s", "limit"], ["c2"]),
        ],
        [info("h", FLOAT, [2])],
        [info("h2", FLOAT, [2])],
    )
    return model(
        [node("Loop", ["", "go", "x"], ["y"], body=inside)],
        [info("x", FLOAT, [2])],
        [info("y", FLOAT, [2])],
        limit=np.float32(10),
        go=np.array(True),
    )


def branch_in_loop() -> onnx.ModelProto:
    """An If inside a Loop, which captures from both graphs around, and gives one of its values back as it is."""
    positive = body([node("Mul", ["h", "x"], ["p"])], [], [info("p", FLOAT, [2])])
    other = body([node("Identity", ["h"], ["q"])], [], [info("q", FLOAT, [2])])
    inside = loop(
        [
            node("Mod", ["i", "two"], ["rest"]),
            node("Equal", ["rest", "zero"], ["even"]),
            node("If", ["even"], ["h2"], then_branch=positive, else_branch=other),
            node("Identity", ["c"], ["c2"]),
            node("Identity", ["x"], ["x2"]),
        ],
        [info("h", FLOAT, [2])],
        [info("h2", FLOAT, [2]), info("x2", FLOAT, [2])],
    )
    return model(
        [node("Loop", ["m", "go", "x"], ["y", "stack"], body=inside)],
        [info("x", FLOAT, [2])],
        [info("y", FLOAT, [2]), info("stack", FLOAT, [5, 2])],
        two=np.int64(2),
        zero=np.int64(0),
        m=np.int64(5),
        go=np.array(True),
    )


def branches_of_other_sizes() -> onnx.ModelProto:
    """Sizes that depend on the branch, and shapes that are computed inside."""
    first = body([node("Concat", ["x", "x"], ["p"], axis=0)], [], [info("p", FLOAT, ["k", 2])])
    second = body(
        [node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["q"])],
        [],
        [info("q", FLOAT, ["l", 2])],
    )
    return model(
        [
            node("ReduceMax", ["x"], ["top"], keepdims=0),
            node("Greater", ["top", "zero"], ["is_positive"]),
            node("If", ["is_positive"], ["y"], then_branch=first, else_branch=second),
            node("Relu", ["y"], ["z"]),
        ],
        [info("x", FLOAT, ["n", 2])],
        [info("z", FLOAT, ["rows", 2])],
        zero=np.float32(0),
    )


def two_sequences() -> onnx.ModelProto:
    """A Scan over two sequences along other axes, one of them backwards."""
    inside = body(
        [node("Mul", ["a", "b"], ["p"]), node("Add", ["s", "p"], ["s2"]), node("Identity", ["p"], ["o"])],
        [info("s", FLOAT, [3]), info("a", FLOAT, [3]), info("b", FLOAT, [3])],
        [info("s2", FLOAT, [3]), info("o", FLOAT, [3])],
    )
    scan = node(
        "Scan",
        ["init", "x", "y"],
        ["last", "all"],
        body=inside,
        num_scan_inputs=2,
        scan_input_axes=[0, -1],
        scan_input_directions=[0, 1],
        scan_output_axes=[1],
        scan_output_directions=[1],
    )
    return model(
        [scan],
        [info("init", FLOAT, [3]), info("x", FLOAT, ["t", 3]), info("y", FLOAT, [3, "t"])],
        [info("last", FLOAT, [3]), info("all", FLOAT, [3, "t"])],
    )


def draw(*shape: int) -> Any:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


CASES: list[tuple[onnx.ModelProto, Feeds]] = [
    *((growing(), {"x": draw(2, 2), "m": np.array(count)}) for count in (0, 1, 3)),
    (condition_alone(), {"x": np.array([1, 2], np.float32)}),
    (branch_in_loop(), {"x": draw(2)}),
    *((branches_of_other_sizes(), {"x": sign * np.abs(draw(3, 2))}) for sign in (np.float32(1), np.float32(-1))),
    *((two_sequences(), {"init": draw(3), "x": draw(t, 3), "y": draw(3, t)}) for t in (1, 4)),
]


def compute(made: onnx.ModelProto, feeds: Feeds) -> list[Any]:
    return list(onnxruntime.InferenceSession(made.SerializeToString()).run(None, feeds))


@pytest.mark.parametrize(("made", "feeds"), CASES)
def test_what_is_read_computes_the_same_before_and_after_it_is_written(made: onnx.ModelProto, feeds: Feeds) -> None:
    graph = import_graph(made)
    graph.check()
    again = to_model_proto(graph, opset=18)
    onnx.checker.check_model(again, full_check=True)
    for expected, *results in zip(
        compute(made, feeds),
        run(graph, feeds).values(),
        compute(again, feeds),
        run(import_graph(again), feeds).values(),
        strict=True,
    ):
        for result in results:
            np.testing.assert_allclose(result, expected, rtol=1e-6)
    assert str(import_graph(again)) == str(import_graph(to_model_proto(import_graph(again), opset=18)))


def test_a_condition_may_have_an_axis() -> None:
    """As Paddle's exporter writes it."""
    inside = loop(
        [node("Add", ["h", "h"], ["h2"]), node("Less", ["h2", "limit"], ["c2"])],
        [info("h", FLOAT, [1])],
        [info("h2", FLOAT, [1])],
    )
    inside.output[0].type.tensor_type.shape.dim.add(dim_value=1)
    made = model(
        [node("Loop", ["", "go", "x"], ["y"], body=inside)],
        [info("x", FLOAT, [1])],
        [info("y", FLOAT, [1])],
        limit=np.float32(10),
        go=np.array(True),
    )
    feeds = {"x": np.array([1], np.float32)}
    graph = import_graph(made)
    assert run(graph, feeds)["y"].tolist() == compute(to_model_proto(graph, opset=18), feeds)[0].tolist() == [16]


def test_sizes_that_differ_have_names_of_their_own() -> None:
    graph = import_graph(growing())
    (found,) = [n for n in graph.order() if isinstance(n.op, Loop)]
    assert str(found.outputs[0].type) == "f32[rows, 2]"
    assert len({str(type) for type in found.op.bodies()[0].inputs[2:]} & {"f32[n, 2]"}) == 1  # the captured one


def test_constants_move_in_and_weights_are_written_once() -> None:
    graph = import_graph(branch_in_loop())
    (found,) = [n for n in graph.order() if isinstance(n.op, Loop)]
    assert [value and value.node.op.name for value in found.inputs] == ["Constant", "Constant", "Input", "Input"]
    weights = to_model_proto(graph, opset=18).graph.initializer
    assert len({tensor.name for tensor in weights}) == len(weights)


def test_a_body_that_gives_too_little_is_told() -> None:
    inside = loop([node("Identity", ["c"], ["c2"])], [info("h", FLOAT, [2])], [])
    graph = helper.make_graph(
        [node("Loop", ["m", "", "x"], ["y"], body=inside)],
        "g",
        [info("x", FLOAT, [2]), info("m", INT, [])],
        [info("y", FLOAT, [2])],
    )
    with pytest.raises(UnsupportedError, match="the body of a Loop gives 0 states; expected 1"):
        import_graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), strict=True)


def test_a_body_reads_nothing_that_is_not_there() -> None:
    inside = body([node("Relu", ["nothing"], ["p"])], [], [info("p", FLOAT, [2])])
    graph = helper.make_graph(
        [node("If", ["c"], ["y"], then_branch=inside, else_branch=inside)],
        "g",
        [info("c", BOOL, [])],
        [info("y", FLOAT, [2])],
    )
    with pytest.raises(FormatError, match="reads 'nothing', which nothing before it gives"):
        import_graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))


def test_nested_loops_are_read_in_bounded_time() -> None:
    """A loop whose state changes its size is read twice; nested 20 deep that would be a million times."""
    inside = loop(
        [node("Concat", ["h", "h"], ["h2"], axis=0), node("Identity", ["c"], ["c2"])],
        [info("h", FLOAT, None)],
        [info("h2", FLOAT, None)],
    )
    for depth in range(20):
        names = {"h": f"h{depth}", "h2": f"k{depth}"}
        inside = loop(
            [node("Loop", ["m", "", names["h"]], [names["h2"]], body=inside), node("Identity", ["c"], ["c2"])],
            [info(names["h"], FLOAT, None)],
            [info(names["h2"], FLOAT, None)],
        )
    graph = helper.make_graph(
        [node("Loop", ["m", "", "x"], ["y"], body=inside)],
        "g",
        [info("x", FLOAT, ["n"]), info("m", INT, [])],
        [info("y", FLOAT, ["r"])],
    )
    start = time.process_time()
    given = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(UnsupportedError, match="read over and over"):
        import_graph(given, strict=True)
    with pytest.warns(UserWarning, match="carried through as they are"):
        import_graph(given)
    assert time.process_time() - start < 5


def test_equal_branches_are_equal_bodies() -> None:
    one = body([node("Neg", ["x"], ["p"])], [], [info("p", FLOAT, [2])])
    other = body([node("Neg", ["x"], ["q"])], [], [info("q", FLOAT, [2])])
    graph: Graph = import_graph(
        model(
            [node("If", ["c"], ["y"], then_branch=one, else_branch=other)],
            [info("x", FLOAT, [2]), info("c", BOOL, [])],
            [info("y", FLOAT, [2])],
        )
    )
    (found,) = [n.op for n in graph.order() if isinstance(n.op, If)]
    assert found.then_branch == found.else_branch


def squeezing(batch: Any) -> onnx.ModelProto:
    """An If that squeezes an axis where it is 1: its branches give values of other ranks, as torch writes a squeeze."""
    then = body([node("Squeeze", ["x", "axes"], ["t"])], [], [info("t", FLOAT, None)])
    other = body([node("Identity", ["x"], ["e"])], [], [info("e", FLOAT, None)])
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["d"]),
        node("Equal", ["d", "one"], ["c"]),
        node("If", ["c"], ["z"], then_branch=then, else_branch=other),
        node("Relu", ["z"], ["y"]),
    ]
    return model(
        nodes,
        [info("x", FLOAT, [batch, 2])],
        [info("y", FLOAT, None)],
        checks=False,
        axes=np.array([0]),
        zero=np.array(0),
        one=np.array(1),
    )


@pytest.mark.parametrize(("batch", "rank"), [(1, 1), (3, 2)])
def test_of_a_known_condition_one_branch_is_read(batch: int, rank: int) -> None:
    graph = import_graph(squeezing(batch), strict=True)
    assert not graph.has_any(If)
    assert graph.outputs[0].output.type.rank == rank


def test_an_if_with_a_branch_that_fits_some_sizes_only_is_carried() -> None:
    given = squeezing("n")
    with pytest.raises(UnsupportedError, match="one rank for each"):
        import_graph(given, strict=True)
    with pytest.warns(UserWarning, match="carried through as they are"):
        graph = import_graph(given)
    session = onnxruntime.InferenceSession(to_model_proto(graph).SerializeToString())
    for rows, rank in ((1, 1), (3, 2)):
        (y,) = session.run(None, {"x": np.ones((rows, 2), np.float32)})
        assert y.ndim == rank


def test_the_branch_that_never_runs_may_be_anything() -> None:
    then = body([node("Relu", ["x"], ["t"])], [], [info("t", FLOAT, [2])])
    other = body([node("Mystery", ["x"], ["e"], domain="nobody.knows")], [], [info("e", FLOAT, [2])])
    nodes = [node("If", ["c"], ["y"], then_branch=then, else_branch=other)]
    graph = helper.make_graph(
        nodes, "g", [info("x", FLOAT, [2])], [info("y", FLOAT, [2])], [numpy_helper.from_array(np.array(True), "c")]
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nobody.knows", 1)]
    read = import_graph(helper.make_model(graph, opset_imports=opsets), strict=True)
    assert [one.op.name for one in read.order()] == ["Input", "Relu", "Output"]


def test_pads_that_are_computed_from_constants_are_known() -> None:
    """torch reverses the pads of its own order: ConstantOfShape, Concat, Reshape, Slice, Transpose, Reshape, Cast."""
    constants: dict[str, Any] = {
        "pads": np.array([0, 3]),
        "rows": np.array([-1, 2]),
        "last": np.array([-1]),
        "least": np.array([-(2**63) + 1]),
        "first": np.array([0]),
        "missing": np.array([2]),
    }
    nodes = [
        node("ConstantOfShape", ["missing"], ["zeros"], value=numpy_helper.from_array(np.array([0]))),
        node("Concat", ["pads", "zeros"], ["all"], axis=0),
        node("Reshape", ["all", "rows"], ["pairs"]),
        node("Slice", ["pairs", "last", "least", "first", "last"], ["turned"]),
        node("Transpose", ["turned"], ["columns"], perm=[1, 0]),
        node("Reshape", ["columns", "last"], ["flat"]),
        node("Cast", ["flat"], ["whole"], to=INT),
        node("Pad", ["x", "whole"], ["y"], mode="reflect"),
    ]
    graph = import_graph(
        model(nodes, [info("x", FLOAT, ["n", "m"])], [info("y", FLOAT, ["n", "k"])], **constants), strict=True
    )
    assert str(graph.outputs[0].output.type) == "f32[n, m + 3]"


def sampling_rates() -> onnx.ModelProto:
    """A model for two sampling rates and any other, as voice detectors are: an If in the branch of another."""
    random = np.random.default_rng(0)

    def branch(tag: str, stride: int) -> onnx.GraphProto:
        tensors = {
            f"w{tag}": random.normal(size=(3, 1, stride)).astype(np.float32),
            f"b{tag}": random.normal(size=3).astype(np.float32),
            f"s{tag}": np.float32(0.3),
        }
        nodes = [
            node("Conv", ["x", f"w{tag}", f"b{tag}"], [f"c{tag}"], strides=[stride]),
            node("Mul", [f"c{tag}", f"s{tag}"], [f"m{tag}"]),
            node("Identity", [f"m{tag}"], [f"i{tag}"]),
            node("Relu", [f"i{tag}"], [f"r{tag}"]),
            node("GlobalMaxPool", [f"r{tag}"], [f"o{tag}"]),
        ]
        inside = body(nodes, [], [info(f"o{tag}", FLOAT, ["batch", 3, 1])])
        inside.initializer.extend(numpy_helper.from_array(np.asarray(one), name) for name, one in tensors.items())
        return inside

    inner = body(
        [
            node("Equal", ["rate", "low"], ["is_low"]),
            node("If", ["is_low"], ["z"], then_branch=branch("8", 4), else_branch=branch("x", 2)),
        ],
        [],
        [info("z", FLOAT, ["batch", 3, 1])],
    )
    return model(
        [
            node("Equal", ["rate", "high"], ["is_high"]),
            node("If", ["is_high"], ["y"], then_branch=branch("16", 8), else_branch=inner),
        ],
        [info("x", FLOAT, ["batch", 1, "n"]), info("rate", INT, [])],
        [info("y", FLOAT, ["batch", 3, 1])],
        high=np.array(16000),
        low=np.array(8000),
    )


def test_branches_are_optimised_and_verified_for_each_sampling_rate(tmp_path: Path) -> None:
    """The factor goes into the kernels, and each rate is one of the probes: without that, "not shown" says so."""
    given, written = tmp_path / "given.onnx", tmp_path / "out.onnx"
    onnx.save(sampling_rates(), given)
    result = kir.export(given, written)
    assert isinstance(result, ExportResult)
    assert result.verification is not None
    assert result.verification.passed
    assert [one for statement in result.verification.statements for one in statement.not_shown] == []
    proto = onnx.load(written).graph
    graphs = [proto, *(attribute.g for one in proto.node for attribute in one.attribute if attribute.HasField("g"))]
    graphs += [attribute.g for one in graphs[-1].node for attribute in one.attribute if attribute.HasField("g")]
    found = sorted(sorted(one.op_type for one in graph.node) for graph in graphs)
    assert found == [["Conv", "ReduceMax", "Relu"]] * 3 + [["Equal", "If"]] * 2
    session, source = (onnxruntime.InferenceSession(path) for path in (written, given))
    x = np.random.default_rng(1).normal(size=(2, 1, 64)).astype(np.float32)
    for rate in (8000, 16000, 44100):
        feeds = {"x": x, "rate": np.array(rate)}
        np.testing.assert_allclose(session.run(None, feeds)[0], source.run(None, feeds)[0], rtol=1e-5)


def test_the_counter_of_a_loop_hides_nothing(tmp_path: Path) -> None:
    """It is the same on all probes; what counts is whether the other results are."""
    inside = loop(
        [
            node("Add", ["k", "one"], ["k2"]),
            node("Cast", ["k2"], ["f"], to=FLOAT),
            node("Mul", ["f", "h"], ["scaled"]),
            node("Tanh", ["scaled"], ["h2"]),
            node("Identity", ["c"], ["c2"]),
        ],
        [info("k", INT, []), info("h", FLOAT, [2])],
        [info("k2", INT, []), info("h2", FLOAT, [2])],
    )
    given = model(
        [node("Loop", ["ten", "", "one", "x"], ["count", "y"], body=inside)],
        [info("x", FLOAT, [2])],
        [info("y", FLOAT, [2])],
        ten=np.array(10),
        one=np.array(1),
    )
    onnx.save(given, tmp_path / "given.onnx")
    result = kir.export(tmp_path / "given.onnx", tmp_path / "out.onnx")
    assert isinstance(result, ExportResult)
    assert result.verification is not None
    assert result.verification.passed
    assert [one for statement in result.verification.statements for one in statement.not_shown] == []
