"""Files of other exporters, which name operators and no layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from kir.exporters.pipeline import SourceFile
from kir.exporters.script import export_script
from kir.importers.onnx_file import import_graph
from kir.importers.script import load_script
from tests.exporters.script.round_trip import complaints


def node(op_type: str, inputs: str, output: str, name: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], name=name, **attributes)


def foreign(path: Path) -> Path:
    """Return two exporters' ways of naming a Dense, a branch, and operators that are no layer."""
    random = np.random.default_rng(0)
    shapes = {"fc1.weight": (8, 4), "fc1.bias": (8,), "fc2.weight": (5, 8), "k": (13, 3), "kb": (3,)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["two"] = np.array(2, np.float32)
    nodes = [
        node("Gemm", "x fc1.weight fc1.bias", "a", "/fc1/Gemm", transB=1),
        node("Relu", "a", "b", "/Relu"),
        node("Gemm", "b fc2.weight", "c", "/fc2/Gemm", transB=1),
        node("Concat", "c b", "d", "/Concat", axis=1),
        node("MatMul", "d k", "e", "sequential/dense/MatMul"),
        node("Add", "e kb", "f", "sequential/dense/BiasAdd"),
        node("Tanh", "f", "g", "sequential/dense/Tanh"),
        node("Erf", "g", "h", "/strange/Erf"),
        node("Mul", "h two", "y", "/strange/Mul"),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("x", 1, ["N", 4])],
        [helper.make_tensor_value_info("y", 1, ["N", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_operators_become_layers_again(tmp_path: Path) -> None:
    source = foreign(tmp_path / "foreign.onnx")
    report = export_script(import_graph(source), tmp_path / "m.py", source=SourceFile(source), load=load_script)
    assert report.source is not None
    assert report.source.passed
    text = (tmp_path / "m.py").read_text()
    for line in (
        'fc1 = Dense(8, name="fc1")(x)',
        'relu = Activation("relu", name="Relu")(fc1)',
        'fc2 = Dense(5, use_bias=False, name="fc2")(relu)',
        'concat = Concatenate(name="Concat")([fc2, relu])',
        'sequential_dense = Dense(3, activation="tanh", name="sequential/dense")(concat)',
        "    return erf * 2.0",
        'strange = Lambda(compute_strange, name="strange")(sequential_dense)',
    ):
        assert line in text
    assert complaints([tmp_path / "m.py"]) == ""


def images(path: Path) -> Path:
    """Return a network of images, with the channels in front and the statistics of a BatchNormalization as inputs."""
    random = np.random.default_rng(0)
    shapes = {"k": (4, 3, 3, 3), "b": (4,), "d": (4, 1, 3, 3), "s": (4,), "t": (4,), "m": (4,), "v": (4,)}
    weights = {name: random.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}
    nodes = [
        node("Conv", "x k b", "a", "/conv/Conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Clip", "a zero six", "c", "/act/Clip"),
        node("MaxPool", "c", "p", "/pool/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        node("BatchNormalization", "p s t m v", "n", "/bn/BatchNormalization", epsilon=1e-3),
        node("Conv", "n d", "f", "/depthwise/Conv", kernel_shape=[3, 3], strides=[2, 2], group=4),
        node("LeakyRelu", "f", "l", "/leaky/LeakyRelu", alpha=0.1),
        node("GlobalAveragePool", "l", "y", "/mean/GlobalAveragePool"),
    ]
    graph = helper.make_graph(
        nodes,
        "images",
        [helper.make_tensor_value_info("x", 1, ["N", 3, 12, 12])],
        [helper.make_tensor_value_info("y", 1, ["N", 4, 1, 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_operators_of_images_become_layers_again(tmp_path: Path) -> None:
    source = images(tmp_path / "images.onnx")
    report = export_script(import_graph(source), tmp_path / "m.py", source=SourceFile(source), load=load_script)
    assert report.source is not None
    assert report.source.passed
    found = [type(layer).__name__ for layer in load_script(tmp_path / "m.py").layers]
    text = (tmp_path / "m.py").read_text()
    kinds = ["Conv2D", "ReLU", "MaxPooling2D", "BatchNormalization", "DepthwiseConv2D", "LeakyReLU"]
    assert found == [*kinds, "GlobalAveragePooling2D"], text
    assert complaints([tmp_path / "m.py"]) == ""
