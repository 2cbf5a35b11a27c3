"""Reading files, which are untrusted: damaged ones, and weights in other files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto

from kir.errors import FormatError, KirError, UnsupportedError
from kir.exporters.onnx_file import export_graph, to_model_proto
from kir.importers.onnx_file import import_graph
from kir.importers.onnx_file.reading import read_tensor
from kir.ir.graph import Graph
from kir.ir.structural import Constant
from kir.support.mapped_files import is_mapped
from tests.exporters.onnx_file.graphs import mlp
from tests.importers.onnx_file.models import model, node, value


def weights_of(graph: Graph) -> list[Any]:
    return [n.op.value.array for n in graph.order() if isinstance(n.op, Constant)]


def saved(folder: Path, location: str) -> Path:
    """Return a model whose weights are said to lie in `location`."""
    report = export_graph(mlp([np.ones((40, 30), np.float32)]), folder / "model.onnx", external_data="yes")
    proto = ModelProto.FromString(report.path.read_bytes())
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    report.path.write_bytes(proto.SerializeToString())
    return report.path


def test_external_weights_stay_on_disk(tmp_path: Path) -> None:
    graph = mlp([np.ones((40, 30), np.float32)])
    report = export_graph(graph, tmp_path / "model.onnx", external_data="yes")
    imported = import_graph(report.path)
    kernel, bias = weights_of(imported)
    assert is_mapped(kernel)
    assert not is_mapped(bias)
    again = export_graph(imported, tmp_path / "again.onnx", external_data="yes")
    assert again.data_path is not None
    assert report.data_path is not None
    assert again.data_path.read_bytes() == report.data_path.read_bytes()


@pytest.mark.parametrize(
    "location", ["", "..", "../model.onnx.data", "/etc/passwd", "C:\\data", "a/../../b", "\\data", "missing", "."]
)
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "inside").mkdir()
    with pytest.raises(FormatError, match="external data"):
        import_graph(saved(tmp_path / "inside", location))


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret").write_bytes(bytes(100_000))
    os.symlink(tmp_path / "secret", tmp_path / "inside" / "data")
    with pytest.raises(FormatError, match="links out of the model's folder"):
        import_graph(saved(tmp_path / "inside", "data"))


def test_weights_in_a_folder_below_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path, "weights/data")
    (tmp_path / "weights").mkdir()
    [data] = tmp_path.glob("model.onnx.*.data")
    data.rename(tmp_path / "weights" / "data")
    assert weights_of(import_graph(path))[0].sum() == 1200


def test_external_data_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "model.onnx.data")
    (tmp_path / "model.onnx.data").write_bytes(bytes(10))
    with pytest.raises(FormatError, match="expected 4800 bytes inside the file"):
        import_graph(path)


def test_external_data_of_a_model_in_memory_is_refused(tmp_path: Path) -> None:
    proto = ModelProto.FromString(saved(tmp_path, "model.onnx.data").read_bytes())
    with pytest.raises(FormatError, match="give its path"):
        import_graph(proto)


@pytest.mark.parametrize("content", [b"", b"no protobuf", b"\x0a\xff\xff\xff\xff\x0f"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(FormatError, match="not an ONNX"):
        import_graph(tmp_path / "model.onnx")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no file"):
        import_graph(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": [1 << 40], "data_type": 1, "raw_data": b"1234"}, "4 bytes"),
        ({"dims": [1 << 40], "data_type": 1, "float_data": [1.0]}, "cannot be read"),
        ({"dims": [-1], "data_type": 1, "float_data": [1.0]}, "sizes of 0 or more"),
        ({"dims": [1] * 40, "data_type": 1, "float_data": [1.0]}, "at most 32 sizes"),
        ({"dims": [1], "data_type": 8, "string_data": [b"\xff"]}, "cannot be read"),
        ({"dims": [1], "data_type": 99}, "99"),
    ],
)
def test_malformed_tensors_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_tensor(TensorProto(name="t", **fields), None)


def test_element_types_that_kir_has_not() -> None:
    with pytest.raises(UnsupportedError, match="complex64"):
        read_tensor(TensorProto(name="t", dims=[0], data_type=TensorProto.COMPLEX64), None)


def test_strings() -> None:
    tensor = TensorProto(name="t", dims=[2, 1], data_type=TensorProto.STRING, string_data=["ä".encode(), b""])
    assert read_tensor(tensor, None).tolist() == [["ä"], [""]]


def test_a_domain_that_is_not_imported() -> None:
    given = model([node("Relu", "x", "y")], {"x": [4]})
    given.opset_import[0].domain = "com.example"
    with pytest.raises(FormatError, match=r"does not import the domain ai\.onnx"):
        import_graph(given)


@given(st.data())
@settings(max_examples=150)
def test_damaged_files_raise_errors_of_kir_only(data: st.DataObject) -> None:
    content = bytearray(to_model_proto(mlp()).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        damaged = ModelProto.FromString(bytes(content[: data.draw(st.integers(1, len(content)))]))
    except DecodeError:  # its refusal is tested above
        return
    with suppress(KirError):
        import_graph(damaged).check()


def test_a_model_without_outputs_of_its_own() -> None:
    graph = import_graph(model([], [value("x", [2])], "x"))
    assert [n.op.name for n in graph.order()] == ["Input", "Output"]
