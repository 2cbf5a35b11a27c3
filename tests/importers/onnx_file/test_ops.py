"""Operators as other exporters write them, at the opsets that they write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from kir.errors import FormatError, UnsupportedError
from kir.exporters.onnx_file.session import make_session, run_session
from kir.importers.onnx_file import import_graph
from kir.ir.interpreter import run
from tests.importers.onnx_file.models import model, node, operators, value
from tests.versions import needs_onnxruntime

F32 = np.float32
KERNEL = np.arange(12, dtype=F32).reshape(3, 4)
X: dict[str, list[Any]] = {"x": ["N", "T", 4]}


def assert_runs_alike(given: ModelProto, **sizes: int) -> None:
    """The interpreter computes from the imported graph what onnxruntime does from the model."""
    graph = import_graph(given)
    graph.check()
    random = np.random.default_rng(0)
    feeds = {}
    for entry in given.graph.input:
        shape = [dim.dim_value or sizes[dim.dim_param] for dim in entry.type.tensor_type.shape.dim]
        feeds[entry.name] = random.normal(size=shape).astype(F32)
    expected = run_session(make_session(given.SerializeToString()), feeds)
    for name, array in run(graph, feeds).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)
        assert array.dtype == expected[name].dtype


SHAPE_COMPUTATIONS: dict[str, tuple[list[NodeProto], dict[str, Any], list[str]]] = {
    "flatten by hand": (
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Unsqueeze", "n axis", "n1"),
            node("Concat", "n1 rest", "target", axis=0),
            node("Reshape", "x target", "y"),
        ],
        {"zero": np.int64(0), "axis": [0], "rest": [-1]},
        ["Reshape(shape=(N, 4*T))"],
    ),
    "product of two sizes": (
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Gather", "s one", "t"),
            node("Mul", "n t", "nt"),
            node("Unsqueeze", "nt axis", "nt1"),
            node("Concat", "nt1 four", "target", axis=0),
            node("Reshape", "x target", "y"),
        ],
        {"zero": np.int64(0), "one": np.int64(1), "axis": [0], "four": [4]},
        ["Reshape(shape=(N*T, 4))"],
    ),
    "half of a slice of the shape": (
        [
            node("Shape", "x", "s"),
            node("Cast", "s", "s32", to=TensorProto.INT32),
            node("Cast", "s32", "s64", to=TensorProto.INT64),
            node("Slice", "s64 one two", "t"),
            node("Concat", "first t two_two", "target", axis=0),
            node("Reshape", "x target", "y", allowzero=0),
        ],
        {"one": [1], "two": [2], "first": [0], "two_two": [2, 2]},
        ["Reshape(shape=(N, T, 2, 2))"],
    ),
    "expand with -1 for what stays": (
        [
            node("ConstantOfShape", "three", "ones", value=numpy_helper.from_array(np.array([1]))),
            node("Mul", "ones minus", "minus_ones"),
            node("Equal", "wanted minus_ones", "stays"),
            node("Where", "stays ones wanted", "target"),
            node("Expand", "x target", "y"),
        ],
        {"three": [4], "minus": np.int64(-1), "wanted": [2, -1, -1, -1]},
        ["Expand(shape=(2, N, T, 4))"],
    ),
    "zeros like a part of x": (
        [
            node("Shape", "x", "s", end=2),
            node("ConstantOfShape", "s", "y"),
        ],
        {},
        ["Expand(shape=(N, T))"],
    ),
    "a range over the steps": (
        [
            node("Shape", "x", "s", start=1, end=2),
            node("Squeeze", "s", "t"),
            node("Range", "zero t one", "steps"),
            node("Cast", "steps", "y", to=TensorProto.FLOAT),
        ],
        {"zero": np.int64(0), "one": np.int64(1)},
        ["Range(start=0, stop=T, step=1)", "Cast(dtype=f32)"],
    ),
    "a range of 32 bits": (
        [
            node("Shape", "x", "s", start=1, end=2),
            node("Squeeze", "s", "t"),
            node("Cast", "t", "t32", to=TensorProto.INT32),
            node("Range", "zero t32 one", "steps"),
            node("Cast", "steps", "y", to=TensorProto.FLOAT),
        ],
        {"zero": np.int32(0), "one": np.int32(1)},
        ["Range(start=0, stop=T, step=1)", "Cast(dtype=i32)", "Cast(dtype=f32)"],
    ),
    "a range of floats": (
        [
            node("Shape", "x", "s", start=1, end=2),
            node("Squeeze", "s", "t"),
            node("Cast", "t", "last", to=TensorProto.FLOAT),
            node("Range", "first last step", "y"),
        ],
        {"first": F32(1), "step": F32(2)},
        ["Range(start=1, stop=T, step=2)", "Cast(dtype=f32)"],
    ),
    "a range of floats that is carried": (
        [
            node("Shape", "x", "s", start=1, end=2),
            node("Squeeze", "s", "t"),
            node("Cast", "t", "last", to=TensorProto.FLOAT),
            node("Range", "first last step", "y"),
        ],
        {"first": F32(0.5), "step": F32(2)},
        ["Size(dim=T)", "Cast(dtype=f32)", "ai.onnx.Range-17()"],
    ),
    "all but the last step": (
        [node("Slice", "x zero last axis", "y")],
        {"zero": [0], "last": [-1], "axis": [1]},
        ["Slice(axes=(1,), starts=(0,), ends=(T - 1,), steps=(1,))"],
    ),
    "backwards": (
        [node("Slice", "x last first axis step", "y")],
        {"last": [-1], "first": [np.iinfo(np.int64).min], "axis": [-2], "step": [-1]},
        ["Slice(axes=(1,), starts=(T - 1,), ends=(-1,), steps=(-1,))"],
    ),
    "a size as a number": (
        [node("Size", "x", "count"), node("Cast", "count", "y", to=TensorProto.FLOAT)],
        {},
        ["Size(dim=4*N*T)", "Cast(dtype=f32)"],
    ),
    "a shape as a value": (
        [node("Shape", "x", "s"), node("Cast", "s", "y", to=TensorProto.FLOAT)],
        {},
        [
            "Size(dim=N)",
            "Reshape(shape=(1,))",
            "Size(dim=T)",
            "Reshape(shape=(1,))",
            "Concat(axis=0)",
            "Cast(dtype=f32)",
        ],
    ),
}


@pytest.mark.parametrize("name", SHAPE_COMPUTATIONS)
def test_what_computes_shapes_becomes_sizes(name: str) -> None:
    nodes, constants, expected = SHAPE_COMPUTATIONS[name]
    given = model(nodes, X, constants=constants)
    assert operators(given) == expected
    assert_runs_alike(given, N=2, T=3)


DENSE = {
    "tf: MatMul and Add": (
        [node("MatMul", "x k", "p"), node("Add", "p b", "y")],
        ["Dense(activation=None)"],
    ),
    "the bias first": (
        [node("MatMul", "x k", "p"), node("Add", "b p", "y")],
        ["Dense(activation=None)"],
    ),
    "the product read twice": (
        [node("MatMul", "x k", "p"), node("Add", "p b", "q"), node("Add", "p q", "y")],
        ["Dense(activation=None)", "Add", "Add"],
    ),
    "torch: Gemm of a turned kernel": (
        [node("Gemm", "x turned b", "y", transB=1)],
        ["Transpose(permutation=(1, 0))", "Dense(activation=None)"],
    ),
    "Gemm with scales": (
        [node("Gemm", "x k b", "y", alpha=0.5, beta=2.0)],
        ["Dense(activation=None)", "Mul", "Mul", "Add"],
    ),
    "Gemm with a bias that counts for nothing": (
        [node("Gemm", "x k b", "y", beta=0.0)],
        ["Dense(activation=None)"],
    ),
    "Gemm with a scalar": (
        [node("Gemm", "x k one", "y")],
        ["Dense(activation=None)", "Add"],
    ),
    "an activation behind": (
        [node("Gemm", "x k", "p"), node("Relu", "p", "y")],
        ["Dense(activation=None)", "Relu"],
    ),
}


@pytest.mark.parametrize("name", DENSE)
def test_dense(name: str) -> None:
    nodes, expected = DENSE[name]
    constants = {"k": KERNEL, "turned": KERNEL.T.copy(), "b": np.arange(4, dtype=F32), "one": F32(1)}
    given = model(nodes, {"x": ["N", 3]}, constants=constants)
    assert operators(given) == expected
    assert_runs_alike(given, N=2)


OLD = {
    "Clip": (10, node("Clip", "x", "y", min=-0.5, max=0.5)),
    "Dropout": (10, node("Dropout", "x", "y", ratio=0.3)),
    "Flatten": (11, node("Flatten", "x", "y", axis=-1)),
    "LogSoftmax": (11, node("LogSoftmax", "x", "y", axis=1)),
    "Pad": (10, node("Pad", "x", "y", pads=[0, 0, 1, 0, 2, 0], value=1.5)),
    "ReduceMean": (17, node("ReduceMean", "x", "y", axes=[-1], keepdims=0)),
    "ReduceSum": (11, node("ReduceSum", "x", "y", axes=[0, 2])),
    "Slice": (9, node("Slice", "x", "y", axes=[2], starts=[1], ends=[-1])),
    "Softmax": (12, node("Softmax", "x", "y")),
    "Split": (11, node("Split", "x", "y z", axis=2, split=[1, 3])),
    "Squeeze": (11, node("Squeeze", "one", "y", axes=[0])),
    "TopK": (9, node("TopK", "x", "y z", k=2)),
    "Transpose": (9, node("Transpose", "x", "y")),
    "Unsqueeze": (11, node("Unsqueeze", "x", "y", axes=[0, -1])),
}


@pytest.mark.parametrize("name", OLD)
def test_old_versions_of_operators(name: str) -> None:
    opset, old = OLD[name]
    constants = {"one": np.ones((1, 3), F32)} if name == "Squeeze" else {}
    assert_runs_alike(model([old], X, constants=constants, opset=opset), N=2, T=3)


NEW = {
    "Pad axes": (18, node("Pad", "x pads _ axes", "y", mode="edge")),
    "Pad away": (18, node("Pad", "x away", "y")),
    "Split num_outputs": (18, node("Split", "x", "y z", axis=2, num_outputs=2)),
    "ReduceSum of nothing": (17, node("ReduceSum", "x", "y", noop_with_empty_axes=1)),
    "ReduceL2 of all": (18, node("ReduceL2", "x", "y", keepdims=0)),
    "ReduceLogSum": (18, node("ReduceLogSum", "positive axis", "y")),
    "Selu of its own": (17, node("Selu", "x", "y", alpha=2.0, gamma=3.0)),
    "Max of three": (17, node("Max", "x half x", "y")),
    "Mean": (17, node("Mean", "x half half", "y")),
    "IsInf of one sign": (17, node("IsInf", "infinite", "y", detect_negative=0)),
    "Pow of two dtypes": (17, node("Pow", "x two", "y")),
    "Clip of one bound": (17, node("Clip", "x _ half", "y")),
    "PRelu": (17, node("PRelu", "x slope", "y")),
    "Einsum": (17, node("Einsum", "x x", "y", equation="...ij,...kj->...ik")),
    "GlobalAveragePool": (17, node("GlobalAveragePool", "x", "y")),
}


@pytest.mark.parametrize("name", NEW)
def test_forms_that_the_exporter_does_not_write(name: str) -> None:
    opset, new = NEW[name]
    constants = {
        "pads": [1, 2],
        "axes": [-1],
        "axis": [2],
        "away": [0, 0, -1, 0, 0, 2],
        "half": F32(0.5),
        "two": np.int64(2),
        "slope": np.array([[0.1, 0.2, 0.3, 0.4]], F32),
        "infinite": np.array([np.inf, -np.inf, 1], F32),
        "positive": np.ones((2, 3, 4), F32),
    }
    used = {key: array for key, array in constants.items() if key in new.input}
    assert_runs_alike(model([new], X, constants=used, opset=opset), N=2, T=3)


@needs_onnxruntime("1.29", "other defaults for the activations of RNN than the standard")
@pytest.mark.parametrize("op_type", ["RNN", "GRU", "LSTM"])
def test_recurrent_with_the_defaults(op_type: str) -> None:
    """No bias, no hidden_size for GRU, activations with parameters."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op_type]
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(1, 2 * gates, 4)).astype(F32),
        "r": random.normal(size=(1, 2 * gates, 2)).astype(F32),
    }
    names = {"RNN": ["HardSigmoid"], "GRU": ["HardSigmoid", "Tanh"], "LSTM": ["HardSigmoid", "Tanh", "Tanh"]}[op_type]
    one = node(op_type, "x w r", "y h", hidden_size=2, activations=names, activation_alpha=[0.3])
    assert_runs_alike(model([one], X, "y h", weights), N=3, T=2)
    assert "('HardSigmoid', 0.3, 0.5)" in operators(model([one], X, "y h", weights))[0]


@pytest.mark.parametrize("sized", [False, True])
def test_resize_of_some_axes(sized: bool) -> None:
    """`axes` is what other exporters write; float32 factors count as whole where they are."""
    which = {"s": np.array([6, 8])} if sized else {"s": np.array([2, 4], F32)}
    inputs = "x _ _ s" if sized else "x _ s"
    one = node("Resize", inputs, "y", mode="linear", coordinate_transformation_mode="half_pixel", axes=[2, 3])
    assert_runs_alike(model([one], {"x": ["N", 1, 3, 2]}, "y", which, opset=19), N=2)


def test_recurrent_with_the_batch_first() -> None:
    weights = {"w": np.ones((1, 8, 4), F32), "r": np.ones((1, 8, 2), F32), "h0": np.ones((3, 1, 2), F32)}
    one = node("LSTM", "x w r _ _ h0", "y h", hidden_size=2, layout=1)
    graph = import_graph(model([one], {"x": [3, 5, 4]}, "y h", weights))
    assert {n.op.label: str(n.output.type) for n in graph.outputs} == {  # type: ignore[attr-defined]
        "y": "f32[3, 5, 1, 2]",
        "h": "f32[3, 1, 2]",
    }
    feeds = {"x": np.random.default_rng(0).normal(size=(3, 5, 4)).astype(F32)}
    outputs = run(graph, feeds)
    np.testing.assert_array_equal(outputs["y"][:, -1], outputs["h"])


UNSUPPORTED = {
    "no operator": ([node("Magic", "x s", "y")], "no operator for ONNX's Magic"),
    "a control flow": ([node("SequenceMap", "x", "y")], "no operator for ONNX's SequenceMap"),
    "an unknown attribute": ([node("Relu", "x", "y", slope=1)], "attribute slope"),
    "a mask of Dropout": ([node("Dropout", "x", "z y")], "the mask of a Dropout"),
    "random numbers": ([node("RandomUniformLike", "x", "z"), node("Add", "x z", "y")], "RandomUniformLike"),
    "another domain": ([node("Relu", "x", "y", domain="com.example")], "com.example.Relu"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_kir_cannot_say_is_refused(name: str) -> None:
    nodes, message = UNSUPPORTED[name]
    given = model(nodes, {"x": [4]}, constants={"s": [1.0], "p": [1, 1]}, domains={"com.example": 1})
    with pytest.raises(UnsupportedError, match=message):
        import_graph(given, strict=True)


def test_everything_unsupported_is_listed_at_once() -> None:
    nodes = [
        node("Magic", "x s", "a"),
        node("Relu", "a", "b"),
        node("SequenceMap", "x", "c"),
        node("Magic", "x s", "d"),
        node("Add", "b d", "y"),
    ]
    with pytest.raises(UnsupportedError) as caught:
        import_graph(model(nodes, {"x": [4]}, constants={"s": [1.0]}), strict=True)
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        "  kir has no operator for ONNX's Magic (/a/Magic, /d/Magic)",
        "  kir has no operator for ONNX's SequenceMap (/c/SequenceMap)",
    ]
    assert caught.value.exit_code == 3


MALFORMED = {
    "too few inputs": ([node("Add", "x", "y")], "1 inputs"),
    "too many inputs": ([node("Relu", "x x", "y")], "2 inputs"),
    "an absent input": ([node("Concat", "x _ x", "y", axis=0)], "input 1 of Concat is absent"),
    "an attribute of another type": ([node("Concat", "x x", "y", axis=1.5)], "of type FLOAT; expected INT"),
    "an absent attribute": ([node("Concat", "x x", "y")], "lacks the attribute 'axis'"),
    "an unknown element type": ([node("Cast", "x", "y", to=999)], "999"),
    "an axis that is not there": ([node("Softmax", "x", "y", axis=3)], "axis=3"),
    "shapes that do not fit": ([node("Reshape", "x s", "y")], "leaves a size open"),
    "too many outputs": ([node("Relu", "x", "y z")], "2 outputs"),
    "a value that nothing gives": ([node("Relu", "nothing", "y")], "'nothing'"),
    "a cycle": ([node("Relu", "b", "y"), node("Relu", "y", "b")], "'b', which nothing before it gives"),
    "a name given twice": ([node("Relu", "x", "y"), node("Relu", "x", "y")], "'y', which is given before"),
    "a name that an input has": ([node("Relu", "x", "x")], "'x', which is given before"),
    "no output": ([node("Relu", "x", "z")], "the output 'y' is given by no node"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_models_are_refused(name: str) -> None:
    nodes, message = MALFORMED[name]
    with pytest.raises(FormatError, match=message):
        import_graph(model(nodes, {"x": [4]}, constants={"s": [3, -1]}))


def test_an_einsum_keeps_an_axis_that_only_a_reshape_gives_it() -> None:
    nodes = [node("Unsqueeze", "x axes", "wide"), node("Einsum", "wide", "y", equation="...i->...")]
    graph = import_graph(model(nodes, {"x": [2, 3]}, constants={"axes": [0]}))
    assert str(graph.outputs[0].output.type) == "f32[1, 2]"


def test_another_scale_is_no_dropout() -> None:
    nodes = [
        node("Mul", "x scale", "scaled"),
        node("RandomUniformLike", "x", "random"),
        node("Less", "random half", "kept"),
        node("Where", "kept scaled zero", "y"),
    ]
    constants = {"half": F32(0.5), "zero": F32(0), "scale": F32(2)}
    assert operators(model(nodes, X, constants=constants)) == ["Dropout(rate=0.5, noise_shape=(N, T, 4), seed=None)"]
    with pytest.raises(UnsupportedError):
        import_graph(model(nodes, X, constants={**constants, "scale": F32(3)}), strict=True)


def test_integers_are_folded_and_stay_values() -> None:
    nodes = [node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Add", "n one", "y")]
    given = model(nodes, [value("x", ["N"])], constants={"zero": np.int64(0), "one": np.int64(1)})
    assert operators(given) == ["Size(dim=N)", "Add"]


IMAGE: dict[str, list[Any]] = {"x": ["N", 2, "H", "W"]}
FILTERS = np.random.default_rng(1).normal(size=(4, 2, 3, 3)).astype(F32)
WINDOWS: dict[str, tuple[NodeProto, dict[str, list[Any]], int, str]] = {
    "conv without attributes": (
        node("Conv", "x k", "y"),
        IMAGE,
        11,
        "Conv(strides=(1, 1), dilations=(1, 1), groups=1, padding=(0, 0, 0, 0))",
    ),
    "conv of an old opset, valid": (
        node("Conv", "x k", "y", auto_pad="VALID", kernel_shape=[3, 3], strides=[2, 1]),
        IMAGE,
        7,
        "Conv(strides=(2, 1), dilations=(1, 1), groups=1, padding=(0, 0, 0, 0))",
    ),
    "conv with the upper same": (
        node("Conv", "x k", "y", auto_pad="SAME_UPPER", strides=[2, 2]),
        IMAGE,
        17,
        "Conv(strides=(2, 2), dilations=(1, 1), groups=1, padding='same')",
    ),
    "conv with the lower same of known sizes": (
        node("Conv", "x k", "y", auto_pad="SAME_LOWER", strides=[2, 2]),
        {"x": ["N", 2, 8, 7]},
        17,
        "Conv(strides=(2, 2), dilations=(1, 1), groups=1, padding=(1, 1, 0, 1))",
    ),
    "transposed with the upper same": (
        node("ConvTranspose", "x t", "y", auto_pad="SAME_UPPER", strides=[2, 2]),
        IMAGE,
        17,
        "ConvTranspose(strides=(2, 2), dilations=(1, 1), groups=1, padding=(0, 0, 1, 1), output_padding=(0, 0))",
    ),
    "transposed to a stated size": (
        node("ConvTranspose", "x t", "y", output_shape=[17, 12], strides=[2, 2]),
        {"x": ["N", 2, 8, 7]},
        17,
        "ConvTranspose(strides=(2, 2), dilations=(1, 1), groups=1, padding=(0, 2, 0, 1), output_padding=(0, 0))",
    ),
    "max pool of an old opset": (
        node("MaxPool", "x", "y", kernel_shape=[2, 3], pads=[1, 0, 0, 1], strides=[2, 2]),
        IMAGE,
        8,
        "MaxPool(kernel_shape=(2, 3), strides=(2, 2), dilations=(1, 1), padding=(1, 0, 0, 1), ceil_mode=False)",
    ),
    "max pool rounded up": (
        node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, storage_order=1),
        IMAGE,
        17,
        "MaxPool(kernel_shape=(3, 3), strides=(2, 2), dilations=(1, 1), padding=(0, 0, 0, 0), ceil_mode=True)",
    ),
    "average pool that counts the padding": (
        node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        IMAGE,
        17,
        "AveragePool(kernel_shape=(3, 3), strides=(1, 1), dilations=(1, 1), padding=(1, 1, 1, 1), ceil_mode=False, "
        "count_include_pad=True)",
    ),
    "global average pool": (node("GlobalAveragePool", "x", "y"), IMAGE, 17, "ReduceMean(axes=(2, 3), keepdims=True)"),
    "global max pool": (node("GlobalMaxPool", "x", "y"), IMAGE, 17, "ReduceMax(axes=(2, 3), keepdims=True)"),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_as_others_write_them(name: str) -> None:
    made, inputs, opset, expected = WINDOWS[name]
    given = model([made], inputs, constants={"k": FILTERS, "t": FILTERS.transpose(1, 0, 2, 3)}, opset=opset)
    assert operators(given) == [expected]
    assert_runs_alike(given, N=2, H=8, W=7)


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (node("Conv", "x k", "y", auto_pad="SAME_LOWER", strides=[2, 2]), UnsupportedError, "SAME_LOWER for unknown"),
        (node("Conv", "x k", "y", auto_pad="SAME"), FormatError, "auto_pad='SAME'; expected one of NOTSET"),
        (node("Conv", "x k", "y", kernel_shape=[2, 3]), FormatError, "kernel_shape=.2, 3. and a kernel of"),
        (node("Conv", "x k", "y", strides=[2]), FormatError, "strides=.2.; expected numbers of 1 or more"),
        (node("Conv", "x k", "y", dilations=[0, 1]), FormatError, "dilations=.0, 1.; expected"),
        (node("Conv", "x k", "y", pads=[1, 1]), FormatError, "4 numbers of 0 or more"),
        (node("MaxPool", "x", "y", strides=[1, 1]), FormatError, "lacks the attribute 'kernel_shape'"),
        (node("ConvTranspose", "x k", "y", output_padding=[1]), FormatError, "output_padding=.1.; expected 2 numbers"),
        (node("ConvTranspose", "x t", "y", output_shape=[9, 9]), UnsupportedError, "needs that of its input known"),
    ],
    ids=str,
)
def test_windows_that_cannot_be_read(made: NodeProto, error: type[Exception], message: str) -> None:
    constants = {"k": FILTERS, "t": FILTERS.transpose(1, 0, 2, 3)}
    with pytest.raises(error, match=message):
        import_graph(model([made], IMAGE, constants=constants), strict=True)
