"""Nodes of TensorFlow's graphs in Keras 2's files: as protobuf's JSON and as text, with constants."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from kir.errors import FormatError, UnsupportedError
from kir.importers.keras_file import model_from_config, node_defs
from kir.importers.tensorflow_functions.signatures import FUNCTIONS
from tests.importers.keras_file.test_recorded import X, functional, run

# What protobuf writes for Mean with keep_dims, read as UTF-8.
MEAN = (
    "\n\x04Mean\x12\x04Mean\x1a\x0bPlaceholder\x1a\x05Const*\n\n\x04Tidx\x12\x020\x03*\x0f\n\tkeep_dims\x12\x02(\x01"
    "*\x07\n\x01T\x12\x020\x01"
)


def node(operation: Any, constants: Any = None, inputs: int = 1, **attributes: Any) -> Any:
    """Return the config of a model of one node, whose inputs that are no constants are all "x"."""
    given = operation if not isinstance(operation, str) or "\n" in operation else {"op": operation, "attr": attributes}
    config = {"name": "node", "trainable": True, "dtype": "float32", "node_def": given, "constants": constants}
    layer = {"class_name": "TensorFlowOpLayer", "name": "tf_op_layer_node", "config": config}
    return functional(layer | {"inbound_nodes": [[["x", 0, 0, {}]] * inputs]})


ROWS = {
    "AddV2": (node("AddV2", {"1": 2.5}), X + 2.5),
    "Sub": (node("Sub", {"0": 1.0}), 1 - X),
    "Mul of two": (node("Mul", inputs=2), X * X),
    "Mean": (node("Mean", {"1": [1]}, keep_dims={"b": True}), X.mean(1, keepdims=True)),
    "Mean as text": (
        node(MEAN, {"1": {"class_name": "__numpy__", "config": {"value": [1], "dtype": "int32"}}}),
        X.mean(1, keepdims=True),
    ),
    "ConcatV2": (node("ConcatV2", {"2": 1}, inputs=2, N={"i": "2"}), np.concatenate([X, X], 1)),
    "Reshape": (node("Reshape", {"1": [-1, 2]}), X.reshape(-1, 2)),
    "Cast": (node("Cast", DstT={"type": "DT_INT32"}), X.astype(np.int32)),
    "Cast to half": (node("Cast", DstT={"type": "DT_HALF"}), X.astype(np.float16)),
    "LeakyRelu": (node("LeakyRelu", alpha={"f": 0.5}), np.where(X > 0, X, X / 2)),
    "StridedSlice": (
        node("StridedSlice", {"1": [0, 1], "2": [0, 3], "3": [1, 1]}, begin_mask={"i": "1"}, end_mask={"i": "1"}),
        X[:, 1:3],
    ),
    "ExpandDims": (node("ExpandDims", {"1": -1}), X[..., None]),
    "Squeeze": (node("Squeeze", squeeze_dims={"list": {"i": []}}), X),
    "Pad": (node("Pad", {"1": [[0, 0], [1, 2]]}), np.pad(X, ((0, 0), (1, 2)))),
    "MirrorPad": (
        node("MirrorPad", {"1": [[0, 0], [1, 2]]}, mode={"s": "UkVGTEVDVA=="}),
        np.pad(X, ((0, 0), (1, 2)), "reflect"),
    ),
    "Tile": (node("Tile", {"1": [1, 2]}), np.tile(X, (1, 2))),
    "Split": (node("Split", {"0": 1}, num_split={"i": "2"}), X[:, :2]),
    "Pack": (node("Pack", inputs=2, axis={"i": "1"}), np.stack([X, X], 1)),
    "MatMul": (node("MatMul", {"1": np.eye(4).tolist()}, transpose_b={"b": True}), X),
    "Einsum": (node("Einsum", inputs=2, equation={"s": "YWIsYWItPmE="}), (X * X).sum(1)),
    "Transpose": (node("Transpose", {"1": [1, 0]}), X.T),
    "Softmax": (node("Softmax"), np.exp(X) / np.exp(X).sum(1, keepdims=True)),
    "TopKV2": (node("TopKV2", {"1": 2}, sorted={"b": True}), np.sort(X)[:, :-3:-1]),
}


@pytest.mark.parametrize("name", ROWS)
def test_operation(name: str) -> None:
    config, wanted = ROWS[name]
    got = run(config, X)
    assert got.dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(got, wanted, 1e-6)


def test_wire_format() -> None:
    # Of an attribute: a list of integers, packed and not, a negative integer, a float, text.
    message = b"\x12\x04Pool" + b"".join(
        b"*" + bytes([len(entry)]) + entry
        for entry in (
            b"\x0a\x01a\x12\x06\x0a\x04\x1a\x02\x01\x02",
            b"\x0a\x01b\x12\x06\x0a\x04\x18\x03\x18\x04",
            b"\x0a\x01c\x12\x0b\x18" + b"\xff" * 9 + b"\x01",
            b"\x0a\x01d\x12\x05\x25\x00\x00\x80\x3f",
            b"\x0a\x01e\x12\x06\x12\x04SAME",
        )
    )
    assert node_defs._parse_node(message) == ("Pool", {"a": [1, 2], "b": [3, 4], "c": -1, "d": 1.0, "e": "SAME"})


def test_every_operation_is_a_function_of_kir() -> None:
    for operation, (path, *words) in node_defs._OPERATIONS.items():
        assert path in FUNCTIONS, operation
        assert all(re.fullmatch(r"\*?\w+(=\w+)?", word) for word in words)


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(UnsupportedError, match="operation Svd"):
        model_from_config(node("Svd"))


@pytest.mark.parametrize("given", [None, 3, {}, "\n\xff", "\n\x7fabc"])
def test_damaged_nodes_are_refused(given: Any) -> None:
    with pytest.raises((FormatError, UnsupportedError)):
        model_from_config(node(given))


@pytest.mark.parametrize("constants", [[1], {"a": 1}])
def test_constants_must_be_numbered(constants: Any) -> None:
    with pytest.raises(FormatError, match="not numbered"):
        model_from_config(node("AddV2", constants))
