"""Only regular files are read; pipes, devices, sockets and folders are refused at once, by every reader."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import Input, Sequential
from kir.errors import FormatError, ScriptError
from kir.exporters.onnx_file.inspect import inspect_file
from kir.exporters.onnx_file.session import make_session
from kir.importers.arrays import load_npy, load_npz, load_safetensors, open_arrays
from kir.importers.keras_file import load_keras_model
from kir.importers.onnx_file import import_graph
from kir.importers.script import run_script
from kir.ir.graph import Graph
from kir.layers import Dense
from kir.support.limits import MAX_SCRIPT_BYTES
from kir.support.mapped_files import is_mapped

READERS: dict[str, Callable[[Path], Any]] = {
    "a.onnx": import_graph,
    "b.onnx": inspect_file,
    "c.onnx": make_session,
    "a.keras": load_keras_model,
    "a.h5": load_keras_model,
    "a.json": load_keras_model,
    "a.npz": load_npz,
    "a.npy": load_npy,
    "c.npz": open_arrays,
    "b.npy": open_arrays,
    "a.safetensors": load_safetensors,
    "a.weights.h5": lambda path: Sequential([Input(shape=(2,)), Dense(1)]).load_weights(path),
    "b.npz": lambda path: Sequential([Input(shape=(2,)), Dense(1)]).load_weights(path),
    "a.kir": Graph.load,
    "a.py": run_script,
}


def test_importers_open_files_with_open_regular() -> None:
    """But for the settings of Keras in the user's home."""
    opens = re.compile(r"(?<![\w.])(?<!def )open\(|\.read_(text|bytes)\(")
    root = Path(__file__).parent.parent.parent
    found = {
        path.relative_to(root).as_posix()
        for path in (root / "importers").rglob("*.py")
        if opens.search(path.read_text("utf-8"))
    }
    assert found == {"importers/keras_stand_in.py"}, "open files with open_regular, and add a row to READERS"


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        server.bind(path.name)
        os.chdir(here)


def make_holes(path: Path) -> None:
    """6 GB of which nothing is on the disk."""
    with open(path, "wb") as file:
        file.truncate(6 << 30)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [make_pipe, make_device, make_socket, Path.mkdir, make_holes, lambda path: None])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_refused_at_once(name: str, make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises((FormatError, ScriptError), match=name.replace(".", r"\.")):
        READERS[name](tmp_path / name)


def test_arrays_are_read_as_numpy_writes_them(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "plain": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.float64(3),
        "empty": np.zeros((0, 4), np.int8),
        "text": np.array(["a", "bc"]),
        "flag": np.array([True]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        for read in (load_npz(tmp_path / "a.npz"), open_arrays(tmp_path / "a.npz")):
            assert list(read) == list(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(read[name], array)
                assert read[name].dtype == array.dtype
    np.save(tmp_path / "a.npy", arrays["columns"])
    for array in (load_npy(tmp_path / "a.npy"), open_arrays(tmp_path / "a.npy")["arr_0"]):
        np.testing.assert_array_equal(array, arrays["columns"])


def test_opened_arrays_stay_on_disk(tmp_path: Path) -> None:
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", a=np.arange(1000))
        array = open_arrays(tmp_path / "a.npz")["a"]
        assert is_mapped(array)
        assert not array.flags.writeable


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(1000, np.float32))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match="Bad CRC-32"):
        load_npz(path)
    with pytest.raises(FormatError, match="Bad CRC-32"):
        open_arrays(path)


@pytest.mark.slow
def test_arrays_that_unpack_to_far_more_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(300 << 20, np.int8))
    with pytest.raises(FormatError, match="would unpack"):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(FormatError, match="would unpack"):
        open_arrays(tmp_path / "a.npz")


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{}], object))
    np.save(tmp_path / "a.npy", np.array([{}], object))
    loads: list[Callable[[], object]] = [lambda: load_npz(tmp_path / "a.npz"), lambda: load_npy(tmp_path / "a.npy")]
    loads += [lambda: open_arrays(tmp_path / "a.npz"), lambda: open_arrays(tmp_path / "a.npy")]
    for load in loads:
        with pytest.raises(FormatError, match="pickled objects, which are never read"):
            load()


def test_what_has_too_many_bytes_is_refused_and_not_read_in_part(tmp_path: Path) -> None:
    """The beginning of a script is a script, too, and may build another model."""
    path = tmp_path / "a.py"
    path.write_bytes(b"x = 1\n" + b"#" * MAX_SCRIPT_BYTES)

    with pytest.raises(ScriptError, match=rf"a\.py has {MAX_SCRIPT_BYTES + 6} bytes; at most {MAX_SCRIPT_BYTES} are"):
        run_script(path)


def test_a_graph_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        Graph.load(tmp_path / "none.kir")
    assert str(caught.value) == f"there is no file {tmp_path / 'none.kir'}; expected a file of Graph.save"
