"""The content of files: what is parsed, and where the elements of each weight lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from kir.errors import FormatError
from kir.exporters.onnx_file.content import MAX_PARSED_BYTES, read_content
from kir.support.protobuf import field_head

SMALL, LARGE = np.arange(6, dtype=np.float32), np.arange(MAX_PARSED_BYTES, dtype=np.int16)


def model(*tensors: TensorProto) -> ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [output], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_everything_but_the_initializers_is_parsed() -> None:
    whole = model(numpy_helper.from_array(SMALL, "small"), numpy_helper.from_array(LARGE, "large"))
    content = read_content(whole.SerializeToString())
    del whole.graph.initializer[:]
    assert content.model == whole
    assert [tensor.head.name for tensor in content.initializers] == ["small", "large"]


@pytest.mark.parametrize("array", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("typed", [False, True], ids=["raw", "typed"])
def test_elements_of_inline_tensors(array: np.ndarray, typed: bool) -> None:
    tensor = numpy_helper.from_array(array, "w")
    if typed:
        tensor = helper.make_tensor("w", helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array.tolist())
    (stored,) = read_content(model(tensor).SerializeToString()).initializers
    assert stored.shape == array.shape
    assert stored.elements() == array.tobytes()


@pytest.mark.parametrize("length", [True, False])
def test_elements_of_external_tensors(tmp_path: Path, length: bool) -> None:
    (tmp_path / "w.data").write_bytes(bytes(40) + LARGE.tobytes() + bytes(7))
    tensor = TensorProto(name="w", data_type=TensorProto.INT16, dims=LARGE.shape, data_location=TensorProto.EXTERNAL)
    entries = {"location": "w.data", "offset": 40} | ({"length": LARGE.nbytes} if length else {})
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    onnx.save(model(tensor), tmp_path / "m.onnx")
    (stored,) = read_content(tmp_path / "m.onnx").initializers
    assert stored.elements() == LARGE.tobytes()
    with pytest.raises(FormatError, match="not given as one"):
        read_content(model(tensor).SerializeToString()).initializers[0].elements()


def test_of_several_raw_data_fields_the_last_one_counts() -> None:
    twice = b"".join(numpy_helper.from_array(LARGE + index).SerializeToString() for index in range(2))
    graph = field_head(GraphProto, "initializer", len(twice)) + twice
    (stored,) = read_content(field_head(ModelProto, "graph", len(graph)) + graph).initializers
    assert stored.elements() == (LARGE + 1).tobytes() == TensorProto.FromString(twice).raw_data


@pytest.mark.parametrize("content", [b"", b"not protobuf at all", model().SerializeToString()[:-3]])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(FormatError, match="not an ONNX file"):
        read_content(tmp_path / "m.onnx")
