"""Hostile files on the command line: each command refuses each file, soon, in little memory, and without a traceback.

Files in tests/hostile were found; the others are made here. `tests/importers/keras_file/hostile.py` has those of Keras.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from kir.cli import _run
from kir.support.limits import MAX_NODES
from tests.importers.keras_file import hostile

FOUND = Path(__file__).parent / "hostile"
SECONDS = 10
MEGABYTES = 1000
HUGE = 10**9

node: Callable[..., NodeProto] = helper.make_node


def i64(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, np.int64)


def model(nodes: Iterable[NodeProto], shape: Iterable[Any] = ("b", 4), **weights: np.ndarray[Any, Any]) -> ModelProto:
    """Return a model whose nodes make "big", which is summed up and added to its input x."""
    nodes = [*nodes, node("ReduceSum", ["big"], ["r"], keepdims=0), node("Add", ["r", "x"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("d", 1)], ir_version=10
    )


def concats(count: int) -> ModelProto:
    names = ["x", *(f"c{index}" for index in range(1, count)), "big"]
    return model([node("Concat", [a, a], [b], axis=1) for a, b in itertools.pairwise(names)])


def outer_product() -> ModelProto:
    return model(
        [
            node("Tile", ["x", "t"], ["row"]),
            node("Transpose", ["row"], ["column"], perm=[1, 0]),
            node("MatMul", ["column", "row"], ["big"]),
        ],
        (1, 4),
        t=i64(1, 8000),
    )


def skipped_padding(of: str) -> ModelProto:
    """Return a giant padding whose elements the strides skip: the result is small."""
    given = [of, "w"] if of != "pool" else ["x"]
    more = {} if of != "pool" else {"kernel_shape": [1, HUGE]}
    op = node(
        "Conv" if of != "pool" else "MaxPool",
        given,
        ["big"],
        pads=[0, HUGE // 2, 0, HUGE // 2],
        strides=[1, HUGE // 2],
        **more,
    )
    weights = {"w": np.ones((1, 1, 1, 3), np.float32), "c": np.ones((1, 1, 4, 4), np.float32)}
    return model([op], (1, 1, 4, 4), **weights)


def functions(*bodies: list[NodeProto]) -> ModelProto:
    """Return a model that calls the last of functions f0, f1, …, each from "a" to "b"."""
    made = model([node(f"f{len(bodies) - 1}", ["x"], ["big"], domain="d")])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    for index, body in enumerate(bodies):
        made.functions.append(helper.make_function("d", f"f{index}", ["a"], ["b"], body, imports))
    return made


def twice(name: str) -> list[NodeProto]:
    return [node(name, ["a"], ["t"], domain="d"), node(name, ["t"], ["b"], domain="d")]


def empty_nodes(count: int) -> bytes:
    """Return a model of nodes that say nothing, of two bytes each."""
    head = ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 17)]).SerializeToString()
    length, size = b"", 2 * count
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes(head) + b"\x3a" + length + bytes([size]) + b"\x0a\x00" * count


REFUSED_WHEN_READ: dict[str, tuple[str, Callable[[], ModelProto | bytes]]] = {
    "functions": ("at most|no more are read", lambda: functions([node("Relu", ["a"], ["b"])], *map(twice, named(40)))),
    "function_of_itself": ("calls itself", lambda: functions(twice("f0"))),
    "functions_of_one_another": ("calls itself", lambda: functions(twice("f1"), twice("f0"))),
    "large_function": ("no more are read", lambda: functions(large_constant(), *map(twice, named(13)))),
    "empty_nodes": (f"has 2000000 nodes; at most {MAX_NODES}", lambda: empty_nodes(2_000_000)),
    "many_empty_nodes": ("protobuf messages; at most", lambda: empty_nodes(10_000_000)),
    "empty_and_giant": (
        "no tensor of type",
        lambda: model(
            [node("ConstantOfShape", ["s"], ["none"]), node("ReduceSum", ["none"], ["big"])], s=i64(0, 2**62)
        ),
    ),
    "product_over_int64": ("no tensor of type", lambda: concats(62)),
    "negative_size": ("", lambda: model([node("Reshape", ["x", "s"], ["big"])], s=i64(-7, 4))),
    "huge_pad": ("no tensor of type", lambda: model([node("Pad", ["x", "s"], ["big"])], s=i64(0, 2**62, 0, 2**62))),
}

REFUSED_WHEN_RUN: dict[str, Callable[[], ModelProto]] = {
    "expand": lambda: model([node("Expand", ["x", "s"], ["big"])], (4, 4), s=i64(HUGE // 16, 4, 4)),
    "expand_constant": lambda: model([node("Expand", ["c", "s"], ["big"])], s=i64(HUGE), c=np.array([1], np.float32)),
    "pad": lambda: model([node("Pad", ["x", "s"], ["big"])], s=i64(0, 0, 0, HUGE)),
    "tile": lambda: model([node("Tile", ["x", "s"], ["big"])], s=i64(1, HUGE // 4)),
    "fill": lambda: model([node("ConstantOfShape", ["s"], ["big"])], s=i64(HUGE)),
    "range": lambda: model(
        [node("Range", ["a", "z", "d"], ["i"]), node("Cast", ["i"], ["big"], to=1)],
        a=np.array(0),
        z=np.array(HUGE),
        d=np.array(1),
    ),
    "resize": lambda: model(
        [node("Resize", ["x", "", "", "s"], ["big"], mode="linear")], (1, 1, 4, 4), s=i64(1, 1, 31623, 31623)
    ),
    "expand_booleans": lambda: model(
        [node("Cast", ["x"], ["b"], to=9), node("Expand", ["b", "s"], ["e"]), node("Cast", ["e"], ["big"], to=1)],
        s=i64(HUGE // 4, 4),
    ),
    "booleans": lambda: model(
        [
            *(node("Cast", ["x"], ["b"], to=9), node("Expand", ["b", "s"], ["e"])),
            *(node("Not", ["e"], ["n"]), node("Slice", ["n", "a", "z"], ["t"]), node("Cast", ["t"], ["big"], to=1)),
        ],
        s=i64(HUGE // 4, 4),
        a=i64(0),
        z=i64(1),
    ),
    "one_hot": lambda: model(
        [node("Cast", ["x"], ["i"], to=7), node("OneHot", ["i", "d", "v"], ["big"])],
        d=np.array(HUGE, np.int64),
        v=np.array([0, 1], np.float32),
    ),
    "concats": lambda: concats(28),
    "outer_product": outer_product,
    "padded_convolution": lambda: skipped_padding("x"),
    "padded_convolution_of_a_constant": lambda: skipped_padding("c"),
    "padded_pooling": lambda: skipped_padding("pool"),
    "transposed_convolution": lambda: model(
        [node("ConvTranspose", ["x", "w"], ["big"], strides=[1, HUGE // 4])],
        (1, 1, 4, 4),
        w=np.ones((1, 1, 1, 3), np.float32),
    ),
    "einsum": lambda: model([node("Einsum", ["x", "x", "x"], ["big"], equation="a,b,c->abc")], (1000,)),
    "input": lambda: model([node("Relu", ["x"], ["big"])], (1, HUGE)),
}


def named(count: int) -> list[str]:
    return [f"f{index}" for index in range(count)]


def large_constant() -> list[NodeProto]:
    """Return a body with 100 KB: not many nodes come of calling it 8192 times, but 800 MB."""
    value = numpy_helper.from_array(np.ones(25_000, np.float32))
    return [node("Constant", [], ["c"], value=value), node("Mul", ["a", "c"], ["b"])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file of the tables, by its name."""
    path = tmp_path_factory.mktemp("hostile")
    made = {name: make() for name, (_, make) in REFUSED_WHEN_READ.items()} | {
        name: make() for name, make in REFUSED_WHEN_RUN.items()
    }
    for name, content in made.items():
        data = content if isinstance(content, bytes) else content.SerializeToString()
        (path / f"{name}.onnx").write_bytes(data)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command says, which must be one error, of a file and no bug, soon."""
    begin = time.process_time()
    code = _run(list(map(str, arguments)))
    captured = capsys.readouterr()
    assert time.process_time() - begin < SECONDS
    assert code in (2, 3), captured.err
    assert captured.err.count("error:") == 1
    assert "Traceback" not in captured.err
    assert len(captured.err) < 2000
    return captured.err


@pytest.mark.parametrize("path", sorted(FOUND.iterdir()), ids=lambda path: path.name)
def test_files_that_were_found(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "export", path, "-o", tmp_path / "out.onnx")
    refused(capsys, "summary", path, "--ops")
    refused(capsys, "plot", path, "-o", tmp_path / "out.svg")
    refused(capsys, "diff", path, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", REFUSED_WHEN_READ)
def test_refused_when_read(name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / f"{name}.onnx"
    said = refused(capsys, "export", path, "-o", tmp_path / "out.onnx", "--no-verify")
    assert any(part in said for part in REFUSED_WHEN_READ[name][0].split("|")), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", REFUSED_WHEN_RUN)
def test_refused_when_run(name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / f"{name}.onnx"
    said = refused(capsys, "export", path, "-o", tmp_path / "out.onnx")
    assert "GiB" in said
    assert "--no-verify" in said
    assert list(tmp_path.iterdir()) == []


MEASURE = """
import contextlib, io, sys
from pathlib import Path
from kir.cli import _run
from tests.importers.keras_file.memory import peak_megabytes
for path in map(Path, sys.argv[2:]):
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        assert _run(["export", str(path), "-o", sys.argv[1]]) in (2, 3), path
print(peak_megabytes())
"""


@pytest.mark.slow
def test_memory(folder: Path, tmp_path: Path) -> None:
    files = map(str, [*folder.iterdir(), *FOUND.iterdir()])
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "out.onnx"), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < MEGABYTES


def test_large_models_are_run_with_fewer_inputs(tmp_path: Path) -> None:
    """What takes over 1 GiB for each sample is verified with a batch of 1, and not of 9."""
    from kir.importers.onnx_file import import_graph
    from kir.numerics.probe_sizes import choose_runs

    wide = model([node("Relu", ["x"], ["big"])], ("batch", 30_000_000))
    assert [run.sizes for run in choose_runs(import_graph(wide))] == [{"batch": 1}]


ORDINARY: dict[str, Callable[[], ModelProto]] = {
    "skip_of_a_u_net": lambda: model([node("Concat", ["x", "x"], ["big"], axis=1)], (1, 64, 1024, 1024)),
    "attention_over_a_long_sequence": lambda: model([node("Softmax", ["x"], ["big"])], (1, 8, 4096, 4096)),
    "volume": lambda: model([node("Relu", ["x"], ["big"])], (1, 32, 160, 160, 160)),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_large_images_and_sequences_are_run(name: str) -> None:
    from kir.importers.onnx_file import import_graph
    from kir.numerics.cost import require_runnable

    made = ORDINARY[name]()
    made.graph.node.pop()  # what adds the sum to an input of this size
    made.graph.output[0].name = "r"
    require_runnable(import_graph(made), {})


def test_what_is_kept_of_outputs_counts() -> None:
    """Each run gives them anew, and they are compared."""
    from kir.importers.onnx_file import import_graph
    from kir.numerics.cost import FLOAT_BYTES, OUTPUT_ARRAYS, run_cost

    small, large = (run_cost(import_graph(model([node("Relu", ["x"], ["big"])], (size,))), {}) for size in (1, 1001))
    assert large.bytes - small.bytes >= 1000 * OUTPUT_ARRAYS * FLOAT_BYTES


def test_a_wrong_checksum_of_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(hostile.archive())
    place = content.index(np.ones(12, np.float32).tobytes())
    content[place] ^= 1
    (tmp_path / "a.keras").write_bytes(content)
    assert "checksum" in refused(capsys, "export", tmp_path / "a.keras", "-o", tmp_path / "out.onnx")


def test_functions_within_bounds_are_inlined() -> None:
    """A thousand calls of a function of two nodes, one of which calls another."""
    from kir.importers.onnx_file import import_graph

    bodies = [[node("Relu", ["a"], ["b"])], [node("Abs", ["a"], ["t"]), node("f0", ["t"], ["b"], domain="d")]]
    made = functions(*bodies)
    assert isinstance(made.functions[0], FunctionProto)
    calls = [node("f1", [a], [b], domain="d") for a, b in zip(["x", *named(999)], [*named(999), "big"], strict=True)]
    del made.graph.node[0]
    made.graph.node.extend(calls)
    for end in [made.graph.node.pop(0), made.graph.node.pop(0)]:
        made.graph.node.append(end)
    assert len(import_graph(made).nodes()) > 1999
