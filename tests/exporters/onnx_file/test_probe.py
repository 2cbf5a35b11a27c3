"""External data lies in a regular file of the model's own folder, or is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, helper

from kir.errors import FormatError
from kir.exporters.onnx_file.probe import require_inside
from kir.importers.onnx_file import import_graph


def write(folder: Path, **entries: Any) -> Path:
    """Return a model whose only weight, 4 x 4 floats, lies where the entries say; beside it is d.bin, of 64 bytes."""
    tensor = TensorProto(name="w", data_type=1, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [tensor])
    (folder / "d.bin").write_bytes(np.eye(4, dtype=np.float32).tobytes())
    (folder / "model.onnx").write_bytes(helper.make_model(graph, ir_version=10).SerializeToString())
    return folder / "model.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(64))
    (folder / "inside.bin").symlink_to("d.bin")
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "zero.bin").symlink_to("/dev/zero")
    (folder / "loop.bin").symlink_to("loop.bin")
    (folder / "folder.bin").mkdir()
    os.mkfifo(folder / "pipe.bin")
    return folder


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "d.bin"},
        {"location": "inside.bin"},
        {"location": "./d.bin", "offset": 0, "length": 64},
    ],
)
def test_data_inside_the_folder_is_read(entries: dict[str, Any], folder: Path) -> None:
    graph = import_graph(write(folder, **entries))
    assert [array.tolist() for array in graph.constant_arrays()] == [np.eye(4).tolist()]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "expected a file in the model's own folder"),
        ({"location": ""}, "expected a file in the model's own folder"),
        ({"location": "/etc/passwd"}, "expected a file in the model's own folder"),
        ({"location": "../outside.bin"}, "expected a file in the model's own folder"),
        ({"location": r"..\outside.bin"}, "expected a file in the model's own folder"),
        ({"location": r"C:\outside.bin"}, "expected a file in the model's own folder"),
        ({"location": "d.bin\0"}, "expected a file in the model's own folder"),
        ({"location": "link.bin"}, "links out of the model's folder"),
        ({"location": "zero.bin"}, "links out of the model's folder"),
        ({"location": "loop.bin"}, "put that file beside the model"),
        ({"location": "absent.bin"}, "put that file beside the model"),
        ({"location": "a" * 5000}, "put that file beside the model"),
        ({"location": "pipe.bin"}, "no regular file"),
        ({"location": "folder.bin"}, "no regular file"),
        ({"location": "d.bin", "offset": -4}, "expected a number of at least 0"),
        ({"location": "d.bin", "offset": "x"}, "expected a number of at least 0"),
        ({"location": "d.bin", "offset": "٣"}, "expected a number of at least 0"),
        ({"location": "d.bin", "offset": 1 << 70}, "expected a number of at least 0"),
        ({"location": "d.bin", "length": -64}, "expected a number of at least 0"),
        ({"location": "d.bin", "offset": 60}, "expected 64 bytes inside the file"),
        ({"location": "d.bin", "offset": 65}, "inside the file"),
        ({"location": "d.bin", "length": 1 << 40}, "inside the file"),
        ({"location": "d.bin", "length": 32}, "expected 64 bytes"),
    ],
)
def test_all_other_data_is_refused(entries: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(FormatError, match=message):
        import_graph(write(folder, **entries))


def in_initializer(tensor: TensorProto) -> GraphProto:
    return GraphProto(initializer=[tensor])


def in_sparse_initializer(tensor: TensorProto) -> GraphProto:
    return GraphProto(sparse_initializer=[SparseTensorProto(values=tensor)])


def in_attribute(tensor: TensorProto) -> GraphProto:
    return GraphProto(node=[helper.make_node("Constant", [], ["w"], value=tensor)])


def in_sparse_attribute(tensor: TensorProto) -> GraphProto:
    sparse = SparseTensorProto(values=TensorProto(data_type=1), indices=tensor)
    return GraphProto(node=[helper.make_node("Constant", [], ["w"], sparse_value=sparse)])


PLACES = (in_initializer, in_sparse_initializer, in_attribute, in_sparse_attribute)


@pytest.mark.parametrize("is_inner", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_data_of_no_tensor_may_lie_outside(place: Callable[..., GraphProto], is_inner: bool, folder: Path) -> None:
    tensor = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../outside.bin")
    graph = place(tensor)
    if is_inner:
        graph = GraphProto(node=[helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=GraphProto())])
    with pytest.raises(FormatError, match="expected a file in the model's own folder"):
        require_inside(ModelProto(graph=graph), folder)
