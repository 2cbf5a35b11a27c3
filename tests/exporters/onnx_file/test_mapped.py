"""Large files run with their weights mapped from disk."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kir import layers
from kir.errors import FormatError
from kir.exporters.onnx_file import export_graph, mapped
from kir.exporters.onnx_file.mapped import ALIGNMENT, lean_model, mapped_copy
from kir.exporters.onnx_file.session import make_session, run_session
from tests.exporters.onnx_file.graphs import mlp
from tests.numerics.graphs import lowered

ROOT = Path(__file__).resolve().parents[3]
FEEDS = {"features": np.random.default_rng(0).random((3, 8), np.float32)}


def written(folder: Path) -> Path:
    (folder / "copy").mkdir()
    return export_graph(mlp(), folder / "mlp.onnx", external_data="no").path


def copy_all(model: Path) -> Path:
    """Return a copy with every weight moved that has at least 16 bytes."""
    return mapped_copy(model, model.parent / "copy", 0, 16)


def test_the_copy_is_the_same_model_with_aligned_external_data(tmp_path: Path) -> None:
    original = written(tmp_path)
    copy = copy_all(original)
    slim = onnx.load(str(copy), load_external_data=False)
    moved = [tensor for tensor in slim.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    offsets = [int(entry.value) for tensor in moved for entry in tensor.external_data if entry.key == "offset"]
    assert offsets == [index * ALIGNMENT for index in range(len(moved))]
    assert len(moved) >= 2
    assert not any(tensor.HasField("raw_data") for tensor in moved)
    loaded, expected = onnx.load(str(copy)), onnx.load(str(original))
    for tensor in loaded.graph.initializer:
        tensor.ClearField("data_location")
    assert loaded == expected


def test_the_copy_computes_the_same(tmp_path: Path) -> None:
    original = written(tmp_path)
    expected = run_session(make_session(original), FEEDS)
    actual = run_session(make_session(copy_all(original), prepack=False), FEEDS)
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-6)


def test_a_lean_model_computes_the_same_and_leaves_nothing_behind(tmp_path: Path) -> None:
    original = written(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with lean_model(original, min_bytes=1, min_weight=16) as lean:
        actual = run_session(lean.session(), FEEDS)
        assert len(os.listdir(tmp_path)) == len(before) + 1
    assert sorted(os.listdir(tmp_path)) == before
    for name, array in run_session(make_session(original), FEEDS).items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-6)


def test_files_with_little_to_move_or_external_data_stay_as_they_are(tmp_path: Path) -> None:
    original = written(tmp_path)
    assert mapped_copy(original, tmp_path / "copy") == original
    assert mapped_copy(original, tmp_path / "copy", 0, 1 << 30) == original
    copy = copy_all(original)
    (tmp_path / "again").mkdir()
    assert mapped_copy(copy, tmp_path / "again", 0, 1) == copy
    assert not os.listdir(tmp_path / "again")


def test_a_file_that_refers_to_others_beside_new_weights_stays_as_it_is(tmp_path: Path) -> None:
    model = onnx.load(str(written(tmp_path)))
    constant = onnx.TensorProto(name="c", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    constant.external_data.add(key="location", value="elsewhere")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=constant))
    path = tmp_path / "refers.onnx"
    path.write_bytes(model.SerializeToString())
    assert copy_all(path) == path


def test_weights_split_over_two_graph_fields_are_all_moved(tmp_path: Path) -> None:
    """Protobuf merges a message that is given in parts."""
    whole = onnx.load(str(written(tmp_path)))
    first, second = onnx.ModelProto(), onnx.ModelProto()
    first.CopyFrom(whole)
    second.graph.initializer.append(first.graph.initializer.pop())
    path = tmp_path / "parts.onnx"
    path.write_bytes(first.SerializeToString() + second.SerializeToString())
    expected = run_session(make_session(path), FEEDS)
    for name, array in run_session(make_session(copy_all(path)), FEEDS).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x3a",  # a graph without a length
        b"\x3a\x7f\x00",  # a graph that ends too late
        b"\x3a\x04\x2a\x7f\x00\x00",  # an initializer that ends behind its graph
        b"\x3a\x03\x2a\x01\x4a",  # raw data without a length
        b"\x0b",  # a group
        b"\x02\x00",  # field 0
        b"\x80" * 20,
        b"\x0d\x00",  # a fixed number cut off
        b"\x09\x00\x00\x00\x00",
        b"\x08",
        b"\x3a" + b"\xff" * 9 + b"\x7f",  # a length far above 2^63
    ],
)
def test_what_is_no_protobuf_message_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"bad\.onnx is not an ONNX file"):
        mapped_copy(path, tmp_path, 0, 0)


@given(cut=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_damaged_files_are_refused_or_copied(tmp_path_factory: pytest.TempPathFactory, cut: int, byte: int) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = written(folder)
    data = bytearray(path.read_bytes())
    data[cut % len(data)] = byte
    path.write_bytes(data)
    try:
        assert copy_all(path).is_file()
    except FormatError as error:
        assert "is not an ONNX file" in str(error)  # noqa: PT017


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"there is no file .*absent\.onnx"):
        mapped_copy(tmp_path / "absent.onnx", tmp_path)


def test_errors_of_onnxruntime_name_the_original(tmp_path: Path) -> None:
    model = onnx.load(str(written(tmp_path)))
    model.graph.node[0].op_type = "NoSuchOperator"
    path = tmp_path / "unknown.onnx"
    path.write_bytes(model.SerializeToString())
    with lean_model(path, min_bytes=1, min_weight=16) as lean:
        assert isinstance(lean.file, Path)
        with pytest.raises(FormatError, match=r"cannot load .*unknown\.onnx: ") as caught:
            lean.session()
        assert str(lean.file) not in str(caught.value)


@pytest.mark.parametrize("min_bytes", [1, 1 << 30], ids=["large", "small"])
def test_more_outputs_can_be_had_of_a_lean_model(min_bytes: int, tmp_path: Path) -> None:
    with lean_model(written(tmp_path), min_bytes=min_bytes, min_weight=16) as lean:
        proto = lean.load()
        inner = proto.graph.node[0].output[0]
        outputs = run_session(lean.session_with([inner]), FEEDS)
    assert outputs[inner].shape == (3, 16)


@pytest.mark.parametrize("min_bytes", [1, 1 << 30], ids=["large", "small"])
def test_inputs_of_a_lean_model_can_have_other_sizes(min_bytes: int, tmp_path: Path) -> None:
    graph = lowered(layers.Conv2D(4, 3, name="conv"), (20, 20, 3))
    path = export_graph(graph, tmp_path / "m.onnx").path
    with lean_model(path, min_bytes=min_bytes, min_weight=16) as lean:
        (output,) = run_session(
            lean.session_resized({"x0": (1, 8, 9, 3)}), {"x0": np.ones((2, 8, 9, 3), np.float32)}
        ).values()
    assert output.shape == (2, 6, 7, 4), "the batch is no fixed size"


# Memory

UNITS, LAYERS = 1024, 24
# Two float64 copies of a weight make 4 of them, temporaries the rest; libraries are there before.
LAYERS_HELD, LIBRARIES_BYTES = 8, 16 << 20

PEAK = """
import sys, threading, time
from pathlib import Path
import numpy as np
from kir.exporters.onnx_file import export_graph, mapped
from kir.exporters.onnx_file.verify.file import verify_file
from tests.exporters.onnx_file.graphs import mlp
from tests.numerics.graphs import lowered

def anonymous():
    # Of this process and of those that it forked; what they share counts once.
    forked = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return sum(map(anonymous_of, ["self", *forked]))

def anonymous_of(process):
    try:
        lines = Path("/proc", process, "smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon")) * 1024

def watch():
    while not done.is_set():
        peaks.append(anonymous())
        done.wait(0.002)

folder, layers, units = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
kernels = np.memmap(folder / "kernels", np.float32, "r", shape=(layers, units, units))
graph = mlp(list(kernels))
path = export_graph(graph, folder / "model.onnx").path
done, peaks, before = threading.Event(), [], anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
assert verify_file(graph, path).passed
done.set()
watcher.join()
print(max(peaks) - before)
"""


# Elsewhere nothing tells anonymous memory from mapped files.
if Path("/proc/self/status").exists():

    @pytest.mark.slow
    def test_verification_holds_a_few_layers_in_memory_and_not_the_file(tmp_path: Path) -> None:
        kernels = np.memmap(tmp_path / "kernels", np.float32, "w+", shape=(LAYERS, UNITS, UNITS))
        kernels[:] = np.random.default_rng(0).normal(size=(UNITS, UNITS)) / UNITS**0.5
        kernels.flush()
        environment = os.environ | {"PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-c", PEAK, str(tmp_path), str(LAYERS), str(UNITS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
        limit = LAYERS_HELD * kernels[0].nbytes + LIBRARIES_BYTES
        assert int(done.stdout) < limit < 0.8 * kernels.nbytes


def test_the_external_data_of_a_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = export_graph(mlp([np.ones((40, 30), np.float32)]), tmp_path / "m.onnx", external_data="yes")
    (tmp_path / "m.onnx.0123456789abcdef.data").write_bytes(bytes(10_000))  # of another model
    for large_bytes, is_large in ((report.size_bytes, True), (report.size_bytes + 1, False)):
        monkeypatch.setattr(mapped, "LARGE_BYTES", large_bytes)
        with lean_model(report.path, min_bytes=1) as lean:
            assert lean.is_large == is_large


def test_a_copy_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = written(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a temporary file")

    monkeypatch.setattr(mapped, "_stream", fail)
    expected = rf"cannot write the copy of {re.escape(str(original))} that is run: No space left"
    with pytest.raises(FormatError, match=expected), lean_model(original, min_bytes=1, min_weight=16):
        pass
    assert sorted(tmp_path.rglob("*")) == before
