"""Files: the bytes, how they get there, and what a failure leaves behind."""

from __future__ import annotations

import os
import re
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from kir.errors import FormatError, InvalidArgumentError
from kir.exporters.onnx_file import export_graph, to_model_proto, write
from kir.exporters.onnx_file.session import make_session, run_session
from kir.ir.graph import Graph
from kir.ir.structural import Input, Output
from kir.ir.types import DType, parse_type
from kir.ops.elementwise import Cast, Relu
from tests.exporters.onnx_file.graphs import Array, mlp, two_outputs, weight


def weights_graph(*arrays: Array) -> Graph:
    """Every array is an output."""
    graph = Graph("weights")
    for i, array in enumerate(arrays):
        graph.add(Output(f"y{i}"), weight(graph, array, f"w{i}"))
    return graph


ARRAYS: list[Array] = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.float64).reshape(2, 3).T,
    np.arange(20, dtype=np.int32)[::3],
    np.array(7, np.int64),
    np.zeros((0, 4), np.float16),
    np.array([True, False]),
    np.arange(4).astype(ml_dtypes.bfloat16),
    np.arange(5, dtype=">f4"),
    np.arange(3, dtype=np.uint8),
    np.array(["a", "ü", ""], object),
]


# The bytes


@pytest.mark.parametrize("graph", [mlp(), two_outputs(), weights_graph(*ARRAYS)], ids=lambda graph: graph.name)
def test_the_file_is_what_protobuf_would_write(graph: Graph, tmp_path: Path) -> None:
    report = export_graph(graph, tmp_path / "m.onnx")
    written = report.path.read_bytes()
    assert written == to_model_proto(graph).SerializeToString(deterministic=True)
    assert report.size_bytes == len(written)
    assert report.node_count == len(to_model_proto(graph).graph.node)
    onnx.checker.check_model(str(report.path), full_check=True)


def test_initializers_hold_the_values(tmp_path: Path) -> None:
    model = onnx.load(export_graph(weights_graph(*ARRAYS), tmp_path / "m.onnx").path)
    for tensor, array in zip(model.graph.initializer, ARRAYS, strict=True):
        if array.dtype == object:
            assert [item.decode() for item in tensor.string_data] == array.tolist()
        else:
            loaded = onnx.numpy_helper.to_array(tensor)
            np.testing.assert_array_equal(loaded, array.astype(loaded.dtype), strict=True)


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    metadata = {"license": "MIT", "author": "nobody"}
    for name in ("a.onnx", "b.onnx"):
        export_graph(mlp(), tmp_path / name, metadata=metadata)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    model = onnx.load(tmp_path / "a.onnx")
    assert {entry.key: entry.value for entry in model.metadata_props} == metadata


def test_given_metadata_wins_over_that_of_the_graph(tmp_path: Path) -> None:
    graph = mlp()
    graph.metadata = {"a": "graph", "b": "graph"}
    model = onnx.load(export_graph(graph, tmp_path / "m.onnx", metadata={"b": "given"}).path)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"a": "graph", "b": "given"}


@pytest.mark.parametrize("contiguous", [True, False])
def test_arrays_are_written_in_chunks(contiguous: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "CHUNK_BYTES", 16)
    array = np.arange(35, dtype=np.float32).reshape(5, 7)
    chunks = [bytes(chunk) for chunk in write.chunks(array if contiguous else np.asfortranarray(array))]
    assert b"".join(chunks) == array.tobytes()
    assert max(map(len, chunks)) == 16


def test_memory_does_not_grow_with_memory_mapped_weights(tmp_path: Path) -> None:
    kernels: list[Array] = []
    for i in range(3):
        kernel = np.lib.format.open_memmap(tmp_path / f"{i}.npy", "w+", np.float32, (2048, 2048))
        kernel[0] = i + 1
        kernels.append(kernel)
    graph = mlp(kernels)
    tracemalloc.start()
    try:
        report = export_graph(graph, tmp_path / "m.onnx")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.size_bytes > 3 * 2048 * 2048 * 4
    assert peak < 4_000_000
    x = np.zeros((1, 2048), np.float32)
    assert run_session(make_session(report.path), {"features": x})["scores"].shape == (1, 2048)


# External data


def test_external_data_loads_and_computes_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    graph = mlp([random.normal(size=shape).astype(np.float32) for shape in ((30, 300), (300, 50))])
    inline = export_graph(graph, tmp_path / "inline.onnx", external_data="no")
    report = export_graph(graph, tmp_path / "m.onnx", external_data="yes")
    assert inline.data_path is None
    assert report.data_path is not None
    assert re.fullmatch(r"m\.onnx\.[0-9a-f]{16}\.data", report.data_path.name)
    assert report.size_bytes == report.path.stat().st_size + report.data_path.stat().st_size
    onnx.checker.check_model(str(report.path), full_check=True)
    feeds = {"features": random.normal(size=(4, 30)).astype(np.float32)}
    expected = run_session(make_session(inline.path), feeds)
    result = run_session(make_session(report.path), feeds)
    np.testing.assert_array_equal(result["scores"], expected["scores"])


def test_large_weights_are_outside_on_pages_and_small_ones_inside(tmp_path: Path) -> None:
    arrays = [np.full(size, size, np.float32) for size in (300, 255, 2000, 256)]
    report = export_graph(weights_graph(*arrays), tmp_path / "m.onnx", external_data="yes")
    tensors = onnx.load(report.path, load_external_data=False).graph.initializer
    described = [{entry.key: entry.value for entry in tensor.external_data} for tensor in tensors]
    assert report.data_path is not None
    location = report.data_path.name
    assert described == [
        {"location": location, "offset": "0", "length": "1200"},
        {},
        {"location": location, "offset": "4096", "length": "8000"},
        {"location": location, "offset": "12288", "length": "1024"},
    ]
    for tensor, array in zip(onnx.load(report.path).graph.initializer, arrays, strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), array)


def test_auto_chooses_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = weights_graph(np.zeros(1000, np.float32))
    assert export_graph(graph, tmp_path / "m.onnx").data_path is None
    monkeypatch.setattr(write, "MAX_INLINE_BYTES", 3999)
    data = export_graph(graph, tmp_path / "m.onnx").data_path
    assert data is not None
    assert data.stat().st_size == 4000


def test_a_model_beyond_protobuf_is_refused_inline(tmp_path: Path) -> None:
    huge = np.broadcast_to(np.float32(0), (1 << 29, 1))
    with pytest.raises(FormatError, match=r"2 GiB.*--external-data yes"):
        export_graph(weights_graph(huge), tmp_path / "m.onnx", external_data="no")
    assert not list(tmp_path.iterdir())


def test_nothing_to_put_outside_makes_no_data_file(tmp_path: Path) -> None:
    assert export_graph(mlp(), tmp_path / "m.onnx", external_data="yes").data_path is None
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="external_data='maybe'; expected one of auto, yes, no"):
        export_graph(mlp(), tmp_path / "m.onnx", external_data="maybe")


# Failures


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def big() -> Graph:
    return mlp([np.ones((40, 40), np.float32)])


@pytest.mark.parametrize("external_data", ["yes", "no"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_a_failure_while_writing_leaves_what_was_there(
    error: type[BaseException], external_data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_graph(big(), tmp_path / "m.onnx", external_data=external_data)
    before = contents(tmp_path)

    def fail(array: Array) -> Iterator[bytes]:
        yield b"half"
        raise error("no space left on device")

    monkeypatch.setattr(write, "chunks", fail)
    with pytest.raises(FormatError if error is OSError else error, match="no space left"):
        export_graph(big(), tmp_path / "m.onnx", external_data=external_data)
    assert contents(tmp_path) == before


def test_a_failure_of_the_first_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*paths: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_graph(big(), tmp_path / "m.onnx", external_data="yes")
    assert not list(tmp_path.iterdir())


def test_a_model_with_data_replaces_another(tmp_path: Path) -> None:
    for value in (0, 1):
        kernel = np.full((40, 40), value, np.float32)
        report = export_graph(mlp([kernel]), tmp_path / "m.onnx", external_data="yes")
    assert set(tmp_path.iterdir()) == {report.path, report.data_path}
    result = run_session(make_session(report.path), {"features": np.ones((1, 40), np.float32)})
    np.testing.assert_array_equal(result["scores"], [40 + np.arange(40)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", "it is a folder"), ("absent/m.onnx", "there is no folder .*absent; create it"), ("f/m.onnx", "no folder")],
)
def test_an_impossible_target_is_refused(name: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a file")
    with pytest.raises(FormatError, match=expected):
        export_graph(mlp(), tmp_path / name)
    assert list(contents(tmp_path)) == ["f"]


def test_a_folder_in_the_place_of_the_data_is_refused(tmp_path: Path) -> None:
    report = export_graph(big(), tmp_path / "m.onnx", external_data="yes")
    assert report.data_path is not None
    report.path.unlink()
    report.data_path.unlink()
    report.data_path.mkdir()
    with pytest.raises(FormatError, match=rf"{report.data_path.name}: it is a folder"):
        export_graph(big(), tmp_path / "m.onnx", external_data="yes")
    assert list(tmp_path.iterdir()) == [report.data_path]


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="a device or a pipe"):
        export_graph(mlp(), tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.onnx").write_bytes(b"old")
    (tmp_path / "link.onnx").symlink_to("real.onnx")
    export_graph(mlp(), tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink()
    onnx.checker.check_model(str(tmp_path / "real.onnx"))


def test_the_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    export_graph(mlp(), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.slow
def test_many_nodes(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"))).output
    for _ in range(20_000):
        x = graph.add(Relu(), x).output
    graph.add(Output("y"), x)
    assert export_graph(graph, tmp_path / "m.onnx").node_count == 20_000


def test_a_bfloat16_model_runs(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[n]"))).output
    graph.add(Output("y"), graph.add(Cast(DType.BFLOAT16), x).output)
    report = export_graph(graph, tmp_path / "m.onnx")
    result = run_session(make_session(report.path), {"x": np.array([1.001, -3], np.float32)})["y"]
    np.testing.assert_array_equal(result, np.array([1, -3], ml_dtypes.bfloat16), strict=True)
