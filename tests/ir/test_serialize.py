"""Graphs as files: nothing is lost on the way, and no file does harm."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kir.errors import FormatError
from kir.ir.dims import symbol
from kir.ir.graph import Graph, Origin
from kir.ir.serialize import load_graph, save_graph
from kir.ir.structural import Constant, Data, Input, Output, constant
from kir.ir.types import DType, parse_type
from kir.ops.elementwise import Cast, Celu, Elu, LeakyRelu, Relu
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.random import Dropout
from kir.ops.shape import Concat, Reshape, Slice, Split
from tests.ops.cases import Case, all_cases

Structure = dict[str, Any]


def make_graph() -> Graph:
    """Return all kinds of attributes and inputs in one graph."""
    graph = Graph("Würfel\ud800")
    graph.metadata = {"source": "model.py", "author": "Ä\n"}
    x = graph.add(Input("x", parse_type("f32[batch, 2*length]"))).output
    rate = graph.add(Input("training", parse_type("bool[]"), Data(np.array(False)))).output
    flat = graph.add(Reshape((symbol("batch") * symbol("length"), 2)), x, origin=Origin("model/flat", "Flatten")).output
    kernel = graph.add(constant(np.arange(6, dtype=np.float32).reshape(2, 3), "dense/kernel")).output
    dense = graph.add(Dense(Elu(0.1)), flat, kernel, None, origin=Origin("model/dense", "Dense")).output
    dropped = graph.add(Dropout(0.5, (symbol("length") // 2 * 0 + 1, 3), 7), dense, rate).output
    head, tail = graph.add(Split(1, (1, 2)), dropped).outputs
    graph.add(Output("y"), graph.add(Concat(1), tail, head, tail).output)
    graph.add(Output("half"), graph.add(Cast(DType.BFLOAT16), dense).output)
    graph.add(Output("words"), graph.add(constant(np.array([["a", "ß"], ["", "\0"]]), "words")).output)
    return graph


def round_trip(graph: Graph, folder: Path) -> Graph:
    save_graph(graph, folder / "graph.kir")
    return load_graph(folder / "graph.kir")


def assert_round_trip(graph: Graph, folder: Path) -> None:
    again = round_trip(graph, folder)
    assert str(again) == str(graph)
    save_graph(again, folder / "again.kir")
    assert (folder / "again.kir").read_bytes() == (folder / "graph.kir").read_bytes()


def test_everything_is_read_back(tmp_path: Path) -> None:
    graph = make_graph()
    assert_round_trip(graph, tmp_path)
    again = round_trip(graph, tmp_path)
    assert (again.name, again.metadata) == (graph.name, graph.metadata)
    for node, expected in zip(again.order(), graph.order(), strict=True):
        assert (node.op, node.origin) == (expected.op, expected.origin)
        assert [value.type for value in node.outputs] == [value.type for value in expected.outputs]


@pytest.mark.parametrize("case", all_cases()[::7], ids=str)
def test_every_kind_of_operator_is_read_back(case: Case, tmp_path: Path) -> None:
    assert_round_trip(case.graph(), tmp_path)


ARRAYS: dict[str, Any] = {
    **{
        dtype.value: np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype.numpy)
        for dtype in DType
        if dtype is not DType.STRING
    },
    "strings": np.array([["a", "ß\n"], ["\ud800", ""]], object),
    "scalar": np.array(3, np.int8),
    "scalar string": np.array("x", object),
    "empty": np.zeros((2, 0, 3), np.float32),
    "no strings": np.zeros((0, 3), object),
    "special": np.array([np.nan, np.inf, -np.inf, -0.0]),
    "bfloat16 special": np.array([np.nan, np.inf, 3e38], ml_dtypes.bfloat16),
    "transposed": np.arange(6).reshape(2, 3).T,
    "strided": np.arange(10, dtype=np.float16)[::-3],
    "big-endian": np.arange(3, dtype=">f4"),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_an_array_is_read_back(array: np.ndarray[Any, Any], tmp_path: Path) -> None:
    graph = Graph()
    graph.add(Output("y"), graph.add(Constant(Data(array), "label")).output)
    op = round_trip(graph, tmp_path).nodes()[0].op
    assert isinstance(op, Constant)
    assert op.label == "label"
    assert op.value.array.dtype == array.dtype.newbyteorder("=")
    assert op.value.array.shape == array.shape
    assert op.value.array.astype(object).tolist() == array.tolist() or np.isnan(array.astype(float)).any()
    if array.dtype != object:
        assert op.value.array.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


NUMBERS = [0.1, -0.0, 1e-320, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), 3]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_read_back(number: float, tmp_path: Path) -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"))).output
    graph.add(Output("y"), graph.add(LeakyRelu(number), x).output)
    (op,) = (node.op for node in round_trip(graph, tmp_path).order() if isinstance(node.op, LeakyRelu))
    assert repr(op.alpha) == repr(number)


def test_an_array_that_is_used_twice_is_stored_once(tmp_path: Path) -> None:
    graph, array = Graph(), np.arange(2000)
    for name in "ab":
        graph.add(Output(name), graph.add(constant(array, name)).output)
    again = round_trip(graph, tmp_path)
    assert zipfile.ZipFile(tmp_path / "graph.kir").namelist() == ["arrays/0.npy", "graph.json"]
    first, second = (node.op for node in again.nodes() if isinstance(node.op, Constant))
    assert first == second


def test_dead_nodes_are_not_saved(tmp_path: Path) -> None:
    graph = make_graph()
    graph.add(Relu(), graph.inputs[0].output)
    assert len(round_trip(graph, tmp_path).nodes()) == len(graph.nodes()) - 1


def test_the_structure_can_be_read_by_people(tmp_path: Path) -> None:
    graph = Graph("small")
    x = graph.add(Input("x", parse_type("f32[batch, 3]"))).output
    soft = graph.add(Softmax(1), x, origin=Origin("soft", "Softmax")).output
    cut = graph.add(Slice((0,), (0,), (symbol("batch"),), (1,)), soft).output
    graph.add(Output("y"), cut)
    save_graph(graph, tmp_path / "small.kir")
    assert json.loads(zipfile.ZipFile(tmp_path / "small.kir").read("graph.json")) == {
        "format": "kir graph",
        "version": 1,
        "name": "small",
        "metadata": {},
        "nodes": [
            {"op": "Input", "attributes": {"label": "x", "type": {"type": "f32[batch, 3]"}, "default": None}},
            {"op": "Softmax", "attributes": {"axis": 1}, "inputs": [[0, 0]], "origin": ["soft", "Softmax"]},
            {
                "op": "Slice",
                "attributes": {"axes": [0], "starts": [0], "ends": [{"dim": "batch"}], "steps": [1]},
                "inputs": [[1, 0]],
            },
            {"op": "Output", "attributes": {"label": "y"}, "inputs": [[2, 0]]},
        ],
    }


@pytest.mark.slow
def test_a_long_chain_is_read_back(tmp_path: Path) -> None:
    graph = Graph()
    value = graph.add(Input("x", parse_type("f32[2]"))).output
    for _ in range(20_000):
        value = graph.add(Relu(), value).output
    graph.add(Output("y"), value)
    assert_round_trip(graph, tmp_path)


# Writing that fails


def test_a_failed_save_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "graph.kir"
    save_graph(make_graph(), path)
    before = path.read_bytes()
    graph = Graph()
    graph.add(Output("y"), graph.add(constant(np.array([1, "a"], object))).output)
    with pytest.raises(FormatError, match="expected an array of strings, received 1"):
        save_graph(graph, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_attribute_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.add(Input("x", parse_type("f32[2]"))).output
    graph.add(Output("y"), graph.add(Celu(1j), x).output)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="an attribute of type complex"):
        save_graph(graph, tmp_path / "graph.kir")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot write .*nowhere.graph\.kir: there is no folder"):
        save_graph(Graph(), tmp_path / "nowhere" / "graph.kir")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FormatError, match=r"cannot write .*folder"):
        save_graph(Graph(), tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# Files of somebody else


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """Return the start of a .npy file, without elements."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def structure_of(*nodes: Structure) -> Structure:
    return {"format": "kir graph", "version": 1, "name": "g", "metadata": {}, "nodes": list(nodes)}


INPUT: Structure = {"op": "Input", "attributes": {"label": "x", "type": {"type": "f32[2, 3]"}, "default": None}}


def with_op(op: str, inputs: Any = ((0, 0),), **attributes: Any) -> Structure:
    return structure_of(INPUT, {"op": op, "attributes": attributes, "inputs": inputs})


def with_array(dtype: str = "f32", number: Any = 0) -> Structure:
    return structure_of({"op": "Constant", "attributes": {"value": {"array": number, "dtype": dtype}, "label": None}})


def with_strings(strings: Any, shape: Any) -> Structure:
    value = {"strings": strings, "shape": shape}
    return structure_of({"op": "Constant", "attributes": {"value": value, "label": None}})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


MALFORMED: dict[str, tuple[Any, str]] = {
    "not JSON": (b"{", "graph.json is not JSON"),
    "not text": (b"\xff", "graph.json is not JSON"),
    "not an object": ([], r"expected an object in graph.json, received \[\]"),
    "deep JSON": (b"[" * 100_000, "graph"),
    "NaN": (b'{"format": NaN}', "has the number NaN, which JSON does not have"),
    "another format": ({"format": "other"}, "it says format 'other', version None; expected 'kir graph', version 1"),
    "another version": (structure_of() | {"version": 2}, "version 2; expected 'kir graph', version 1"),
    "further key": (structure_of() | {"code": "x"}, "expected the keys .*'code'"),
    "name of a number": (structure_of() | {"name": 1}, "expected a graph name, received 1"),
    "metadata of a number": (structure_of() | {"metadata": {"a": 1}}, "a text for the metadata 'a'"),
    "nodes of a number": (structure_of() | {"nodes": 1}, "expected a list of nodes"),
    "node of a number": (structure_of(1), "node 0: expected an object, received 1"),  # type: ignore[arg-type]
    "unknown operator": (with_op("System", command="rm"), "node 1: unknown operator 'System'"),
    "private operator": (with_op("_Recurrent"), "unknown operator '_Recurrent'"),
    "operator of a list": (with_op(["Relu"]), "expected an operator name"),  # type: ignore[arg-type]
    "missing attribute": (with_op("Softmax"), r"expected the keys \['axis'\], received \[\]"),
    "further attribute": (with_op("Relu", alpha=1), r"expected the keys \[\], received \['alpha'\]"),
    "attribute of another kind": (with_op("Softmax", axis="1"), "Softmax cannot have axis='1'; expected"),
    "boolean for a number": (with_op("Softmax", axis=True), "Softmax cannot have axis=True"),
    "unhashable attribute": (with_op("Transpose", permutation=[[0], 1]), "cannot have permutation"),
    "unknown form": (with_op("Softmax", axis={"eval": "1"}), r"unknown attribute form with the keys \['eval'\]"),
    "unknown dtype": (with_op("Cast", dtype={"dtype": "f31"}), "unknown dtype 'f31'"),
    "size that is no size": (with_op("Reshape", shape=[{"dim": "__import__('os')"}]), "cannot read"),
    "special number": (with_op("Elu", alpha={"float": "1e5"}), "'1e5' is no special number"),
    "operator that does not fit": (with_op("Softmax", axis=5), "node 1: .*expected an axis from 0 to 1"),
    "deep attribute": (with_op("Transpose", permutation=nested(50)), "nested over 20 deep"),
    "input of a later node": (with_op("Relu", [[1, 0]]), "is not .node, output. of one of the 1 nodes before"),
    "negative input": (with_op("Relu", [[-1, 0]]), "is not .node, output."),
    "output that is not there": (with_op("Relu", [[0, 1]]), "is not .node, output."),
    "input of a text": (with_op("Relu", ["x"]), "the input 'x' is not"),
    "too many inputs": (with_op("Relu", [[0, 0], [0, 0]]), "node 1: "),
    "absent input": (with_op("Relu", [None]), "node 1: "),
    "origin of a text": (structure_of(INPUT | {"origin": "x"}), "the origin 'x' is not .path, layer."),
    "two inputs of a name": (structure_of(INPUT, INPUT), "name 'x' is taken"),
    "negative size": (
        structure_of({"op": "Input", "attributes": {"label": "x", "type": {"type": "f32[-2]"}, "default": None}}),
        "has a negative size",
    ),
    "array that is not there": (with_array(), "it has no member arrays/0.npy"),
    "array of a path": (with_array(number="../x"), "expected an array's number, received '../x'"),
    "too few strings": (with_strings(["a"], [2]), r"1 strings do not fill the shape \[2\]"),
    "negative shape": (with_strings(["a"], [-1, -1]), "do not fill"),
    "strings of numbers": (with_strings([1], [1]), "expected a string, received 1"),
}


def write(path: Path, structure: Any, arrays: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("graph.json", structure if isinstance(structure, bytes) else json.dumps(structure))
        for name, data in arrays.items():
            archive.writestr(name, data)
    return path


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        load_graph(path)
    assert str(caught.value).startswith(f"{path} is not a graph that kir saved: ")


@pytest.mark.parametrize(("structure", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_structure_is_refused(structure: Any, message: str, tmp_path: Path) -> None:
    assert_refused(write(tmp_path / "graph.kir", structure, {}), message)


class Bomb:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return pytest.fail, ("the file was unpickled",)


HOSTILE_ARRAYS: dict[str, tuple[str, bytes, str]] = {
    "pickle": ("f32", pickle.dumps(Bomb()), "no .npy file of the kind written here"),
    "objects": ("str", npy(np.array([Bomb()], object)), "which does not fit"),
    "no magic": ("f32", b"text", "magic"),
    "nothing": ("f32", b"", "EOF"),
    "huge shape": ("f32", header((10**12,)) + bytes(8), r"says float32\[1000000000000\], which does not fit"),
    "overflowing shape": ("f32", header((2**62, 2**62)) + bytes(8), "which does not fit"),
    "negative shape": ("f32", header((-1, -2)) + bytes(8), "which does not fit"),
    "too few bytes": ("f32", npy(np.zeros(4, np.float32))[:-1], "which does not fit"),
    "too many bytes": ("f32", npy(np.zeros(4, np.float32)) + b"0", "which does not fit"),
    "another dtype": ("f32", npy(np.zeros(4, np.float64)), "holds float64; expected float32 for f32"),
    "fields": ("f32", npy(np.zeros(4, [("a", "<f4")])), "expected float32"),
    "Fortran order": ("f32", npy(np.zeros((2, 3), np.float32, order="F")), "in C order"),
    "code in the header": (
        "f32",
        header((4,)).replace(b"'shape': (4,)", b"'shape': (9-5,)") + bytes(16),
        "no .npy file of the kind",
    ),
}


@pytest.mark.parametrize(("dtype", "data", "message"), HOSTILE_ARRAYS.values(), ids=HOSTILE_ARRAYS.keys())
def test_a_hostile_array_is_refused(dtype: str, data: bytes, message: str, tmp_path: Path) -> None:
    assert_refused(write(tmp_path / "graph.kir", with_array(dtype), {"arrays/0.npy": data}), message)


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    options = {"compression": zipfile.ZIP_DEFLATED}
    path = write(tmp_path / "graph.kir", structure_of(), {}, **options)
    assert_refused(path, "stored without compression")


def test_members_that_claim_the_same_bytes_are_refused(tmp_path: Path) -> None:
    """A file in which a thousand names stand for one large array would fill the memory."""
    path = tmp_path / "graph.kir"
    data = npy(np.zeros(100_000, np.uint8))
    nodes = [with_array("u8", number)["nodes"][0] for number in range(5)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("graph.json", json.dumps(structure_of(*nodes)))
        archive.writestr("arrays/0.npy", data)
        first = archive.getinfo("arrays/0.npy")
        for number in range(1, 5):
            info = zipfile.ZipInfo(f"arrays/{number}.npy")
            info.header_offset, info.CRC, info.file_size = first.header_offset, first.CRC, first.file_size
            info.compress_size, info.orig_filename = first.compress_size, first.filename
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
    assert_refused(path, r"differ|Overlapped|no larger than the file together")


def test_a_structure_of_a_huge_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kir.ir.serialize.MAX_STRUCTURE_BYTES", 10)
    assert_refused(write(tmp_path / "graph.kir", structure_of(), {}), r"bytes; expected at most 10")


def test_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.kir"
    path.write_bytes(b"text")
    assert_refused(path, "not a zip file")


def test_an_archive_without_structure_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.kir"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.json", "{}")
    assert_refused(path, "it has no member graph.json")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"there is no file .*none\.kir; expected"):
        load_graph(tmp_path / "none.kir")


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_means_a_graph(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "graph.kir"
    save_graph(make_graph(), path)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.just(len(damaged)) | st.integers(0, len(damaged)))
    path.write_bytes(damaged[:length])
    try:
        load_graph(path).check()
    except FormatError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_a_changed_structure_is_refused_or_means_a_graph(data: st.DataObject, tmp_path: Path) -> None:
    """Any value of the JSON replaced by any other."""
    path = tmp_path / "graph.kir"
    save_graph(make_graph(), path)
    with zipfile.ZipFile(path) as archive:
        structure, arrays = (
            json.loads(archive.read("graph.json")),
            {n: archive.read(n) for n in archive.namelist()[:-1]},
        )
    place: Any = structure
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(
        st.sampled_from([None, True, -1, 0, 1, 10**30, 0.5, "x", "", [], {}, [[0, 0]], {"dim": "n"}])
    )
    write(path, structure, arrays)
    try:
        str(load_graph(path))
    except FormatError as error:
        assert str(path) in str(error)  # noqa: PT017
