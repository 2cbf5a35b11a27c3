"""Types of values, found by running a model."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from kir.errors import FormatError
from kir.exporters.onnx_file.observe import observe_types
from tests.importers.onnx_file.models import model, node


def test_types_of_a_run() -> None:
    """Onnxruntime infers sizes, and that y is a scalar shows when it runs."""
    nodes = [
        node("FusedMatMul", "x w", "m", domain="com.microsoft"),
        node("SplitToSequence", "x", "q"),
        node("SequenceLength", "q", "y"),
    ]
    given = model(nodes, {"x": ["N", 2]}, constants={"w": np.ones((2, 3), np.float32)}, domains={"com.microsoft": 1})
    assert observe_types(given.SerializeToString(), None, ["m", "q", "y"]) == {
        "m": "tensor(float)[N,3]",
        "q": "seq(tensor(float))",
        "y": "tensor(int64)[]",
    }


def test_a_model_that_cannot_be_fed_is_not_run() -> None:
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
    given = model([node("ConcatFromSequence", "x", "y", axis=0), node("Neg", "y", "z")], [sequence], "z")
    assert observe_types(given.SerializeToString(), None, ["y"]) == {"y": "tensor(float)"}


def test_a_model_that_cannot_be_loaded() -> None:
    given = model([node("Magic", "x", "y", domain="com.example")], {"x": [2]}, domains={"com.example": 1})
    with pytest.raises(FormatError, match="cannot load"):
        observe_types(given.SerializeToString(), None, ["y"])
