"""Operators run alone: errors that the inputs of a model hide, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.mapped import lean_model
from kir.exporters.onnx_file.probe import opset_of
from kir.exporters.onnx_file.verify.alone import AlonePart
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.onnx_file.verify.subject import Subject
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.op import Op
from kir.ir.structural import Constant, Data, Input, Output
from kir.ir.types import DType, parse_type
from kir.numerics.report import Statement, VerificationReport
from kir.ops import elementwise as e
from kir.ops.convolution import Conv
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.random import RandomNormalLike
from kir.ops.reduce import ArgMax, ReduceMean
from kir.ops.resize import Resize
from kir.ops.shape import Expand, Gather, OneHot, Pad, Slice, TopK
from tests.ops.cases import Case, all_cases
from tests.tiers import first_of_each

Edit = Callable[[GraphProto], None]


class Builder:
    """A graph of operators in a layer "q", from one input."""

    def __init__(self, type: str) -> None:
        self.graph = Graph("hidden")
        self.x = self.graph.add(Input("x", parse_type(type))).output

    def add(self, op: Op, *inputs: Value, layer: str = "before") -> Value:
        return self.graph.add(op, *inputs, origin=Origin(layer, "Layer")).outputs[0]

    def constant(self, value: Any, dtype: Any = np.float32) -> Value:
        return self.graph.add(Constant(Data(np.asarray(value, dtype)))).output

    def end(self, op: Op, *inputs: Value) -> Graph:
        """Add the operator in which the error is to be, and outputs."""
        node = self.graph.add(op, *inputs, origin=Origin("q", "Layer"))
        for index, output in enumerate(node.outputs):
            self.graph.add(Output(f"y{index}"), output)
        return self.graph


# The edits


def node_of(graph: GraphProto, op_type: str) -> NodeProto:
    return next(node for node in graph.node if node.op_type == op_type)


def named(op_type: str, name: str) -> Edit:
    """Make another operator of the one of layer q."""

    def edit(graph: GraphProto) -> None:
        node_of(graph, op_type).op_type = name

    return edit


def cut_to_one_input(op_type: str, name: str) -> Edit:
    def edit(graph: GraphProto) -> None:
        node = node_of(graph, op_type)
        node.op_type = name
        del node.input[1:]

    return edit


def attribute(op_type: str, name: str, value: Any) -> Edit:
    def edit(graph: GraphProto) -> None:
        node = node_of(graph, op_type)
        kept = [one for one in node.attribute if one.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def constant(op_type: str, slot: int, change: Callable[[Any], Any]) -> Edit:
    """Change a constant that an operator reads."""

    def edit(graph: GraphProto) -> None:
        node = node_of(graph, op_type)
        tensor = next(one for one in graph.initializer if one.name == node.input[slot])
        array = numpy_helper.to_array(tensor)
        planted = numpy_helper.from_array(np.asarray(change(array.copy()), array.dtype), "planted")
        graph.initializer.append(planted)
        node.input[slot] = "planted"

    return edit


def swapped(op_type: str, a: int, b: int) -> Edit:
    def edit(graph: GraphProto) -> None:
        node = node_of(graph, op_type)
        node.input[a], node.input[b] = node.input[b], node.input[a]

    return edit


def before(op_type: str, *names: str, constants: Sequence[float] = ()) -> Edit:
    """Put operators before the one of layer q, in front of its first input; each reads a constant, if there is one."""

    def edit(graph: GraphProto) -> None:
        index = next(index for index, node in enumerate(graph.node) if node.op_type == op_type)
        for step, name in enumerate(names):
            node = graph.node[index + step]
            inputs = [node.input[0]]
            if step < len(constants):
                inputs.append(f"constant_{step}")
                graph.initializer.append(
                    numpy_helper.from_array(np.asarray(constants[step], np.float32), f"constant_{step}")
                )
            graph.node.insert(index + step, helper.make_node(name, inputs, [f"planted_{step}"]))
            graph.node[index + step + 1].input[0] = f"planted_{step}"

    return edit


def swap_rows(table: Any) -> Any:
    table[[1234, 2345]] = table[[2345, 1234]]
    return table


def round_half_up(graph: GraphProto) -> None:
    before("Round", "Add", constants=[0.5])(graph)
    node_of(graph, "Round").op_type = "Floor"


def last_of_equals_first(graph: GraphProto) -> None:
    """Make TopK read its input backwards, and count the indices from the other end."""
    node = node_of(graph, "TopK")
    index = list(graph.node).index(node)
    for name, value in (("-1", [-1]), ("-99", [-99]), ("1", [1]), ("4", [4])):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.int64), name))
    backwards = helper.make_node("Slice", [node.input[0], "-1", "-99", "1", "-1"], ["backwards"])
    counted = helper.make_node("Sub", ["4", "counted"], [node.output[1]])
    node.input[0], node.output[1] = "backwards", "counted"
    graph.node.insert(index, backwards)
    graph.node.insert(index + 2, counted)


# The graphs: each ends in the operator that is to be wrong, on inputs that never show it


def small(b: Builder) -> Value:
    """From -1 to 1."""
    return b.add(e.Tanh(), b.x)


def positive(b: Builder) -> Value:
    return b.add(e.Abs(), b.x)


def clipped(low: float, high: float) -> Graph:
    b = Builder("f32[batch, 5]")
    return b.end(e.Clip(), small(b), b.constant(low), b.constant(high))


def unary(op: Op, of: Callable[[Builder], Value] = small) -> Graph:
    b = Builder("f32[batch, 5]")
    return b.end(op, of(b))


def saturated(b: Builder) -> Value:
    return b.add(e.Add(), positive(b), b.constant(100))


def compared() -> Graph:
    b = Builder("f32[batch, 5]")
    return b.end(e.GreaterOrEqual(), small(b), b.constant([2, 3, -4, 5, -6]))


def chosen() -> Graph:
    """A Where between two values that are equal on all inputs."""
    b = Builder("f32[batch, 5]")
    always = positive(b)
    return b.end(e.Where(), b.add(e.Greater(), b.x, b.constant(0)), b.add(e.Relu(), always), always)


def looked_up() -> Graph:
    b = Builder("i32[batch, 3]")
    return b.end(Gather(0), b.constant(np.random.default_rng(0).normal(size=(3000, 8))), b.x)


def softmax_of_zeros() -> Graph:
    b = Builder("f32[batch, 4, 4]")
    return b.end(Softmax(2), b.add(e.Mul(), b.x, b.constant(0)))


def top() -> Graph:
    b = Builder("f32[batch, 5]")
    return b.end(TopK(3, 1), b.x)


def flat_images() -> Graph:
    b = Builder("f32[batch, 4, 4, 2]")
    mean = b.add(Expand(b.x.type.shape), b.add(ReduceMean((1, 2), True), b.x))
    batch = b.x.type.shape[0]
    return b.end(Resize((batch, 9, 7, 2), "linear"), mean)


def padded() -> Graph:
    b = Builder("f32[batch, 4]")
    value = b.graph.add(Pad((0, 2), (0, 0)), b.x, b.constant(0.5), origin=Origin("q", "Layer")).output
    b.graph.add(Output("y"), b.add(Slice((1,), (2,), (6,), (1,)), value))
    return b.graph


def one_hot() -> Graph:
    b = Builder("i64[batch, 3]")
    return b.end(OneHot(1, 2), b.x, b.constant([0, 1]))


def remainder() -> Graph:
    b = Builder("i32[batch, 3]")
    return b.end(e.Mod(False), b.add(e.Abs(), b.x), b.constant(7, np.int32))


def activated() -> Graph:
    b = Builder("f32[batch, 5]")
    kernel = b.constant(np.random.default_rng(0).normal(size=(5, 3)))
    return b.end(Dense(e.LeakyRelu(0.25)), b.add(e.Tanh(), b.x), kernel, b.constant([100, 100, 100]))


HIDDEN: dict[str, tuple[Graph, Edit]] = {
    "relu for relu6": (clipped(0, 6), cut_to_one_input("Clip", "Relu")),
    "clip at 100 for 99": (clipped(-99, 99), constant("Clip", 2, lambda bound: bound + 1)),
    "> for >=": (compared(), named("GreaterOrEqual", "Greater")),
    "round half up": (unary(e.Round()), round_half_up),
    "alpha below 0": (unary(e.LeakyRelu(0.25), positive), attribute("LeakyRelu", "alpha", 0.2)),
    "activation of a Dense": (activated(), attribute("LeakyRelu", "alpha", 0.2)),
    "rows swapped": (looked_up(), constant("Gather", 0, swap_rows)),
    "slope of HardSigmoid": (unary(e.HardSigmoid(0.25, 0.5), saturated), attribute("HardSigmoid", "alpha", 0.2)),
    "branches of Where": (chosen(), swapped("Where", 1, 2)),
    "axis of Softmax": (softmax_of_zeros(), attribute("Softmax", "axis", 1)),
    "last of equals": (unary(ArgMax(1, False)), attribute("ArgMax", "select_last_index", 1)),
    "order of equals": (top(), last_of_equals_first),
    "coordinates of Resize": (flat_images(), attribute("Resize", "coordinate_transformation_mode", "align_corners")),
    "value of Pad": (padded(), constant("Pad", 2, lambda value: value + 1)),
    "off of OneHot": (one_hot(), constant("OneHot", 2, lambda values: np.add(values, [0.5, 0]))),
    "Cast of negative halves": (unary(e.Cast(DType.INT32), positive), before("Cast", "Floor")),
    "sign of Mod": (remainder(), attribute("Mod", "fmod", 1)),
    "threshold of ThresholdedRelu": (unary(e.ThresholdedRelu(4.0)), attribute("ThresholdedRelu", "alpha", 5.0)),
}


def verified(graph: Graph, edit: Edit | None = None) -> tuple[VerificationReport, Statement]:
    """Return the report of a file with an error, and what is said of operators that ran alone."""
    model = ModelProto.FromString(to_model_proto(graph).SerializeToString())
    if edit is not None:
        edit(model.graph)
        onnx.checker.check_model(model, full_check=True)
    report = verify_file(graph, model.SerializeToString(), written=graph)
    return report, next(statement for statement in report.statements if statement.part == "alone")


@pytest.mark.parametrize("name", HIDDEN)
def test_an_error_that_inputs_hide_is_seen(name: str) -> None:
    graph, edit = HIDDEN[name]
    report, alone = verified(graph, edit)
    assert all(output.passed for output in report.outputs), "the inputs show it"
    assert {problem.layer for problem in alone.problems} == {"q"}


@pytest.mark.parametrize("name", HIDDEN)
def test_the_same_files_without_errors_pass(name: str) -> None:
    report, alone = verified(HIDDEN[name][0])
    assert report.passed
    assert not alone.not_shown


def test_a_problem_says_at_which_value_it_is() -> None:
    _, alone = verified(*HIDDEN["round half up"])
    assert str(alone.problems[0]).startswith("Round of layer q: at 0.5: 1.0 in the file, 0.0 expected")


def test_an_error_in_one_of_many_equal_nodes_is_that_of_its_layer() -> None:
    b = Builder("f32[batch, 5]")
    x = small(b)
    for index in range(20):
        x = b.add(e.Clip(), b.add(e.Tanh(), x), b.constant(0), b.constant(6), layer=f"relu6_{index}")
    b.graph.add(Output("y"), x)

    def edit(graph: GraphProto) -> None:
        node = [node for node in graph.node if node.op_type == "Clip"][7]
        node.op_type = "Relu"
        del node.input[1:]

    _, alone = verified(b.graph, edit)
    assert [problem.layer for problem in alone.problems] == ["relu6_7"]
    assert alone.covered == "41 operators (2 kinds) with inputs of their own"


def check_alone(
    graph: Graph, edit: Edit | None = None, weak: Mapping[Node, str] | None = None, opset: int | None = None
) -> Statement:
    """Return what is said of the operators of a file, without any inputs of it."""
    right = to_model_proto(graph, opset=opset).SerializeToString()
    model = ModelProto.FromString(right)
    if edit is not None:
        edit(model.graph)
    data = model.SerializeToString()
    with lean_model(right) as lean:
        subject = Subject(graph, graph, value_names(graph, opset_of(model)), data, lean, lean.session(), "cpu", 0)
        return AlonePart(subject, lambda: weak or {}).statement()


def node_in(graph: Graph, op: type[Op]) -> Node:
    return next(node for node in graph.order() if isinstance(node.op, op))


# Nodes of which the inputs of the model say little


def dead_convolution() -> Graph:
    b = Builder("f32[batch, 2, 6, 6]")
    kernel = b.constant(np.random.default_rng(0).normal(size=(3, 2, 3, 3)))
    return b.end(Conv((1, 1), (1, 1), 1, (1, 1, 1, 1)), b.add(e.Relu(), b.add(e.Neg(), positive(b))), kernel)


def wrong_tap(kernel: Any) -> Any:
    kernel[2, 1, 2, 0] *= 1.001
    return kernel


def test_a_wrong_tap_behind_dead_units_is_seen() -> None:
    graph, edit = dead_convolution(), constant("Conv", 1, wrong_tap)
    weak = {node_in(graph, Conv): "its result is 0 on all probes"}
    assert [problem.layer for problem in check_alone(graph, edit, weak).problems] == ["q"]
    right = check_alone(graph, weak=weak)
    assert right.passed
    assert not right.not_shown
    assert check_alone(graph, edit).passed, "it runs alone only if it is weak"


def test_both_halves_of_a_weak_dense_run() -> None:
    graph = activated()
    weak = {node_in(graph, Dense): "its result is 0 on all probes"}

    def double(kernel: Any) -> Any:
        return 2 * kernel

    assert check_alone(graph, weak=weak).passed
    assert check_alone(graph, constant("Gemm", 1, double), weak).problems[0].op == "Dense(activation=None)"
    assert check_alone(graph, attribute("LeakyRelu", "alpha", 0.2), weak).problems[0].op == "LeakyRelu(alpha=0.25)"


def test_what_says_little_and_does_not_run_alone_is_not_shown() -> None:
    """Nodes that draw at random, and pieces that onnxruntime refuses, which leaves the others as they are."""
    b = Builder("f32[batch, 5]")
    drawn = b.add(RandomNormalLike(0.0, 1.0, None), b.x, layer="noise")
    graph = b.end(e.Round(), b.add(e.Clip(), drawn, b.constant(0), b.constant(6), layer="clip"))
    weak = dict.fromkeys([node_in(graph, RandomNormalLike), node_in(graph, e.Clip)], "no probe gave it an element")

    def unknown(graph: GraphProto) -> None:
        node_of(graph, "Clip").domain = "somewhere"

    found = check_alone(graph, unknown, weak)
    assert [(finding.layer, finding.text.split(":")[0]) for finding in found.not_shown] == [
        ("noise", "no probe gave it an element, and it did not run alone"),
        ("clip", "no probe gave it an element, and it did not run alone"),
    ]
    assert "does not run it" in found.not_shown[1].text
    assert found.passed


# Tables


def test_all_rows_of_a_large_table_are_looked_up_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.exporters.onnx_file.verify.alone.BLOCK_ELEMENTS", 1000)
    graph = looked_up()
    alone = check_alone(graph)
    assert alone.passed
    assert alone.covered == "1 operator (1 kind) with inputs of their own, 3,000 rows of 1 table"

    def last(table: Any) -> Any:
        table[-1, -1] += 1
        return table

    assert len(check_alone(graph, constant("Gather", 0, last)).problems) == 1


def test_sizes_that_the_file_reads_of_other_values_are_given_too() -> None:
    b = Builder("f32[batch, length, 2]")
    length = b.x.type.shape[1]
    y = b.graph.add(Input("y", parse_type("f32[batch, 1]"))).output
    graph = b.end(Pad((0, length), (0, 2)), y)
    alone = check_alone(graph)
    assert alone.passed
    assert alone.covered == "1 operator (1 kind) with inputs of their own"
    assert not check_alone(graph, attribute("Pad", "mode", "edge")).passed


@pytest.mark.parametrize("case", first_of_each(lambda case: type(case.op), all_cases()), ids=str)
def test_no_false_alarm(case: Case) -> None:
    """Whatever the operator: also those that run alone only where inputs say little."""
    graph = case.graph()
    weak = {node: "for the test" for node in graph.order() if not isinstance(node.op, Input | Output | Constant)}
    alone = check_alone(graph, weak=weak)
    assert alone.passed, str(alone)
