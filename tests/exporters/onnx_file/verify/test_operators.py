"""The part "operators": files whose graph is right but for one operator, and files that are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

import kir
from kir import Input, Model, Sequential, layers, passes
from kir import backend as K
from kir.config import own_dtype_policy, set_dtype_policy
from kir.errors import MismatchError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.build import value_names
from kir.exporters.onnx_file.mapped import lean_model
from kir.exporters.onnx_file.probe import opset_of
from kir.exporters.onnx_file.verify import values
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.onnx_file.verify.operators import Operators
from kir.ir.graph import Graph
from kir.modeling.lower import lower
from kir.numerics.compare import Run
from kir.numerics.probes import choose_probes
from kir.numerics.report import Divergence, Statement
from kir.ops.linear import Dense
from kir.ops.random import RandomNormalLike
from kir.ops.resize import Resize
from kir.support.naming import reset_names
from tests.benchmarks.planted_errors import disguise
from tests.ops.cases import Case, all_cases
from tests.passes.building import Build
from tests.tiers import first_of_each

CASES = all_cases()

Change = Callable[[ModelProto], None]


def graph_of(*stack: Any, shape: tuple[int | None, ...], scale: float = 1) -> Graph:
    """Return the graph of layers on one input, with random weights, each large enough to matter."""
    reset_names()
    x = Input(shape)
    y = x
    for layer in stack:
        y = layer(y)
    model = Model(x, y)
    random = np.random.default_rng(0)
    model.set_weights([scale * (0.5 + random.random(weight.shape)) for weight in model.get_weights()])
    return model.to_graph()


def state(graph: Graph, change: Change | None = None, opset: int | None = None) -> Statement:
    """Return what the part says of the file of a graph, after a change of it."""
    proto = to_model_proto(graph, opset=opset)
    if change is not None:
        before = proto.SerializeToString()
        change(proto)
        assert proto.SerializeToString() != before, "nothing was planted"
    return statement_of(graph, proto.SerializeToString())


def statement_of(graph: Graph, model: bytes) -> Statement:
    with lean_model(model) as lean:
        operators = Operators(graph, value_names(graph, opset_of(lean.load())), lean)
        for probe in choose_probes(graph, 0):
            operators.add(Run(probe, probe.feeds(), {}))
        return operators.statement()


def node_of(proto: ModelProto, op_type: str) -> NodeProto:
    return next(node for node in proto.graph.node if node.op_type == op_type)


def set_attribute(op_type: str, **attributes: Any) -> Change:
    def change(proto: ModelProto) -> None:
        node = node_of(proto, op_type)
        for name, value in attributes.items():
            kept = [attribute for attribute in node.attribute if attribute.name != name]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def rename(op_type: str, other: str) -> Change:
    def change(proto: ModelProto) -> None:
        node_of(proto, op_type).op_type = other

    return change


def scale_one_weight(name: str, factor: float) -> Change:
    """Change the largest element of an initializer by a factor."""

    def change(proto: ModelProto) -> None:
        tensor = next(one for one in proto.graph.initializer if one.name.startswith(name))
        array = numpy_helper.to_array(tensor).copy()
        array.flat[np.abs(array).argmax()] *= factor
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return change


def round_half_up(proto: ModelProto) -> None:
    node = node_of(proto, "Round")
    index = list(proto.graph.node).index(node)
    shifted = helper.make_node("Add", [node.input[0], "half"], ["shifted"])
    node.op_type, node.input[0] = "Floor", "shifted"
    proto.graph.node.insert(index, shifted)
    proto.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))


def halves(x: Any) -> Any:
    """Return multiples of 1/2 of about the given numbers."""
    return K.floor(x * 4) / 2


PLANTED: dict[str, tuple[Callable[[], Graph], Change]] = {
    "epsilon of a batch normalization": (
        lambda: graph_of(layers.BatchNormalization(), shape=(6, 4)),
        set_attribute("BatchNormalization", epsilon=1.1e-3),
    ),
    "epsilon of a layer normalization": (
        lambda: graph_of(layers.LayerNormalization(), shape=(6, 4)),
        set_attribute("LayerNormalization", epsilon=1.1e-3),
    ),
    "slope of a leaky relu": (
        lambda: graph_of(layers.LeakyReLU(0.3), shape=(6, 4)),
        set_attribute("LeakyRelu", alpha=0.3001),
    ),
    "alpha of an elu": (lambda: graph_of(layers.ELU(0.7), shape=(6, 4)), set_attribute("Elu", alpha=0.7001)),
    "axis of a softmax": (lambda: graph_of(layers.Softmax(), shape=(6, 4)), set_attribute("Softmax", axis=1)),
    "direction of an LSTM": (
        lambda: graph_of(layers.LSTM(3, return_sequences=True), shape=(None, 4)),
        set_attribute("LSTM", direction="reverse"),
    ),
    "linear_before_reset of a GRU": (
        lambda: graph_of(layers.GRU(3), shape=(None, 4)),
        set_attribute("GRU", linear_before_reset=0),
    ),
    "permutation": (
        lambda: graph_of(layers.Permute((2, 1, 3)), shape=(4, 4, 4)),
        set_attribute("Transpose", perm=[0, 1, 3, 2]),
    ),
    "padding of a convolution": (
        lambda: graph_of(layers.Conv1D(3, 2, padding="causal"), shape=(9, 4)),
        set_attribute("Conv", pads=[0, 1]),
    ),
    "dilation of a convolution": (
        lambda: graph_of(layers.Conv1D(3, 3, padding="valid", dilation_rate=2), shape=(9, 4)),
        set_attribute("Conv", dilations=[1], pads=[1, 1]),
    ),
    "stride of a pooling": (
        lambda: graph_of(layers.MaxPooling1D(3, strides=2), shape=(9, 4)),
        set_attribute("MaxPool", strides=[1]),
    ),
    "padding that counts": (
        lambda: graph_of(layers.AveragePooling1D(3, strides=1, padding="same"), shape=(9, 4)),
        set_attribute("AveragePool", count_include_pad=1),
    ),
    "transposed kernel": (lambda: graph_of(layers.Dense(4), shape=(4,)), set_attribute("Gemm", transB=1)),
    "a sum that keeps its axis": (
        lambda: graph_of(layers.Lambda(lambda x: K.sum(x, axis=1)), shape=(6, 4)),
        set_attribute("ReduceSum", keepdims=1),
    ),
    "a comparison without its tie": (
        lambda: graph_of(layers.Lambda(lambda x: K.cast(halves(x) >= 0.5, "float32")), shape=(60, 4)),
        rename("GreaterOrEqual", "Greater"),
    ),
    "halves that are rounded up": (
        lambda: graph_of(layers.Lambda(lambda x: K.round(halves(x))), shape=(60, 4)),
        round_half_up,
    ),
    "a linear curve": (
        lambda: graph_of(layers.UpSampling2D(2, interpolation="bilinear"), shape=(6, 5, 3)),
        set_attribute("Resize", coordinate_transformation_mode="asymmetric"),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_errors_are_seen_and_their_layer_is_named(name: str) -> None:
    make, change = PLANTED[name]
    graph = make()
    assert state(graph).passed, str(state(graph))
    statement = state(graph, change)
    assert len({problem.layer for problem in statement.problems}) == 1, str(statement)
    assert statement.problems[0].layer
    assert statement.problems[0].tensor


WEIGHTS: dict[str, tuple[Callable[[], Graph], str]] = {
    "Dense": (lambda: graph_of(layers.Dense(4), shape=(5,)), "dense/kernel"),
    "Dense on sequences": (lambda: graph_of(layers.Dense(4, "tanh"), shape=(None, 5)), "dense/kernel"),
    "Conv1D": (lambda: graph_of(layers.Conv1D(4, 3, padding="same"), shape=(8, 3)), "conv1d/kernel"),
    "Conv2D": (lambda: graph_of(layers.Conv2D(4, 2), shape=(8, 7, 3)), "conv2d/kernel"),
    "Conv3D": (lambda: graph_of(layers.Conv3D(2, 2), shape=(5, 4, 3, 2)), "conv3d/kernel"),
    "DepthwiseConv2D": (lambda: graph_of(layers.DepthwiseConv2D(3), shape=(8, 7, 3)), "depthwise"),
    "Conv2DTranspose": (
        lambda: graph_of(layers.Conv2DTranspose(4, 2, strides=2), shape=(5, 4, 3)),
        "conv2d_transpose/kernel",
    ),
    "BatchNormalization": (lambda: graph_of(layers.BatchNormalization(), shape=(6, 4)), "batch_normalization/gamma"),
    "LayerNormalization": (lambda: graph_of(layers.LayerNormalization(), shape=(6, 4)), "layer_normalization/gamma"),
    "SimpleRNN": (lambda: graph_of(layers.SimpleRNN(3), shape=(None, 4), scale=0.2), "simple_rnn"),
    "GRU": (lambda: graph_of(layers.GRU(3), shape=(None, 4), scale=0.2), "gru"),
    "LSTM": (lambda: graph_of(layers.LSTM(3), shape=(None, 4)), "lstm"),
    "PReLU": (lambda: graph_of(layers.PReLU(), shape=(6, 4)), "p_re_lu/alpha"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_one_weight_that_is_off_by_little_of_itself_is_seen(name: str) -> None:
    make, weight = WEIGHTS[name]
    graph = make()
    assert state(graph).passed, str(state(graph))
    statement = state(graph, scale_one_weight(weight, 1 + (4e-5 if name == "LSTM" else 1e-5)))
    assert statement.problems, str(statement)


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param([layers.Rescaling(1e6), layers.Activation("sigmoid")], id="saturated"),
        pytest.param([layers.Rescaling(-1.0), layers.ReLU()], id="dead"),
        pytest.param([layers.Lambda(lambda x: K.log(-1 - K.abs(x)))], id="not a number"),
        pytest.param([layers.Lambda(lambda x: x * 0 + 1)], id="unused"),
    ],
)
def test_what_stands_behind_a_wrong_operator_does_not_hide_it(behind: list[Any]) -> None:
    graph = graph_of(layers.Dense(4, "sigmoid", name="wrong"), *behind, shape=(5,))
    assert state(graph).passed, str(state(graph))
    statement = state(graph, scale_one_weight("wrong/kernel", 1 + 1e-4))
    assert [problem.layer for problem in statement.problems] == ["wrong (Dense)"]


def test_a_saturated_activation_does_not_hide_its_own_layer() -> None:
    """The result before the activation is a value of the file, and compared."""
    graph = graph_of(layers.Rescaling(1e4), layers.Dense(4, "softmax", name="wrong"), shape=(5,))
    statement = state(graph, scale_one_weight("wrong/kernel", 1 + 1e-4))
    assert [problem.layer for problem in statement.problems] == ["wrong (Dense)"]
    assert "Gemm" in statement.problems[0].tensor


# No false alarms


@pytest.mark.parametrize("case", first_of_each(lambda case: type(case.op), CASES), ids=str)
def test_every_operator_is_within_its_bound(case: Case) -> None:
    graph = case.graph()
    if isinstance(case.op, RandomNormalLike):
        pytest.skip("random operators are not compared")
    for opset in (13, 18, None):
        if opset is not None and case.since > opset:
            continue
        model = to_model_proto(graph, opset=opset).SerializeToString()
        with lean_model(model) as lean:
            operators = Operators(graph, value_names(graph, opset_of(lean.load())), lean)
            for sizes in case.runs():
                operators.compare_on(case.feeds(sizes), sizes)
            statement = operators.statement()
        assert statement.passed, f"opset {opset}: {statement}"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("opset", [13, 18, None])
def test_every_precision_passes(dtype: str, opset: int | None) -> None:
    reset_names()
    with own_dtype_policy():
        set_dtype_policy(dtype)
        x = Input((9, 3), dtype=dtype)
        y = layers.Dense(4, "gelu")(x)
        y = layers.Activation("mish")(layers.BatchNormalization()(y))
        y = layers.Lambda(lambda x: x - K.exp(x))(layers.LayerNormalization()(y))
        y = layers.Dense(3, "softmax")(layers.MultiHeadAttention(2, 3)(y, y))
        graph = Model(x, y).to_graph()
    statement = state(graph, opset=opset)
    assert statement.passed, str(statement)
    assert not statement.not_shown


@pytest.mark.parametrize("activation", ["hard_silu", "softsign"])
def test_activations_are_compared_on_what_they_read(activation: str) -> None:
    """Where float16 runs cut into its nodes, a sum that cancels has other bits than what its activation is given."""
    reset_names()
    x = Input((5,), dtype="float16")
    y = layers.Activation("sparse_sigmoid", dtype="float16")(x)
    model = Model(x, layers.Dense(600, activation, dtype="float16")(y))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    graph = model.to_graph()
    passes.run(graph, passes.pipeline(1))
    assert any(isinstance(node.op, Dense) and node.op.activation is not None for node in graph.order())
    statement = state(graph)
    assert statement.passed, str(statement)


def test_a_maximum_of_what_is_no_number_passes() -> None:
    statement = state(graph_of(layers.Lambda(K.log), layers.MaxPooling2D(2), shape=(6, 6, 3)))
    assert statement.passed, str(statement)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_resize_of_float64_is_bounded_as_one_of_float32(mode: str) -> None:
    build = Build("f64[2, 3, 4, 5]")
    statement = state(build.finish(build(Resize((2, 3, 8, 10), mode), build.inputs[0])), opset=18)
    assert statement.passed, str(statement)


@pytest.mark.parametrize("activation", ["softplus", "relu"])
@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.GRU, layers.LSTM])
def test_states_that_grow_past_all_floats_pass(kind: Any, activation: str) -> None:
    """Of a softplus onnxruntime's recurrent kernels make infinity from 89 on."""
    statement = state(graph_of(kind(3, activation, return_sequences=True), shape=(None, 4), scale=3))
    assert statement.passed, str(statement)


# What is compared


def test_results_are_compared_in_groups_where_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    reset_names()
    graph = graph_of(*[layers.Dense(6, "tanh") for _ in range(5)], shape=(6,))
    whole = state(graph)
    monkeypatch.setattr(values, "GROUP_BYTES", 100)
    assert state(graph).covered == whole.covered
    statement = state(graph, scale_one_weight("dense_3/kernel", 1 + 1e-4))
    assert [problem.layer for problem in statement.problems] == ["dense_3 (Dense)"]


def test_large_results_are_compared_in_part() -> None:
    statement = state(graph_of(layers.Conv2D(8, 3, activation="relu"), shape=(70, 70, 3)))
    assert statement.passed
    assert "Conv at 144 of 4,624 positions" in statement.covered
    assert statement.covered.startswith("5 of 5 operators")


def test_random_operators_are_left_out_and_said() -> None:
    graph = graph_of(layers.GaussianNoise(0.5), layers.Dense(2), shape=(4,))
    assert not state(graph).not_shown
    reset_names()
    x = Input((4,))
    graph = lower(Model(x, layers.Dense(2)(layers.GaussianNoise(0.5)(x))), training=True)
    (left_out,) = (one for one in state(graph).not_shown if "random" in one.text)
    assert left_out.layer == "gaussian_noise (GaussianNoise)"


def test_a_file_without_some_value_says_so() -> None:
    graph = graph_of(layers.Dense(4), layers.Dense(4, name="last"), shape=(4,))

    def rename_inner(proto: ModelProto) -> None:
        first, second = proto.graph.node
        first.output[0] = second.input[0] = "other"

    statement = state(graph, rename_inner)
    assert len(statement.not_shown) == 2
    assert "the file has no 'dense" in statement.not_shown[0].text


def bisect(graph: Graph, model: Path | bytes) -> Divergence:
    return Divergence.first_of(verify_file(graph, model, written=graph).measured)


def test_bisect_names_the_first_of_several(tmp_path: Path) -> None:
    graph = graph_of(layers.Dense(4), layers.Dense(4, name="second"), layers.Dense(4, name="third"), shape=(4,))
    proto = to_model_proto(graph)
    assert bisect(graph, proto.SerializeToString()).node is None
    for name in ("third", "second"):
        scale_one_weight(f"{name}/kernel", 1.001)(proto)
    assert bisect(graph, proto.SerializeToString()).layer == "second (Dense)"


def test_external_data_is_read_where_it_lies(tmp_path: Path) -> None:
    graph = graph_of(layers.Dense(4), layers.Dense(4), shape=(4,))
    proto = to_model_proto(graph)
    onnx.save_model(proto, tmp_path / "m.onnx", save_as_external_data=True, location="data", size_threshold=0)
    assert bisect(graph, tmp_path / "m.onnx").node is None


def test_a_node_that_means_several_operators_is_left_to_the_other_parts(tmp_path: Path) -> None:
    """A Gemm of another tool with a factor is read as Dense and Mul: the file has no result of Dense alone."""
    path = tmp_path / "other.onnx"
    model = Sequential([Input(shape=(4,), name="x"), layers.Dense(5, activation="tanh"), layers.Dense(3)])
    kir.export(model, path)
    file = onnx.load(path)
    file.graph.node[0].attribute.append(helper.make_attribute("alpha", 1.5))
    onnx.save(disguise(file)[0], path)
    report = kir.verify(model, path)
    assert not report.passed
    assert "the file has no result of Dense alone" in str(report)


def test_a_file_that_does_not_run_in_pieces_is_not_wrong_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider may have bugs of its own where values of the file are inputs and outputs."""

    def fail(*given: object) -> None:
        raise MismatchError("onnxruntime fails on inputs that the model takes")

    monkeypatch.setattr(values, "run_checked", fail)
    statement = state(graph_of(layers.Dense(3), shape=(4,)))
    assert statement.passed
    assert "does not run where its values are inputs and outputs" in statement.not_shown[0].text
